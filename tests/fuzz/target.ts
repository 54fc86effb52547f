/** Something that takes bytes from somebody who may be mistaken or hostile. */
export interface FuzzTarget {
  /** Names its corpus folder, and selects it on the command line. */
  readonly name: string;
  /** What is fuzzed, in a few words. */
  readonly what: string;
  /** Inputs that run at once; default 1. Only for subjects that wait for others. */
  readonly jobs?: number;
  /** How long one input may take; default 30,000. */
  readonly limitMs?: number;
  /** Pieces that mutations put in: keywords, numbers at the edge of a range. */
  readonly tokens?: readonly (string | Uint8Array)[];
  /** Inputs that are in order, to begin with beside the corpus. */
  seeds(): readonly Uint8Array[];
  /** Sets up what takes the inputs. */
  open(): Promise<FuzzSubject>;
}

/** A target that is set up. */
export interface FuzzSubject extends AsyncDisposable {
  /**
   * Takes one input.
   * @returns what came of it in a few words: an input with a new outcome is worth mutating further
   * @throws when the input shows a fault
   */
  run(input: Uint8Array): string | Promise<string>;
  /** Told when the seeds and the corpus were taken: what it holds from now on is warm. */
  warm?(): void;
  /** Looks, when all inputs were taken, whether something leaked or died. @throws when so */
  check?(): Promise<void>;
  /** What a report says of the inputs, beside how many they were. */
  summary?(): string;
}

/** A fault that an input shows. */
export class Fault extends Error {
  override readonly name = "Fault";
}

/** Fails unless a condition holds. @throws {Fault} */
export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Fault(what);
}
