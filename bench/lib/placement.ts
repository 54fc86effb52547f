/**
 * The processors that client and server run on. Where the scheduler may choose, it chooses another way now and then, and a
 * figure has two modes. On one processor, what is measured is the work that a path makes; on two, also how long the other
 * one takes to wake, which on virtual processors is most of it.
 */
export interface Placement {
  /** How a row's text ends. */
  readonly name: string;
  readonly client: number;
  readonly server: number;
}

/** Both ends on one processor. */
export const ONE_PROCESSOR: Placement = { name: "one processor", client: 0, server: 0 };

/** Each end on its own. */
export const TWO_PROCESSORS: Placement = { name: "two processors", client: 0, server: 1 };

/** A command that runs on one processor only. */
export function onProcessor(processor: number, argv: readonly string[]): string[] {
  return ["taskset", "-c", String(processor), ...argv];
}
