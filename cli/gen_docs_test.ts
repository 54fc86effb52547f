import assert from "node:assert/strict";
import { cliDocs } from "./gen_docs.ts";

Deno.test("docs/cli.md is what the help says (deno run -A cli/gen_docs.ts)", () => {
  assert.equal(Deno.readTextFileSync(new URL("../docs/cli.md", import.meta.url)), cliDocs());
});
