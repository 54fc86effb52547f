import assert from "node:assert/strict";
import type { Codec } from "../shared/gen/abi.ts";
import { compileC } from "../shared/ffi/bpf/testdata/compile.ts";
import { ObjectFormatError } from "../shared/btf/elf.ts";
import { generateAbi } from "./gen_abi.ts";

/** An object with one map of these types, and what else is told to be kept. */
async function objectOf(types: string, key: string, value: string, kept = ""): Promise<Uint8Array> {
  return await compileC(`
    typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
    typedef unsigned long long __u64; typedef long long __s64; typedef int __s32;
    struct bpf_spin_lock { __u32 val; };
    ${types}
    struct { int (*type)[1]; ${key} *key; ${value} *value; } MAP
      __attribute__((section(".maps"), used));
    ${kept && `struct { ${kept} } TYPES __attribute__((section("novanet_types"), used));`}
  `);
}

/** The generated module, loaded. */
async function load(elf: Uint8Array): Promise<Record<string, unknown>> {
  const text = generateAbi(elf);
  return await import(
    `data:application/typescript;base64,${new TextEncoder().encode(text).toBase64()}`
  );
}

const EVERYTHING = `
  enum color { COLOR_RED = 1, COLOR_NONE = -1 };
  enum only_kept { ONLY_KEPT_A = 0, ONLY_KEPT_B = 9 };
  struct inner { __u16 port_be; __u8 pad[2]; };
  struct some_key { __u32 ip; };
  struct every_value {
    struct bpf_spin_lock lock;
    __u8 small; __u8 pad1; __u16 middle;
    __u64 large;
    __s64 signed_large;
    __s32 signed_middle;
    enum color color;
    __u8 mac[6];
    __u8 pad_mac[2];
    __u32 numbers[3];
    struct inner inner;
    __u64 larges[2];
    struct inner inners[2];
  };`;

const VALUE = {
  small: 250,
  middle: 65_000,
  large: 0xffff_ffff_ffff_fff0n,
  signedLarge: -2n,
  signedMiddle: -3,
  color: -1,
  mac: Uint8Array.of(2, 254, 10, 244, 0, 7),
  numbers: [1, 2, 4_000_000_000],
  inner: { portBe: 513 },
  larges: [1n, 1n << 63n],
  inners: [{ portBe: 3 }, { portBe: 4 }],
};

// As a C compiler lays it out on any of our machines.
const BYTES = Uint8Array.from([
  [0, 0, 0, 0, 250, 0, 0xe8, 0xfd],
  [0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [2, 254, 10, 244, 0, 7, 0, 0],
  [1, 0, 0, 0, 2, 0, 0, 0],
  [0x00, 0x28, 0x6b, 0xee, 1, 2, 0, 0],
  [1, 0, 0, 0, 0, 0, 0, 0],
  [0, 0, 0, 0, 0, 0, 0, 0x80],
  [3, 0, 0, 0, 4, 0, 0, 0],
].flat());

const every = await load(
  await objectOf(EVERYTHING, "struct some_key", "struct every_value", "enum only_kept a;"),
);
const codec = every["EveryValueCodec"] as Codec<typeof VALUE>;

Deno.test("a struct is written byte for byte as C lays it out", () => {
  assert.equal(codec.size, BYTES.length);
  assert.deepEqual(codec.encode(VALUE), BYTES);
});

Deno.test("a struct is read back from C's bytes, without padding and lock", () => {
  assert.deepEqual(codec.decode(BYTES), VALUE);
});

Deno.test("a struct is written at an offset, over what was there, and nothing beside it", () => {
  const into = new Uint8Array(BYTES.length + 8).fill(0xaa);
  assert.equal(codec.encode(VALUE, into, 4), into);
  assert.deepEqual(into.subarray(4, -4), BYTES);
  assert.deepEqual([...into.subarray(0, 4), ...into.subarray(-4)], Array(8).fill(0xaa));
  const part = new Uint8Array(into.buffer, 2);
  assert.deepEqual(codec.decode(part, 2), VALUE);
});

Deno.test("offsets are C's", () => {
  assert.deepEqual(every["EveryValueLayout"], {
    size: 80,
    small: 4,
    middle: 6,
    large: 8,
    signedLarge: 16,
    signedMiddle: 24,
    color: 28,
    mac: 32,
    numbers: 40,
    inner: 52,
    larges: 56,
    inners: 72,
  });
});

Deno.test("enums come with the structs, and when a variable of theirs is kept", () => {
  assert.deepEqual(every["Color"], { COLOR_RED: 1, COLOR_NONE: -1 });
  assert.deepEqual(every["OnlyKept"], { ONLY_KEPT_A: 0, ONLY_KEPT_B: 9 });
});

const WRONG_COUNTS = [
  { what: "too few bytes", change: { mac: new Uint8Array(5) } },
  { what: "too many bytes", change: { mac: new Uint8Array(7) } },
  { what: "too few numbers", change: { numbers: [1, 2] } },
  { what: "too many structs", change: { inners: [...VALUE.inners, { portBe: 5 }] } },
];

for (const { what, change } of WRONG_COUNTS) {
  Deno.test(`${what} in an array are refused`, () => {
    assert.throws(() => codec.encode({ ...VALUE, ...change }), /every_value\.\w+ has \d elements/);
  });
}

Deno.test("a buffer that is too short is refused", () => {
  assert.throws(() => codec.decode(BYTES.subarray(1)), RangeError);
  assert.throws(() => codec.encode(VALUE, new Uint8Array(79)), RangeError);
});

const REFUSED = [
  { what: "a bit field", value: "struct v { __u32 a : 3; };" },
  { what: "a pointer", value: "struct v { void *a; };" },
  { what: "a union", value: "struct v { union { __u32 a; __u8 b; } u; };" },
  { what: "an array of arrays", value: "struct v { __u32 a[2][2]; };" },
];

for (const { what, value } of REFUSED) {
  Deno.test(`${what} has no codec`, async () => {
    const elf = await objectOf(value, "__u32", "struct v");
    assert.throws(() => generateAbi(elf), ObjectFormatError);
  });
}

Deno.test("plain numbers as key and value need no codec", async () => {
  const text = generateAbi(await objectOf("", "__u32", "__u64"));
  assert(!text.includes("Layout"));
});

Deno.test("the same object gives the same text, whatever the order of its types", async () => {
  const [a, b] = ["struct a { __u32 x; };", "struct b { __u32 y; };"];
  const one = generateAbi(await objectOf(a + b, "struct a", "struct b"));
  assert.equal(generateAbi(await objectOf(b + a, "struct b", "struct a")), one);
});

Deno.test("what is no object is refused", () => {
  const text = new TextEncoder().encode("x".repeat(100));
  assert.throws(() => generateAbi(text), ObjectFormatError);
  assert.throws(() => generateAbi(new Uint8Array(3)), ObjectFormatError);
});

Deno.test("an object without BTF is refused", async () => {
  const elf = await compileC("int x;", ["-g0"]);
  assert.throws(() => generateAbi(elf), /no section \.BTF/);
});
