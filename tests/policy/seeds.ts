/** Set to the seed that a failure names, it makes the random tests repeat that one alone. */
export const SEED_VARIABLE = "NOVANET_POLICY_SEED";

/**
 * The seeds of a random test: 0 to count - 1, or the one of the environment.
 * @throws {Error} when the environment's is no number.
 */
export function seeds(count: number): number[] {
  const text = Deno.env.get(SEED_VARIABLE);
  if (text === undefined) return Array.from({ length: count }, (_, seed) => seed);
  const seed = Number(text);
  if (!Number.isSafeInteger(seed)) throw new Error(`${SEED_VARIABLE}: ${text}: expected a number`);
  return [seed];
}
