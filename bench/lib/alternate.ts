/** A measurement by name, repeated as often as it is called. */
export type Measurements<Name extends string> = Readonly<Record<Name, () => Promise<number>>>;

/**
 * Measures each variant once a round, one after the other, every second round in the opposite order: what drifts on
 * the machine meets all of them.
 * @returns each variant's values in the order of the rounds
 */
export async function alternate<Name extends string>(
  rounds: number,
  variants: Measurements<Name>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(variants) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Name,
    number[]
  >;
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      values[name].push(await variants[name]());
    }
  }
  return values;
}
