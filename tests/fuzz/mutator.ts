import { SeededRandom } from "../../shared/testing/seeded_random.ts";

const MAX_INPUT_BYTES = 1 << 16;
const MAX_CHANGES = 5;
/** Numbers at which programs go wrong: ends of ranges, signs, lengths of nothing. */
const EDGES = [0, 1, 2, 3, 4, 7, 8, 16, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff]
  .concat([0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]);

type Change = (bytes: Uint8Array, mutator: Mutator) => Uint8Array;

/** Makes inputs out of inputs, the same ones for the same seed. */
export class Mutator {
  readonly random: SeededRandom;
  readonly #tokens: readonly Uint8Array[];

  /** @param seed any 32-bit number */
  constructor(seed: number, tokens: readonly (string | Uint8Array)[] = []) {
    this.random = new SeededRandom(seed);
    const encoder = new TextEncoder();
    this.#tokens = tokens.map((token) => typeof token === "string" ? encoder.encode(token) : token);
  }

  /** @returns one of the pool with a few changes; now and then one as it is, or bytes out of nothing. */
  next(pool: readonly Uint8Array[]): Uint8Array {
    const { random } = this;
    if (pool.length === 0 || random.below(100) === 0) return random.bytes(random.below(200));
    let bytes = this.pick(pool).slice();
    for (let count = random.below(MAX_CHANGES + 1); count > 0; count--) {
      const change = this.pick(CHANGES);
      bytes = Uint8Array.from(change(bytes, this));
      if (random.below(20) === 0) bytes = this.#spliced(bytes, this.pick(pool));
    }
    return bytes.subarray(0, MAX_INPUT_BYTES);
  }

  /** @returns one of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)]!;
  }

  /** @returns a token, or random bytes where there are none. */
  token(): Uint8Array {
    const { random } = this;
    return this.#tokens.length > 0 ? this.pick(this.#tokens) : random.bytes(1 + random.below(8));
  }

  /** @returns begin and length of a range of bytes, a short one mostly. */
  range(bytes: Uint8Array): readonly [begin: number, length: number] {
    const begin = this.random.below(bytes.length + 1);
    const rest = bytes.length - begin;
    const most = this.random.below(8) === 0 ? rest : Math.min(rest, 16);
    return [begin, this.random.below(most + 1)];
  }

  #spliced(bytes: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
    const head = bytes.subarray(0, this.random.below(bytes.length + 1));
    return joined(head, other.subarray(this.random.below(other.length + 1)));
  }
}

const CHANGES: readonly Change[] = [
  // One bit.
  (bytes, { random }) => {
    const at = random.below(bytes.length * 8);
    if (bytes.length > 0) bytes[at >> 3]! ^= 1 << (at & 7);
    return bytes;
  },
  // One byte.
  (bytes, { random }) => {
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    return bytes;
  },
  // A little more or less.
  (bytes, { random }) => {
    if (bytes.length > 0) bytes[random.below(bytes.length)]! += random.below(9) - 4;
    return bytes;
  },
  // A number at an edge, of one, two or four bytes, in either order.
  (bytes, mutator) => {
    const { random } = mutator;
    const size = mutator.pick([1, 2, 4]);
    if (bytes.length < size) return bytes;
    const at = random.below(bytes.length - size + 1);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const [edge, little] = [mutator.pick(EDGES), random.below(2) === 0];
    if (size === 1) view.setUint8(at, edge);
    else if (size === 2) view.setUint16(at, edge, little);
    else view.setUint32(at, edge, little);
    return bytes;
  },
  // A part less.
  (bytes, mutator) => {
    const [begin, length] = mutator.range(bytes);
    return joined(bytes.subarray(0, begin), bytes.subarray(begin + length));
  },
  // A part again.
  (bytes, mutator) => {
    const [begin, length] = mutator.range(bytes);
    const part = bytes.subarray(begin, begin + length);
    const times = mutator.random.below(10) === 0 ? mutator.random.below(64) : 1;
    const more = Array.from({ length: times }, () => part);
    return joined(bytes.subarray(0, begin), ...more, bytes.subarray(begin));
  },
  // A part somewhere else.
  (bytes, mutator) => {
    const [begin, length] = mutator.range(bytes);
    const part = bytes.slice(begin, begin + length);
    const rest = joined(bytes.subarray(0, begin), bytes.subarray(begin + length));
    const to = mutator.random.below(rest.length + 1);
    return joined(rest.subarray(0, to), part, rest.subarray(to));
  },
  // A token, or a few random bytes, in between or in place of what is there.
  (bytes, mutator) => {
    const [begin, length] = mutator.range(bytes);
    const over = mutator.random.below(2) === 0 ? length : 0;
    return joined(bytes.subarray(0, begin), mutator.token(), bytes.subarray(begin + over));
  },
  (bytes, { random }) => {
    const at = random.below(bytes.length + 1);
    const fresh = random.bytes(1 + random.below(8));
    return joined(bytes.subarray(0, at), fresh, bytes.subarray(at));
  },
  // The end cut off.
  (bytes, { random }) => bytes.slice(0, random.below(bytes.length + 1)),
];

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
