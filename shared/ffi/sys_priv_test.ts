import assert from "node:assert/strict";
import { netnsIdentity, openNetns } from "../netns/netns.ts";
import { NetnsLab } from "../testing/lab.ts";
import { privateBpffs } from "./bpf/testdata/bpffs.ts";
import { SysError } from "./errno.ts";
import * as sys from "./sys.ts";

const BPF_FS_MAGIC = 0xcafe4a11;
const FORWARDING = "/proc/sys/net/ipv4/conf/lo/forwarding";

function code(expected: string) {
  return (error: unknown) => error instanceof SysError && error.code === expected;
}

Deno.test("a file of /proc/sys/net is that of the namespace, and the thread is home again", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  using fd = openNetns(netns.path);
  const home = netnsIdentity();
  const outside = Deno.readTextFileSync(FORWARDING);
  for (const value of ["1\n", "0\n"]) {
    sys.netnsWriteFile(fd.fd, FORWARDING, value);
    assert.equal(sys.netnsReadFile(fd.fd, FORWARDING), value);
  }
  assert.equal(Deno.readTextFileSync(FORWARDING), outside);
  assert.equal(netnsIdentity(), home);
});

Deno.test("a socket belongs to the namespace that it was made in", async () => {
  await using lab = new NetnsLab();
  const [one, two] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: one, name: "nvt0" }, { netns: two, name: "nvt1" });
  using fd = openNetns(one.path);
  const home = netnsIdentity();
  const SIOCGIFINDEX_NAME = new TextEncoder().encode("nvt0\0");
  const SO_BINDTODEVICE = 25;
  using inside = sys.netnsSocket(fd.fd, sys.AF_INET, sys.SOCK_DGRAM, 0);
  sys.setsockopt(inside.fd, sys.SOL_SOCKET, SO_BINDTODEVICE, SIOCGIFINDEX_NAME);
  using outside = sys.socket(sys.AF_INET, sys.SOCK_DGRAM, 0);
  assert.throws(
    () => sys.setsockopt(outside.fd, sys.SOL_SOCKET, SO_BINDTODEVICE, SIOCGIFINDEX_NAME),
    code("ENODEV"),
  );
  assert.equal(netnsIdentity(), home);
});

Deno.test("a failure inside a namespace comes back with the thread at home", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  using fd = openNetns(netns.path);
  const home = netnsIdentity();
  const nothing = "/proc/sys/net/ipv4/conf/nvt-none/forwarding";
  assert.throws(() => sys.netnsSocket(fd.fd, 99, 1, 0), code("EAFNOSUPPORT"));
  assert.throws(() => sys.netnsWriteFile(fd.fd, nothing, "1"), code("ENOENT"));
  assert.throws(() => sys.netnsWriteFile(fd.fd, FORWARDING, "x"), code("EINVAL"));
  assert.throws(() => sys.netnsReadFile(fd.fd, nothing), code("ENOENT"));
  assert.equal(netnsIdentity(), home);
});

Deno.test("what is no network namespace is not entered", () => {
  using file = sys.open("/dev/null", sys.O_RDONLY);
  using mounts = sys.open("/proc/self/ns/mnt", sys.O_RDONLY);
  for (const { fd } of [file, mounts]) {
    assert.throws(() => sys.netnsSocket(fd, sys.AF_INET, sys.SOCK_DGRAM, 0), code("EINVAL"));
  }
});

Deno.test("a bpffs that was mounted is one", () => {
  using bpffs = privateBpffs();
  assert.equal(sys.statfsMagic(bpffs.path), BPF_FS_MAGIC);
});
