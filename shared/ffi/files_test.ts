import assert from "node:assert/strict";
import { SysError } from "./errno.ts";
import { exists, listDir, mkdir, readText, rmdir, tryLock, unlink } from "./files.ts";
import { shim } from "./library.ts";
import { O_RDONLY, open } from "./sys.ts";

// Loaded here and not within a test, whose sanitizer would take a library that stays for a leak.
shim();

function withFolder(test: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync({ prefix: "nvt-files-" });
  try {
    test(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const errorCode = (code: string) => (error: unknown) =>
  error instanceof SysError && error.code === code;

Deno.test("folders are made and removed", () => {
  withFolder((folder) => {
    const path = `${folder}/sub`;
    assert.equal(exists(path), false);
    mkdir(path, 0o700);
    assert.equal(exists(path), true);
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o700);
    assert.throws(() => mkdir(path, 0o700), errorCode("EEXIST"));
    Deno.writeTextFileSync(`${path}/file`, "");
    assert.throws(() => rmdir(path), errorCode("ENOTEMPTY"));
    assert.equal(unlink(`${path}/file`), true);
    assert.equal(unlink(`${path}/file`), false);
    rmdir(path);
    assert.throws(() => rmdir(path), errorCode("ENOENT"));
  });
});

Deno.test("a folder is listed whole, however many names it has", () => {
  withFolder((folder) => {
    assert.deepEqual(listDir(folder), []);
    assert.deepEqual(listDir(`${folder}/none`), []);
    const names = Array.from({ length: 2000 }, (_, i) => `${i}-${"x".repeat(60)}`).sort();
    for (const name of names) Deno.writeTextFileSync(`${folder}/${name}`, "");
    assert.deepEqual(listDir(folder).sort(), names);
  });
});

Deno.test("files are read to their end", () => {
  withFolder((folder) => {
    const text = "ä€".repeat(50_000);
    Deno.writeTextFileSync(`${folder}/file`, text);
    assert.equal(readText(`${folder}/file`), text);
  });
  assert.match(readText("/proc/self/mountinfo"), / \/ /);
  assert.throws(() => readText("/proc/none"), errorCode("ENOENT"));
});

Deno.test("a lock holds until the descriptor is closed", () => {
  withFolder((folder) => {
    using first = open(folder, O_RDONLY);
    using second = open(folder, O_RDONLY);
    assert.equal(tryLock(first), true);
    assert.equal(tryLock(second), false);
    first.close();
    assert.equal(tryLock(second), true);
  });
});
