/** Set to the seed that a failure names, `N`, or to `N-M`, it says which seeds the random tests use. */
export const SEED_VARIABLE = "NOVANET_POLICY_SEED";

/**
 * The seeds of a random test: 0 to count - 1, or those of the environment.
 * @throws {Error} when the environment's are neither a number nor a range.
 */
export function seeds(count: number): number[] {
  const text = Deno.env.get(SEED_VARIABLE) ?? `0-${count - 1}`;
  const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined) throw new Error(`${SEED_VARIABLE}: ${text}: expected N or N-M`);
  const length = Math.max(0, Number(last) - Number(first) + 1);
  return Array.from({ length }, (_, i) => Number(first) + i);
}
