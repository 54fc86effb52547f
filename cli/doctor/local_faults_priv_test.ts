/** As root: whose a folder is decides. */

import assert from "node:assert/strict";
import { localFaults } from "./local_faults.ts";

/** A folder with a socket that anybody may open; disposing takes it away. */
function openFolder(mode: number) {
  const dir = Deno.makeTempDirSync();
  const path = `${dir}/novanet.sock`;
  const listener = Deno.listen({ transport: "unix", path });
  Deno.chmodSync(path, 0o666);
  Deno.chmodSync(dir, mode);
  const look = (answers: boolean) =>
    localFaults({ sockets: [{ path, answers }], cniConfDir: `${dir}/c`, cniBinDir: `${dir}/b` });
  const modes = () => [path, dir].map((each) => (Deno.statSync(each).mode ?? 0) & 0o7777);
  return {
    dir,
    look,
    modes,
    [Symbol.dispose]() {
      listener.close();
      Deno.removeSync(dir, { recursive: true });
    },
  };
}

Deno.test("modes that let others in are found, and repaired", () => {
  using folder = openFolder(0o777);
  const look = () => folder.look(true);
  assert.deepEqual(look().map(({ expected, found }) => `${expected}, not ${found}`), [
    "mode 0600, not mode 0666",
    "mode 0750, not mode 0777",
  ]);
  for (const { repair } of look()) repair?.();
  assert.deepEqual(look(), []);
});

Deno.test("a path where NovaNet does not answer is left as it is", () => {
  using folder = openFolder(0o777);
  assert.deepEqual(folder.look(false), []);
});

const SHARED: readonly (readonly [why: string, mode: number, change: (dir: string) => void])[] = [
  ["sticky as /tmp", 0o1777, () => {}],
  [
    "another's file in it, as in /run",
    0o755,
    (dir) => Deno.writeTextFileSync(`${dir}/other.pid`, "1"),
  ],
  ["another user's", 0o755, (dir) => Deno.chownSync(dir, 65534, 65534)],
];
for (const [why, mode, change] of SHARED) {
  Deno.test(`a shared folder keeps its mode, with a warning: ${why}`, () => {
    using folder = openFolder(mode);
    change(folder.dir);
    const faults = folder.look(true);
    const [ofFolder] = faults.filter(({ object }) => object === folder.dir);
    assert.deepEqual([ofFolder?.warning, ofFolder?.repair], [true, undefined]);
    for (const { repair } of faults) repair?.();
    assert.deepEqual(folder.modes(), [0o600, mode]);
  });
}
