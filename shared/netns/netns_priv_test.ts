import assert from "node:assert/strict";
import { ifNametoindex } from "../ffi/sys.ts";
import { NetnsLab } from "../testing/lab.ts";
import { inNetns, netnsIdentity, openNetns } from "./netns.ts";
import { ensureSysctl, readSysctl, writeSysctl } from "./sysctl.ts";

/** A lab with a namespace that has an interface `inside`, which this process's own has not. */
async function labWithInside(lab: NetnsLab): Promise<string> {
  const netns = await lab.addNetns();
  using links = netns.rtnetlink();
  links.vethCreate({ name: "inside" }, { name: "inside2" });
  return netns.path;
}

Deno.test("inNetns runs inside and comes back, by path and by descriptor", async () => {
  await using lab = new NetnsLab();
  const path = await labWithInside(lab);
  const own = netnsIdentity();
  assert(inNetns(path, () => ifNametoindex("inside")) > 0);
  using fd = openNetns(path);
  assert.equal(inNetns(fd, () => netnsIdentity()), netnsIdentity(path));
  assert.equal(netnsIdentity(), own);
  assert.equal(fd.closed, false);
  assert.throws(() => ifNametoindex("inside"), { code: "ENODEV" });
});

Deno.test("inNetns comes back when the function throws", async () => {
  await using lab = new NetnsLab();
  const path = await labWithInside(lab);
  const own = netnsIdentity();
  const thrown = new Error("on purpose");
  assert.throws(() =>
    inNetns(path, () => {
      throw thrown;
    }), thrown);
  assert.equal(netnsIdentity(), own);
});

Deno.test("a namespace that is gone, or is none, is refused and nothing is run", () => {
  const never = () => assert.fail("it ran");
  assert.throws(() => inNetns("/run/netns/nvt-none", never), { code: "ENOENT" });
  assert.throws(() => inNetns("/etc/hostname", never), { code: "EINVAL" });
  assert.throws(() => netnsIdentity("/run/netns/nvt-none"), Deno.errors.NotFound);
});

Deno.test("identities tell namespaces apart", async () => {
  await using lab = new NetnsLab();
  const [one, other] = [await lab.addNetns(), await lab.addNetns()];
  assert.match(netnsIdentity(one.path), /^[0-9]+:[0-9]+$/);
  assert.notEqual(netnsIdentity(one.path), netnsIdentity(other.path));
  assert.notEqual(netnsIdentity(one.path), netnsIdentity());
});

Deno.test("sysctls are those of the namespace", async () => {
  await using lab = new NetnsLab();
  const path = await labWithInside(lab);
  const name = "net/ipv4/conf/inside/rp_filter";
  writeSysctl(path, name, "2");
  assert.equal(readSysctl(path, name), "2");
  assert.equal(ensureSysctl(path, name, "2"), undefined);
  assert.equal(ensureSysctl(path, name, "0"), "2");
  assert.equal(readSysctl(path, name), "0");
  assert.throws(() => readSysctl(undefined, name), { code: "ENOENT" });
  assert.throws(() => writeSysctl(path, name, "many"), { code: "EINVAL" });
});

for (const name of ["", "/etc/passwd", "net/../kernel/panic", "net//ipv4", "./net"]) {
  Deno.test(`sysctl name ${JSON.stringify(name)} is refused`, () => {
    assert.throws(() => writeSysctl(undefined, name, "1"), RangeError);
  });
}
