import assert from "node:assert/strict";
import { securityPage } from "./docs.ts";

Deno.test("docs/security.md has the attack table as it is tested", () => {
  const { current, wanted } = securityPage();
  assert.equal(current, wanted, "run `deno run -A tests/attacks/docs.ts`");
});
