import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import type { Attachment } from "./attachment.ts";
import { MIGRATIONS, SchemaVersionError } from "./database.ts";
import { StateLockedError } from "./state_lock.ts";
import { Store } from "./store.ts";

function withDir(run: (dir: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = Deno.makeTempDirSync({ prefix: "nvt-state-" });
    try {
      await run(dir);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  };
}

function attachment(last: number, more: Partial<Attachment> = {}): Attachment {
  const ip = Ipv4.parse(`10.244.0.${last}`);
  return {
    containerId: `container-${last}`,
    ifName: "eth0",
    podNamespace: "default",
    podName: `pod-${last}`,
    netns: `/run/netns/pod-${last}`,
    netnsId: `4:${4_026_532_000 + last}`,
    ip,
    mac: Mac.forPod(ip),
    gateway: Ipv4.parse("10.244.0.1"),
    prefixLen: 24,
    mtu: 1450,
    hostIfName: `nvcontainer${last}`,
    hostIfindex: 0,
    labels: { app: "x" },
    identityLabels: { app: "x", "novanet.io/namespace": "default" },
    state: "adding",
    createdUnixMs: 1_700_000_000_000 + last,
    ...more,
  };
}

Deno.test(
  "attachments, addresses, identities and rules survive a restart",
  withDir((dir) => {
    const first = attachment(2);
    {
      using store = Store.open(dir);
      store.insertAttachment(first, 300);
      store.insertAttachment(attachment(3), 300);
      store.updateAttachment({ ...first, state: "ready", hostIfindex: 9 });
      store.deleteAttachment(attachment(3), attachment(3).ip, 77);
      store.saveRule(16, "default/web:ingress[0]");
      store.saveRule(17, "default/web:egress[0]");
      store.saveRule(18, "gone");
      store.forgetRule("gone");
      store.saveManifest("a.yaml", "one");
      store.saveManifest("a.yaml", "two");
      store.saveManifest("b.yaml", "gone");
      store.forgetManifest("b.yaml");
    }
    using store = Store.open(dir);
    assert.deepEqual(store.attachments(), [{ ...first, state: "ready", hostIfindex: 9 }]);
    assert.deepEqual(store.restingAddresses(), [[Ipv4.parse("10.244.0.3").value, 77]]);
    assert.deepEqual(store.identities(), [{ id: 300, labels: first.identityLabels }]);
    assert.deepEqual(store.rules(), [
      [16, "default/web:ingress[0]"],
      [17, "default/web:egress[0]"],
    ]);
    assert.deepEqual([store.manifest("a.yaml"), store.manifest("b.yaml")], ["two", undefined]);
  }),
);

Deno.test(
  "an address cannot be stored twice, and a failed insert leaves nothing",
  withDir((dir) => {
    using store = Store.open(dir);
    store.insertAttachment(attachment(2), 300);
    assert.throws(() => store.insertAttachment(attachment(3, { ip: attachment(2).ip }), 301));
    assert.throws(() => store.insertAttachment(attachment(4, { hostIfName: "nvcontainer2" }), 302));
    assert.equal(store.attachments().length, 1);
    store.insertAttachment(attachment(4), 302);
  }),
);

Deno.test(
  "a resting address can be used again; rested ones and unused identities are forgotten",
  withDir((dir) => {
    using store = Store.open(dir);
    const again = attachment(2);
    store.insertAttachment(again, 300);
    store.deleteAttachment(again, again.ip, 50);
    store.insertAttachment(again, 300);
    assert.deepEqual(store.restingAddresses(), []);
    store.deleteAttachment(again, again.ip, 50);
    store.forgetRested(50);
    assert.equal(store.restingAddresses().length, 1);
    store.forgetRested(51);
    store.forgetUnusedIdentities();
    assert.deepEqual([store.restingAddresses(), store.identities()], [[], []]);
  }),
);

Deno.test(
  "a transaction is undone whole",
  withDir((dir) => {
    using store = Store.open(dir);
    assert.throws(() =>
      store.transaction(() => {
        store.insertAttachment(attachment(2), 300);
        throw new Error("injected");
      })
    );
    assert.deepEqual([store.attachments(), store.identities()], [[], []]);
  }),
);

Deno.test(
  "the database is WAL, versioned, and a newer one is refused",
  withDir((dir) => {
    Store.open(dir)[Symbol.dispose]();
    const db = new DatabaseSync(`${dir}/agent.db`);
    assert.equal(db.prepare("PRAGMA journal_mode").get()?.journal_mode, "wal");
    assert.equal(db.prepare("PRAGMA user_version").get()?.user_version, MIGRATIONS.length);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
    db.close();
    assert.throws(() => Store.open(dir), SchemaVersionError);
  }),
);

Deno.test(
  "a second process on the same directory is refused until the first one is gone",
  withDir(async (dir) => {
    const script = `import { Store } from ${JSON.stringify(import.meta.resolve("./store.ts"))};
      Store.open(${JSON.stringify(dir)});
      console.log("open");
      setInterval(() => {}, 1000);`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", script],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    assert.throws(() => Store.open(dir), (error) => {
      assert.ok(error instanceof StateLockedError);
      assert.ok(error.message.includes(`process ${child.pid}`), error.message);
      return true;
    });
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    Store.open(dir)[Symbol.dispose]();
  }),
);

Deno.test(
  "a database that another has locked is refused, and works when it is free again",
  withDir((dir) => {
    using store = Store.open(dir);
    {
      using other = new DatabaseSync(`${dir}/agent.db`);
      other.exec("BEGIN IMMEDIATE");
      assert.throws(() => store.insertAttachment(attachment(2), 300), /locked/);
      other.exec("ROLLBACK");
    }
    store.insertAttachment(attachment(2), 300);
    assert.deepEqual(store.attachments().map(({ podName }) => podName), ["pod-2"]);
  }),
);

Deno.test(
  "what an inspection asks for: addresses in use; rows that are restored and forgotten",
  withDir((dir) => {
    using store = Store.open(dir);
    const pod = attachment(2);
    store.insertAttachment(pod, 300);
    using other = new DatabaseSync(`${dir}/agent.db`, { enableForeignKeyConstraints: false });
    other.exec(`DELETE FROM addresses; DELETE FROM attachments;
                INSERT INTO addresses (ip, state) VALUES (7, 'used')`);
    assert.deepEqual(store.usedAddresses(), [7]);
    store.forgetAddress(7);
    store.restoreAttachment(pod, 300);
    assert.deepEqual(store.usedAddresses(), [pod.ip.value]);
    store.forgetAddress(pod.ip.value);
    assert.deepEqual(store.usedAddresses(), [pod.ip.value], "a pod has it");
    assert.deepEqual(store.attachments(), [pod]);
  }),
);
