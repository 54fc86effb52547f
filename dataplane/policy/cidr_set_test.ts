import assert from "node:assert/strict";
import { Cidr } from "../../shared/net/cidr.ts";
import { Ipv4 } from "../../shared/net/ipv4.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { CidrSet, diffCidrs, network, parseCidrs, parseRanges, patchCidrs } from "./cidr_set.ts";

const A = 2 ** 24;
const [B, C] = [A + 1, A + 2];

function setOf(ranges: Readonly<Record<string, number>>): CidrSet {
  return new CidrSet(
    Object.entries(ranges).map(([text, identity]) => {
      const { address, prefixLen } = Cidr.parse(text);
      return [address.value, prefixLen, identity] as const;
    }),
  );
}

Deno.test("the longest range that holds an address has it", () => {
  const set = setOf({ "10.0.0.0/8": A, "10.1.0.0/16": B, "10.1.2.3/32": C });
  const cases: [address: string, identity: number][] = [
    ["10.2.0.1", A],
    ["10.1.0.1", B],
    ["10.1.2.3", C],
    ["11.0.0.0", 0],
    ["255.255.255.255", 0],
  ];
  for (const [address, identity] of cases) {
    assert.equal(set.resolve(Ipv4.parse(address).value), identity, address);
  }
  assert.equal(setOf({ "0.0.0.0/0": A }).resolve(0xffff_ffff), A);
  assert.equal(set.size, 3);
});

Deno.test("network keeps the leading bits, as an unsigned number", () => {
  assert.equal(network(0xffff_ffff, 0), 0);
  assert.equal(network(0xffff_ffff, 1), 0x8000_0000);
  assert.equal(network(0xc0a8_01ff, 24), 0xc0a8_0100);
  assert.equal(network(0xc0a8_01ff, 32), 0xc0a8_01ff);
});

const CHANGES: [
  name: string,
  current: Record<string, number>,
  desired: Record<string, number>,
  changes: Record<string, [before: number, after: number, present: boolean]>,
][] = [
  ["nothing", { "10.0.0.0/8": A }, { "10.0.0.0/8": A }, {}],
  ["a first range", {}, { "10.0.0.0/8": A }, { "10.0.0.0/8": [0, A, true] }],
  ["another identity", { "10.0.0.0/8": A }, { "10.0.0.0/8": B }, { "10.0.0.0/8": [A, B, true] }],
  [
    "a range inside another",
    { "10.0.0.0/8": A },
    { "10.0.0.0/8": A, "10.1.0.0/16": B },
    { "10.1.0.0/16": [A, B, true] },
  ],
  [
    "its removal",
    { "10.0.0.0/8": A, "10.1.0.0/16": B },
    { "10.0.0.0/8": A },
    { "10.1.0.0/16": [B, A, false] },
  ],
  [
    "the outer one goes",
    { "10.0.0.0/8": A, "10.1.0.0/16": B },
    { "10.1.0.0/16": B },
    { "10.0.0.0/8": [A, 0, false] },
  ],
  [
    "an outer one comes while the inner one goes",
    { "10.1.0.0/16": B },
    { "10.0.0.0/8": C },
    { "10.0.0.0/8": [0, C, true], "10.1.0.0/16": [B, C, false] },
  ],
  [
    "an inner one comes while the outer one goes",
    { "10.0.0.0/8": A },
    { "10.1.0.0/16": B },
    { "10.0.0.0/8": [A, 0, false], "10.1.0.0/16": [A, B, true] },
  ],
];

for (const [name, current, desired, changes] of CHANGES) {
  Deno.test(`difference: ${name}`, () => {
    const found = diffCidrs(setOf(current), setOf(desired)).map((change) => [
      `${Ipv4.fromU32(change.address)}/${change.prefixLen}`,
      [change.oldIdentity, change.newIdentity, change.present],
    ]);
    assert.deepEqual(Object.fromEntries(found), changes);
    checkPatch(setOf(current), setOf(desired));
  });
}

