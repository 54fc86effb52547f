import assert from "node:assert/strict";
import { row } from "./benchmark.ts";
import { plainTable, shortNumber, withSections } from "./report.ts";

const NUMBERS: [value: number, text: string][] = [
  [0, "0"],
  [0.12345, "0.123"],
  [1.005, "1"],
  [12.34, "12.3"],
  [99.96, "100"],
  [1234.5, "1235"],
];

for (const [value, text] of NUMBERS) {
  Deno.test(`${value} is shown as ${text}`, () => assert.equal(shortNumber(value), text));
}

const MARKS: [
  ours: number,
  atMost: number | undefined,
  atLeast: number | undefined,
  met: boolean,
][] = [
  [20, 2, undefined, true],
  [21, 2, undefined, false],
  [15, undefined, 1.5, true],
  [14, undefined, 1.5, false],
];

for (const [ours, atMost, atLeast, met] of MARKS) {
  Deno.test(`${ours / 10}x against at most ${atMost}, at least ${atLeast}: ${met}`, () => {
    const mark = {
      of: "ratio" as const,
      ...(atMost === undefined ? {} : { atMost }),
      ...(atLeast === undefined ? {} : { atLeast }),
    };
    const peer = { name: "peer", values: [10] };
    assert.equal(row({ what: "w", unit: "u", ours: [ours], peer, mark }).met, met);
  });
}

Deno.test("the ratio comes first, then the mark", () => {
  const peer = { name: "routed", values: [2, 2, 4] };
  const mark = { of: "ratio" as const, atLeast: 3 };
  const [head = "", line = ""] = plainTable([
    row({ what: "TCP", unit: "Gbit/s", ours: [3, 5, 4], peer, mark, cause: "slow" }),
  ]).split("\n");
  assert.deepEqual(head.split(/ {2,}/), ["ratio", "mark", "met", "what", "NovaNet", "peer"]);
  assert.deepEqual(line.split(/ {2,}/), [
    "2x",
    "≥ 3x",
    "no",
    "TCP",
    "4 (3–5) Gbit/s",
    "2 (2–4) Gbit/s, routed",
  ]);
});

Deno.test("only what is between the markers changes", () => {
  const markers = [
    "<!-- bench:begin (written by ./run bench, do not edit) -->",
    "<!-- bench:end -->",
  ];
  const page = `# Title\n${markers[0]}\nold\n${markers[1]}\nend\n`;
  const once = withSections(page, "new");
  assert.equal(once, `# Title\n${markers[0]}\n\nnew\n\n${markers[1]}\nend\n`);
  assert.equal(withSections(once, "new"), once);
  assert.throws(() => withSections("# Title", "new"), RangeError);
});
