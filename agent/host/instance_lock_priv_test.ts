import assert from "node:assert/strict";
import { inNetns } from "../../shared/netns/mod.ts";
import { NetnsLab } from "../../shared/testing/lab.ts";
import { InstanceError, InstanceLock } from "./instance_lock.ts";

Deno.test("one agent per network namespace, until it ends; others' namespaces have their own", async () => {
  await using lab = new NetnsLab();
  const [one, other] = [await lab.addNetns(), await lab.addNetns()];
  const take = (path: string) => inNetns(path, () => InstanceLock.take("/var/lib/first"));
  {
    using _held = take(one.path);
    using _elsewhere = take(other.path);
    const second = () => inNetns(one.path, () => InstanceLock.take("/var/lib/second"));
    assert.throws(second, (error) => {
      assert.ok(error instanceof InstanceError);
      assert.equal(error.holder, `process ${Deno.pid} (state_dir /var/lib/first)`);
      return true;
    });
  }
  using _again = take(one.path);
});

Deno.test("a state directory too long for a name is cut", async () => {
  await using lab = new NetnsLab();
  const { path } = await lab.addNetns();
  const take = () => inNetns(path, () => InstanceLock.take(`/${"x".repeat(300)}`));
  using _held = take();
  assert.throws(take, /process [0-9]+ \(state_dir \/xxx/);
});