/** A patch of what differs makes the same changes as the whole set, and ends at it. */
function checkPatch(current: CidrSet, desired: CidrSet): void {
  const wanted = diffCidrs(current, desired);
  const upserts = new CidrSet(
    [...desired].filter(([ip, length, id]) => current.get(ip, length) !== id),
  );
  const deletes = new CidrSet(
    [...current].filter(([ip, length]) => desired.get(ip, length) === undefined),
  );
  deletes.set(0x7f000000, 8, A);
  const patched = new CidrSet(current);
  assert.deepEqual(patchCidrs(patched, { upserts, deletes }), wanted);
  assert.deepEqual(new Set([...patched].map(String)), new Set([...desired].map(String)));
}

Deno.test("whatever the sets, each address resolves as before until the flip and as wanted after it", () => {
  const next = (() => {
    let state = 12345;
    return (below: number) =>
      (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % 65_521 % below;
  })();
  const randomSet = () =>
    new CidrSet(
      Array.from({ length: 6 }, () => {
        const prefixLen = 28 + next(5);
        return [network(next(16), prefixLen), prefixLen, A + next(4)] as const;
      }),
    );
  for (let round = 0; round < 500; round++) {
    const current = randomSet();
    const desired = randomSet();
    checkPatch(current, desired);
    const staged = [...current].map(([address, prefixLen, identity]) => ({
      address,
      prefixLen,
      versions: [identity, identity] as [number, number],
    }));
    for (const { address, prefixLen, oldIdentity, newIdentity } of diffCidrs(current, desired)) {
      const versions: [number, number] = [oldIdentity, newIdentity];
      const same = staged.find((each) => each.address === address && each.prefixLen === prefixLen);
      if (same === undefined) staged.push({ address, prefixLen, versions });
      else same.versions = versions;
    }
    for (let address = 0; address < 16; address++) {
      const longest = staged.filter((each) => network(address, each.prefixLen) === each.address)
        .sort((a, b) => b.prefixLen - a.prefixLen)[0];
      assert.equal(longest?.versions[0] ?? 0, current.resolve(address), "before the flip");
      assert.equal(longest?.versions[1] ?? 0, desired.resolve(address), "after it");
    }
  }
});

Deno.test("requests are checked", () => {
  const cidr = (cidrIp: number, prefixLen: number, identityId: number) => ({
    $typeName: "novanet.v1.CidrIdentity" as const,
    cidrIp,
    prefixLen,
    identityId,
  });
  assert.equal(parseCidrs([cidr(0x0a000000, 8, A), cidr(0x0a000000, 8, A)]).size, 1);
  const upserts = parseCidrs([cidr(0x0a000000, 8, A)]);
  assert.equal(parseRanges([cidr(0x0a000000, 16, 0)], "cidr_deletes", upserts).size, 1);
  assert.throws(
    () => parseRanges([cidr(0x0a000000, 8, 0)], "cidr_deletes", upserts),
    /^RpcError: cidr_deletes\[0\]\.cidr_ip 167772160/,
  );
  const bad: [Parameters<typeof parseCidrs>[0], RegExp][] = [
    [[cidr(0, 33, A)], /^cidr_identities\[0\]\.prefix_len 33/],
    [[cidr(1, 31, A)], /^cidr_identities\[0\]\.cidr_ip 1/],
    [[cidr(0, 0, A - 1)], /^cidr_identities\[0\]\.identity_id 16777215/],
    [[cidr(0, 0, A), cidr(0, 0, B)], /^cidr_identities\[1\]\.identity_id/],
  ];
  for (const [cidrs, message] of bad) {
    assert.throws(
      () => parseCidrs(cidrs),
      (error) =>
        error instanceof RpcError && error.code === RpcCode.INVALID_ARGUMENT &&
        message.test(error.message),
    );
  }
});
