import assert from "node:assert/strict";
import { bpfObject, nativeTool } from "./tools.ts";

Deno.test("the benchmarks' own programs compile, with the datapath's headers as they are", async () => {
  assert.ok((await bpfObject("vary")).byteLength > 0);
  for (const name of ["request_response", "launch", "flood"] as const) {
    assert.ok(Deno.statSync(await nativeTool(name)).size > 0);
  }
});
