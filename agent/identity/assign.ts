/** Least identity of a pod; below are the reserved ones. */
export const FIRST_POD_IDENTITY = 256;
/** One past the greatest identity of a pod; from here on they are CIDRs'. */
export const END_POD_IDENTITY = 2 ** 24;

const FNV_OFFSET = 0xcbf2_9ce4_8422_2325n;
const FNV_PRIME = 0x100_0000_01b3n;
const U64 = 0xffff_ffff_ffff_ffffn;

const encoder = new TextEncoder();

/** FNV-1a, 64 bits, of the text in UTF-8. */
export function fnv1a64(text: string): bigint {
  let hash = FNV_OFFSET;
  for (const byte of encoder.encode(text)) hash = ((hash ^ BigInt(byte)) * FNV_PRIME) & U64;
  return hash;
}

/** The number that a label set tries first. */
export function firstTry(key: string): number {
  const size = END_POD_IDENTITY - FIRST_POD_IDENTITY;
  return FIRST_POD_IDENTITY + Number(fnv1a64(key) % BigInt(size));
}

/**
 * Numbers label sets: each takes its hash's number, or the next free one when a set that sorts before
 * it has that. It depends on the sets alone, not on their order of arrival, so that nodes that know
 * the same sets come to the same numbers.
 * @param keys label sets as texts, each once
 * @param tryFirst for tests: the number that a key tries first
 */
export function assignIdentities(
  keys: Iterable<string>,
  tryFirst: (key: string) => number = firstTry,
): Map<string, number> {
  const numbers = new Map<string, number>();
  const taken = new Set<number>();
  for (const key of [...keys].sort()) {
    let number = tryFirst(key);
    while (taken.has(number)) {
      number = number + 1 === END_POD_IDENTITY ? FIRST_POD_IDENTITY : number + 1;
    }
    taken.add(number);
    numbers.set(key, number);
  }
  return numbers;
}
