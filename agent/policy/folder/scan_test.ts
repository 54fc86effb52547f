import assert from "node:assert/strict";
import { MAX_FILES, scanFolder } from "./scan.ts";

Deno.test("files beyond the limit are one fault, and known as skipped", () => {
  const folder = Deno.makeTempDirSync({ prefix: "nvt-scan-" });
  try {
    for (let i = 0; i < MAX_FILES + 3; i++) Deno.createSync(`${folder}/${i}.yaml`).close();
    const { files, faults, skipped } = scanFolder(folder);
    assert.equal(files.size, MAX_FILES);
    assert.equal(skipped.size, 3);
    assert.deepEqual(faults, [{
      path: [...skipped][0],
      reason: "more than 10000 files: 3 are not read, this one first",
    }]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
