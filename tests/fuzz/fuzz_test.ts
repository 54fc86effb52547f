/** The short form of `./run fuzz`: every target on its seeds and its corpus, findings included, and on a few mutations. */
import assert from "node:assert/strict";
import { shim } from "../../shared/ffi/library.ts";
import { filesUnder } from "../../tools/build/files.ts";
import { fuzz } from "./engine.ts";
import { FUZZED_SERVICES } from "./targets/rpc.ts";
import { TARGETS } from "./targets.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const MUTATIONS_MS = 500;
const SEED = 20261121;

Deno.test("every service of the API is fuzzed", () => {
  const services = filesUnder("proto", (path) => path.endsWith(".proto")).flatMap((path) => {
    const text = Deno.readTextFileSync(path);
    const folder = /^package ([\w.]+);$/m.exec(text)?.[1];
    return [...text.matchAll(/^service (\w+) \{/gm)].map(([, name]) => `${folder}.${name}`);
  });
  assert.deepEqual(new Set(services), FUZZED_SERVICES);
});

for (const target of TARGETS) {
  Deno.test(`fuzz ${target.name}: ${target.what}`, async () => {
    const { outcomes, findings } = await fuzz(target, { seed: SEED, ms: MUTATIONS_MS });
    for (const { input, error } of findings) {
      console.error(`input ${input.toHex().slice(0, 400)}`);
      throw error;
    }
    assert(outcomes > 1, "nothing guides the mutations");
  });
}
