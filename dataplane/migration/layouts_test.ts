import assert from "node:assert/strict";
import { Layout } from "../../shared/gen/abi.ts";
import { sortPins } from "../programs/pins.ts";
import { type Layouts, NewerLayoutError, sortLayouts } from "./layouts.ts";
import { ROLES } from "./roles.ts";

const files = ({ truth, older, scratch }: Layouts) => ({
  truth,
  older: older.map(({ file }) => file),
  scratch: scratch.map(({ file }) => file),
});

interface Case {
  readonly what: string;
  readonly pins: string[];
  readonly known: number;
  readonly expected: { truth: number | undefined; older: string[]; scratch: string[] };
}

const CASES: Case[] = [
  {
    what: "nothing",
    pins: [],
    known: 2,
    expected: { truth: undefined, older: [], scratch: [] },
  },
  {
    what: "its own",
    pins: ["A_v2", "B_v2"],
    known: 2,
    expected: { truth: 2, older: [], scratch: [] },
  },
  {
    what: "older ones",
    pins: ["A_v1", "B_v1"],
    known: 3,
    expected: { truth: 1, older: ["A_v1", "B_v1"], scratch: [] },
  },
  {
    what: "killed while the new ones were made",
    pins: ["A_v1", "B_v1", "A_v2"],
    known: 2,
    expected: { truth: 1, older: ["A_v1", "B_v1"], scratch: ["A_v2"] },
  },
  {
    what: "killed while programs were switched",
    pins: ["A_v1", "B_v1", "A_v2", "B_v2", "sealed_v2"],
    known: 2,
    expected: { truth: 2, older: ["A_v1", "B_v1"], scratch: [] },
  },
  {
    what: "killed while the old ones were removed",
    pins: ["B_v1", "A_v2", "B_v2", "sealed_v2"],
    known: 2,
    expected: { truth: 2, older: ["B_v1"], scratch: [] },
  },
  {
    what: "an upgrade after one that was killed before its seal",
    pins: ["A_v1", "A_v2"],
    known: 3,
    expected: { truth: 1, older: ["A_v1"], scratch: ["A_v2"] },
  },
  {
    what: "an upgrade after one that was killed behind its seal",
    pins: ["A_v1", "A_v2", "A_v3", "sealed_v2"],
    known: 3,
    expected: { truth: 2, older: ["A_v2", "A_v1"], scratch: ["A_v3"] },
  },
  {
    what: "back to the old program, after an upgrade that was killed before its seal",
    pins: ["A_v1", "A_v2"],
    known: 1,
    expected: { truth: 1, older: [], scratch: ["A_v2"] },
  },
];

for (const { what, pins, known, expected } of CASES) {
  Deno.test(`layouts: ${what}`, () => {
    assert.deepEqual(files(sortLayouts("/pins", sortPins(pins), known)), expected);
  });
}

for (const pins of [["A_v3", "B_v3"], ["A_v1", "A_v3", "sealed_v3"]]) {
  Deno.test(`layouts: ${pins.join(", ")} are refused by one who knows 1`, () => {
    assert.throws(
      () => sortLayouts("/pins", sortPins(pins), 1),
      (error) =>
        error instanceof NewerLayoutError && error.known === 1 &&
        error.pins.every(({ version }) => version === 3) &&
        ["/pins", "A_v3", "version 3", "up to 1", "--cleanup"].every((part) =>
          error.message.includes(part)
        ),
    );
  });
}

Deno.test("docs/operations.md shows what one says who does not know the layout of now", () => {
  const page = Deno.readTextFileSync(new URL("../../docs/operations.md", import.meta.url));
  const version = Layout.LAYOUT_VERSION;
  const pins = Object.keys(ROLES).map((map) => `${map}_v${version}`);
  assert.throws(
    () => sortLayouts("/sys/fs/bpf/novanet", sortPins(pins), version - 1),
    (error) =>
      error instanceof NewerLayoutError &&
      page.includes(`\n    ${error.message.split(",", 1)[0]}, and `),
  );
});
