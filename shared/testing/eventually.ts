/** How long and how often to try. */
export interface EventuallyOptions {
  /** Default 5000. */
  readonly timeoutMs?: number | undefined;
  /** Between two tries; default 10. */
  readonly intervalMs?: number | undefined;
  /** What is waited for, for the error. */
  readonly what?: string | undefined;
}

/** A condition that did not come true in time. `cause` is what the last try threw, if it threw. */
export class EventuallyError extends Error {
  override readonly name = "EventuallyError";
}

/**
 * Tries until it works: until the function neither throws nor gives false or undefined.
 * @returns what it gave then.
 * @throws {EventuallyError} when the time is over.
 */
export async function eventually<T>(
  attempt: () => T | Promise<T>,
  { timeoutMs = 5000, intervalMs = 10, what = "the condition" }: EventuallyOptions = {},
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const result = await attempt();
      if (result !== false && result !== undefined) return result as Exclude<T, false | undefined>;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= deadline) {
      const last = failure instanceof Error ? `: ${failure.message}` : "";
      throw new EventuallyError(`${what} did not come true in ${timeoutMs} ms${last}`, {
        cause: failure,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
