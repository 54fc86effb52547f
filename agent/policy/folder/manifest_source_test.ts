import assert from "node:assert/strict";
import { eventually } from "../../../shared/testing/eventually.ts";
import type { ManifestSnapshot } from "../manifest_store.ts";
import { formatProblem } from "../objects/problem.ts";
import { ManifestSource } from "./manifest_source.ts";

function pod(name: string): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\n`;
}

/** A private directory with a manifest source on a folder in it. */
class Fixture implements AsyncDisposable {
  readonly root: string;
  readonly folder: string;
  readonly snapshots: ManifestSnapshot[] = [];
  readonly errors: unknown[] = [];
  readonly source: ManifestSource;

  constructor(folder = "manifests") {
    this.root = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "nvt-manifests-" }));
    this.folder = `${this.root}/${folder}`;
    this.source = new ManifestSource({
      folder: this.folder,
      onSnapshot: (snapshot) => void this.snapshots.push(snapshot),
      onError: (error) => void this.errors.push(error),
    });
  }

  /** Writes a file under the root, the directories to it too. */
  write(path: string, text: string): void {
    const file = `${this.root}/${path}`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(file, text);
  }

  /** Waits until these pods are in force and nothing else, with this many errors. */
  async inForce(names: string, errors = 0): Promise<void> {
    await eventually(() => {
      const last = this.snapshots.at(-1);
      const pods = [...last?.pods.values() ?? []].map(({ name }) => name).sort().join(" ");
      const shown = last?.errors.map(formatProblem).join("\n");
      assert.equal(pods, names, shown);
      assert.equal(last?.errors.length, errors, shown);
      return true;
    }, { what: `pods ${names} in force` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.close();
    Deno.removeSync(this.root, { recursive: true });
    assert.deepEqual(this.errors, []);
  }
}

Deno.test("files are read, changed, broken, mended, renamed and deleted", async () => {
  await using fixture = new Fixture();
  fixture.write("manifests/a.yaml", pod("a"));
  fixture.write("manifests/b.json", '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}');
  fixture.write("manifests/.hidden.yaml", pod("hidden"));
  fixture.write("manifests/notes.txt", "kind");
  fixture.write("manifests/sub/c.yml", pod("c"));
  await fixture.source.start();
  await fixture.inForce("a b c");
  assert.equal(fixture.snapshots.length, 1, "start delivers");
  fixture.write("manifests/a.yaml", `${pod("a")}---\n${pod("a2")}`);
  await fixture.inForce("a a2 b c");
  fixture.write("manifests/a.yaml", "kind: [");
  await fixture.inForce("a a2 b c", 1);
  assert.deepEqual(fixture.snapshots.at(-1)?.held, [`${fixture.folder}/a.yaml`]);
  fixture.write("manifests/a.yaml", pod("a3"));
  await fixture.inForce("a3 b c");
  Deno.renameSync(`${fixture.folder}/a.yaml`, `${fixture.folder}/d.yaml`);
  await fixture.inForce("a3 b c");
  await eventually(() =>
    fixture.snapshots.at(-1)?.pods.get("default/a3")?.source.file.endsWith("d.yaml")
  );
  Deno.removeSync(`${fixture.folder}/sub`, { recursive: true });
  await fixture.inForce("a3 b");
  fixture.write("manifests/new/e.yaml", pod("e"));
  await fixture.inForce("a3 b e");
  fixture.write("manifests/new/f.yaml", pod("f"));
  await fixture.inForce("a3 b e f");
});

Deno.test("the folder may be missing, come, go and come back", async () => {
  await using fixture = new Fixture("etc/novanet/manifests");
  await fixture.source.start();
  await fixture.inForce("");
  fixture.write("etc/novanet/manifests/a.yaml", pod("a"));
  await fixture.inForce("a");
  Deno.renameSync(`${fixture.root}/etc/novanet`, `${fixture.root}/etc/away`);
  await fixture.source.rescan();
  await fixture.inForce("");
  fixture.write("etc/novanet/manifests/b.yaml", pod("b"));
  await fixture.inForce("b");
  Deno.removeSync(fixture.folder, { recursive: true });
  await fixture.inForce("");
  fixture.write("etc/novanet/manifests/c.yaml", pod("c"));
  await fixture.inForce("c");
  fixture.write("etc/novanet/manifests/d.yaml", pod("d"));
  await fixture.inForce("c d");
});

Deno.test("a ConfigMap's mount changes whole when its link is swapped", async () => {
  await using fixture = new Fixture();
  fixture.write("manifests/..2026_1/a.yaml", pod("a"));
  Deno.symlinkSync("..2026_1", `${fixture.folder}/..data`);
  Deno.symlinkSync("..data/a.yaml", `${fixture.folder}/a.yaml`);
  await fixture.source.start();
  await fixture.inForce("a");
  for (const version of [2, 3]) {
    fixture.write(`manifests/..2026_${version}/a.yaml`, pod(`a${version}`));
    Deno.symlinkSync(`..2026_${version}`, `${fixture.folder}/..data_tmp`);
    Deno.renameSync(`${fixture.folder}/..data_tmp`, `${fixture.folder}/..data`);
    Deno.removeSync(`${fixture.folder}/..2026_${version - 1}`, { recursive: true });
    await fixture.inForce(`a${version}`);
  }
});

Deno.test("symlinks to files, to folders and to the folder itself; a loop ends", async () => {
  await using fixture = new Fixture();
  fixture.write("real/a.yaml", pod("a"));
  fixture.write("elsewhere/b.yaml", pod("b"));
  fixture.write("other/c.yaml", pod("c"));
  Deno.symlinkSync("real", fixture.folder);
  Deno.symlinkSync("../elsewhere/b.yaml", `${fixture.root}/real/link.yaml`);
  Deno.symlinkSync("../other", `${fixture.root}/real/other`);
  Deno.symlinkSync(".", `${fixture.root}/real/loop`);
  Deno.symlinkSync("nowhere.yaml", `${fixture.root}/real/dangling.yaml`);
  await fixture.source.start();
  await fixture.inForce("a b c");
  fixture.write("elsewhere/b.yaml", pod("b2"));
  await fixture.inForce("a b2 c");
  fixture.write("other/c.yaml", pod("c2"));
  await fixture.inForce("a b2 c2");
  fixture.write("next/d.yaml", pod("d"));
  Deno.symlinkSync("next", `${fixture.root}/swap`);
  Deno.renameSync(`${fixture.root}/swap`, fixture.folder);
  await fixture.inForce("d");
});

Deno.test("a large file, text that is no UTF-8 and a pipe are errors of their files only", async () => {
  await using fixture = new Fixture();
  fixture.write("manifests/a.yaml", pod("a"));
  fixture.write("manifests/large.yaml", "#".repeat(2 * 1024 * 1024 + 1));
  Deno.writeFileSync(`${fixture.folder}/latin1.yaml`, new Uint8Array([0x61, 0x3a, 0x20, 0xe9]));
  await new Deno.Command("mkfifo", { args: [`${fixture.folder}/pipe.yaml`] }).output();
  await fixture.source.start();
  await fixture.inForce("a", 3);
  const reasons = fixture.snapshots[0]?.errors.map(({ reason }) => reason);
  assert.deepEqual(reasons, [
    "2097153 bytes; at most 2097152 are read",
    "it is not UTF-8",
    "not a regular file",
  ]);
});

Deno.test("a burst of changes is one snapshot, and nothing changed is none", async () => {
  await using fixture = new Fixture();
  fixture.write("manifests/a.yaml", pod("a"));
  await fixture.source.start();
  for (let i = 0; i < 100; i++) fixture.write(`manifests/p${i}.yaml`, pod(`p${i}`));
  await eventually(() => fixture.snapshots.at(-1)?.pods.size === 101);
  assert(fixture.snapshots.length <= 4, `${fixture.snapshots.length} snapshots`);
  // More events than the system keeps for a reader that is not there yet.
  for (let i = 0; i < 100; i++) fixture.write(`manifests/p${i}.yaml`, pod(`q${i}`));
  await eventually(() =>
    [...fixture.snapshots.at(-1)?.pods.values() ?? []].every(({ name }) => !name.startsWith("p"))
  );
  const count = fixture.snapshots.length;
  fixture.write("manifests/a.yaml", pod("a"));
  await fixture.source.rescan();
  assert.equal(fixture.snapshots.length, count);
});

Deno.test("a failing callback is reported and the next snapshot still comes", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "nvt-manifests-" });
  const errors: unknown[] = [];
  const sizes: number[] = [];
  const source = new ManifestSource({
    folder,
    onSnapshot: ({ pods }) => {
      sizes.push(pods.size);
      if (pods.size === 0) throw new Error("not yet");
    },
    onError: (error) => errors.push(error),
  });
  await source.start();
  Deno.writeTextFileSync(`${folder}/a.yaml`, pod("a"));
  await eventually(() => sizes.at(-1) === 1);
  assert.equal(errors.length, 1);
  await source.close();
  await source.close();
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("files that come one by one: new, put in place by renaming, no manifests, folders and links", async () => {
  await using fixture = new Fixture();
  for (const name of ["a", "b", "c"]) fixture.write(`manifests/${name}.yaml`, pod(name));
  await fixture.source.start();
  const file = (name: string) => `${fixture.folder}/${name}`;
  fixture.write("manifests/a.yaml", pod("a2"));
  await fixture.inForce("a2 b c");
  fixture.write("manifests/d.yaml", pod("d"));
  await fixture.inForce("a2 b c d");
  fixture.write("manifests/a.yaml.new", pod("a3"));
  Deno.renameSync(file("a.yaml.new"), file("a.yaml"));
  await fixture.inForce("a3 b c d");
  fixture.write("manifests/notes.txt", "nothing");
  fixture.write("manifests/.hidden.yaml", pod("hidden"));
  Deno.removeSync(file("c.yaml"));
  await fixture.inForce("a3 b d");
  Deno.mkdirSync(file("sub.yaml"));
  fixture.write("manifests/sub.yaml/e.yaml", pod("e"));
  await fixture.inForce("a3 b d e");
  Deno.symlinkSync(file("notes.txt"), file("f.yaml"));
  fixture.write("manifests/notes.txt", pod("f"));
  await fixture.inForce("a3 b d e f");
});
