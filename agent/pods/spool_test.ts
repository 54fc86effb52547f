import assert from "node:assert/strict";
import { eventually } from "../../shared/testing/eventually.ts";
import { Spool, type SpooledDelete } from "./spool.ts";

function write(dir: string, name: string, content: unknown) {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  Deno.writeTextFileSync(`${dir}/.${name}.tmp`, text);
  Deno.renameSync(`${dir}/.${name}.tmp`, `${dir}/${name}`);
}

const ENTRY = { container_id: "c1", if_name: "eth0", netns: "/x", unix_ms: 5 };

Deno.test("entries from before and after the start are worked off and removed", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nvt-spool-" });
  const seen: SpooledDelete[] = [];
  try {
    write(dir, "a.json", ENTRY);
    write(dir, "b.json", "{not json");
    write(dir, "c.json", { container_id: "c2" });
    await using spool = new Spool(dir, (entry) => {
      seen.push(entry);
      return Promise.resolve();
    });
    await spool.start();
    assert.deepEqual(seen, [{ containerId: "c1", ifName: "eth0", unixMs: 5 }]);
    write(dir, "d.json", { ...ENTRY, container_id: "c3" });
    await eventually(() => seen.length === 2);
    const left = () => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
    await eventually(() => left().length === 2);
    assert.deepEqual(left(), ["b.json.bad", "c.json.bad"]);
    assert.equal(spool.pending, 0);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("what fails is tried again, at growing intervals up to a limit, at once on request", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nvt-spool-" });
  const tries: number[] = [];
  let fail = true;
  try {
    write(dir, "a.json", ENTRY);
    await using spool = new Spool(dir, () => {
      tries.push(performance.now());
      return fail ? Promise.reject(new Error("injected")) : Promise.resolve();
    }, { firstMs: 10, maxMs: 40 });
    await spool.start();
    await eventually(() => tries.length >= 6);
    const gaps = tries.slice(1).map((time, index) => time - (tries[index] ?? 0));
    for (const [index, least] of [10, 20, 40, 40, 40].entries()) {
      assert.ok((gaps[index] ?? 0) >= least - 2, `${gaps}`);
    }
    fail = false;
    spool.retryNow();
    await eventually(() => spool.pending === 0);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("what fails stays, is counted, and is tried again", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nvt-spool-" });
  let fail = true;
  try {
    write(dir, "a.json", ENTRY);
    await using spool = new Spool(
      dir,
      () => fail ? Promise.reject(new Error("injected")) : Promise.resolve(),
    );
    await spool.start();
    assert.equal(spool.pending, 1);
    fail = false;
    await spool.scan();
    assert.equal(spool.pending, 0);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
