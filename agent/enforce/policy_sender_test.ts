import assert from "node:assert/strict";
import { closeCalls, openCalls } from "../dataplane/calls.ts";
import type { CompiledEntry, DesiredPolicy } from "../policy/mod.ts";
import { compiledEntry } from "../testing/compiled_entry.ts";
import { FakeDataplane } from "../testing/fake_dataplane.ts";
import { PolicySender, type Refusal } from "./policy_sender.ts";

/** A set of our own that changes, a dataplane, and what it was told. */
class SenderLab implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "nvt-sender-" });
  readonly dataplane = new FakeDataplane(`${this.#folder}/dataplane.sock`, () => []);
  readonly calls = openCalls(`${this.#folder}/dataplane.sock`);
  readonly desired = new Map<number, CompiledEntry>();
  readonly sender = new PolicySender((): DesiredPolicy => ({
    policies: [...this.desired.values()],
    cidrIdentities: [],
    ruleNames: { 16: "rule" },
  }));

  static async start(): Promise<SenderLab> {
    const lab = new SenderLab();
    await lab.dataplane.start();
    return lab;
  }

  /** Changes our set. */
  change(added: readonly number[], removed: readonly number[] = []): void {
    for (const id of added) this.desired.set(id, compiledEntry(id));
    for (const id of removed) this.desired.delete(id);
    this.sender.note({
      upserted: added.map((id) => compiledEntry(id)),
      removed: removed.map((id) => compiledEntry(id)),
      cidrsAdded: [],
      cidrsRemoved: [],
      rulesAdded: {},
      rulesRemoved: [],
      empty: false,
    });
  }

  /** Why our set is not in force. */
  refused(): Refusal | undefined {
    return this.sender.refused;
  }

  /** What the dataplane was told since the last call. */
  told(): string[] {
    return this.dataplane.calls.splice(0).map((call) => call.join(" "));
  }

  /** The identities that the dataplane's entries are for. */
  has(): number[] {
    return this.dataplane.policies.map(({ dstIdentity }) => dstIdentity).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeCalls(this.calls);
    await this.dataplane.stop();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

Deno.test("all of it first, then what changes, then nothing", async () => {
  await using lab = await SenderLab.start();
  lab.change([300, 301]);
  assert.ok(!lab.sender.upToDate);
  await lab.sender.send(lab.calls);
  assert.deepEqual(lab.told(), ["syncPolicies 2"]);
  assert.ok(lab.sender.upToDate);
  lab.change([302], [300]);
  assert.ok(!lab.sender.upToDate);
  await lab.sender.send(lab.calls);
  await lab.sender.send(lab.calls);
  assert.deepEqual(lab.told(), ["patchPolicies +1 -1"]);
  assert.deepEqual(lab.has(), [301, 302]);
});

Deno.test("additions leave what the dataplane has, until all is sent", async () => {
  await using lab = await SenderLab.start();
  lab.change([300, 301]);
  await lab.sender.send(lab.calls);
  lab.change([302], [300]);
  await lab.sender.sendAdditions(lab.calls);
  assert.deepEqual(lab.has(), [300, 301, 302]);
  assert.ok(!lab.sender.upToDate);
  await lab.sender.send(lab.calls);
  assert.deepEqual(lab.has(), [301, 302]);
  assert.deepEqual(lab.told(), ["syncPolicies 2", "patchPolicies +1 -0", "patchPolicies +0 -1"]);

  // The same without knowing what it has.
  lab.sender.forgetBase();
  lab.change([303], [301]);
  await lab.sender.sendAdditions(lab.calls);
  assert.deepEqual(lab.has(), [301, 302, 303]);
  await lab.sender.send(lab.calls);
  assert.deepEqual(lab.has(), [302, 303]);
  assert.deepEqual(lab.told(), ["syncPolicies 3", "syncPolicies 2"]);
});

Deno.test("a dataplane that somebody else changed gets all of it", async () => {
  await using lab = await SenderLab.start();
  lab.change([300]);
  await lab.sender.send(lab.calls);
  await lab.calls.control.syncPolicies({ policies: [compiledEntry(999)] });
  lab.told();
  lab.change([301]);
  await lab.sender.send(lab.calls);
  assert.deepEqual(lab.told(), ["patchPolicies +1 -0", "syncPolicies 2"]);
  assert.deepEqual(lab.has(), [300, 301]);
});

Deno.test("a dataplane of an earlier version, which knows no patches, gets all of it each time", async () => {
  await using lab = await SenderLab.start();
  lab.dataplane.knowsPatches = false;
  for (const [id, size] of [[300, 1], [301, 2]] as const) {
    lab.change([id]);
    await lab.sender.send(lab.calls);
    assert.ok(lab.sender.upToDate);
    assert.deepEqual(lab.told(), [`syncPolicies ${size}`]);
  }
  assert.deepEqual(lab.has(), [300, 301]);
});

Deno.test("after a send that failed all of it is sent, with what came meanwhile", async () => {
  await using lab = await SenderLab.start();
  lab.change([300]);
  await lab.sender.send(lab.calls);
  lab.dataplane.failNext("patchPolicies");
  lab.change([301]);
  await assert.rejects(lab.sender.send(lab.calls), /injected/);
  assert.ok(!lab.sender.upToDate);
  lab.change([302]);
  await lab.sender.send(lab.calls);
  assert.deepEqual(lab.told().at(-1), "syncPolicies 3");
  assert.deepEqual(lab.has(), [300, 301, 302]);
});

Deno.test("what changes while it is sent is sent after it", async () => {
  await using lab = await SenderLab.start();
  for (const [base, method] of [[300, "syncPolicies"], [310, "patchPolicies"]] as const) {
    lab.change([base]);
    lab.dataplane.onCall = () => {
      lab.dataplane.onCall = () => {};
      lab.change([base + 1], [base]);
    };
    await lab.sender.send(lab.calls);
    assert.deepEqual(lab.told().length, 1);
    assert.ok(lab.has().includes(base));
    assert.ok(!lab.sender.upToDate, method);
    await lab.sender.send(lab.calls);
    assert.ok(lab.sender.upToDate);
    assert.deepEqual(lab.has(), [...lab.desired.keys()].sort());
    assert.deepEqual(lab.told(), ["patchPolicies +1 -1"]);
  }
});

Deno.test("a dataplane without room closes what would change, and says so until all of it fits", async () => {
  await using lab = await SenderLab.start();
  lab.dataplane.room = 2;
  lab.change([300, 301]);
  await lab.sender.send(lab.calls);
  assert.equal(lab.refused(), undefined);

  lab.change([302, 303]);
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(lab.sender.send(lab.calls), /POLICIES is full/);
    assert.deepEqual(lab.has(), [300, 301], "what does not change stays");
    assert.deepEqual([...lab.refused()?.closed ?? []], [302, 303]);
    assert.ok(!lab.sender.upToDate, "it is tried again");
  }

  lab.change([], [300, 302]);
  await lab.sender.send(lab.calls);
  assert.deepEqual(lab.has(), [301, 303]);
  assert.equal(lab.refused(), undefined);
});

Deno.test("where there is not even room to close, what was in force is, and it is said", async () => {
  await using lab = await SenderLab.start();
  lab.change([300, 301]);
  await lab.sender.send(lab.calls);
  lab.dataplane.room = 1;
  lab.change([302]);
  await assert.rejects(lab.sender.send(lab.calls), /POLICIES is full/);
  assert.deepEqual(lab.has(), [300, 301]);
  assert.equal(lab.refused()?.why, "POLICIES is full");
  assert.equal(lab.refused()?.closed, undefined);
});
