import assert from "node:assert/strict";
import { command } from "../../tools/build/command.ts";
import { targetOf } from "../../tools/build/target.ts";

const SHIM = `${targetOf().work}/native/libnovanet.so`;

/** The oldest glibc that the executables promise to run on. */
const GLIBC = [2, 31] as const;

const symbols = await command(["objdump", "-T", SHIM]);

Deno.test("the shim asks for no glibc newer than 2.31", () => {
  const versions = [...symbols.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) =>
    [Number(major), Number(minor)] as const
  );
  assert(versions.length > 0, "objdump shows no versioned symbol");
  const newer = versions.filter(([major, minor]) =>
    major > GLIBC[0] || (major === GLIBC[0] && minor > GLIBC[1])
  );
  assert.deepEqual(newer, []);
});

Deno.test("the shim needs glibc only", async () => {
  const dynamic = await command(["objdump", "-p", SHIM]);
  const needed = [...dynamic.matchAll(/NEEDED\s+(\S+)/g)].map(([, name]) => name!);
  const glibc =
    /^(libc\.so\.6|libm\.so\.6|libdl\.so\.2|libpthread\.so\.0|ld-linux-[\w-]+\.so\.\d)$/;
  assert.deepEqual(needed.filter((name) => !glibc.test(name)), []);
});

Deno.test("the shim exports nv_ functions only", () => {
  const defined = symbols.split("\n").filter((line) =>
    /^[0-9a-f]{8,}/.test(line) && !line.includes("*UND*")
  );
  const names = defined.map((line) => line.trim().split(/\s+/).at(-1)!);
  assert(names.includes("nv_open"), "nv_open is not exported");
  assert.deepEqual(names.filter((name) => !name.startsWith("nv_")), []);
});
