import assert from "node:assert/strict";
import { SysError } from "./errno.ts";
import { shim } from "./library.ts";
import * as sys from "./sys.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const AF_UNIX_DGRAM = [sys.AF_UNIX, sys.SOCK_DGRAM, 0] as const;

function code(expected: string) {
  return (error: unknown) => error instanceof SysError && error.code === expected;
}

/** struct sockaddr_un of an abstract name. */
function abstractName(name: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([1, 0, 0, ...new TextEncoder().encode(name)]);
}

function boundSocket(name: string) {
  const socket = sys.socket(...AF_UNIX_DGRAM);
  sys.bind(socket.fd, abstractName(name));
  return socket;
}

Deno.test("a datagram goes from one socket to another with its sender's name", () => {
  const [from, to] = [`nvt-${Deno.pid}-from`, `nvt-${Deno.pid}-to`];
  using sender = boundSocket(from);
  using receiver = boundSocket(to);
  assert.equal(sys.sendto(sender.fd, Uint8Array.of(1, 2, 3), 0, abstractName(to)), 3);
  const buffer = new Uint8Array(10);
  const { size, address } = sys.recvfrom(receiver.fd, buffer);
  assert.deepEqual(buffer.subarray(0, size), Uint8Array.of(1, 2, 3));
  assert.deepEqual(address, abstractName(from));
  assert.deepEqual(sys.getsockname(receiver.fd), abstractName(to));
  sys.connect(sender.fd, abstractName(to));
  sys.sendto(sender.fd, Uint8Array.of(4));
  assert.equal(sys.recv(receiver.fd, buffer), 1);
  assert.throws(() => sys.recv(receiver.fd, buffer, sys.MSG_DONTWAIT), code("EAGAIN"));
});

Deno.test("a socket option that was set is read back", () => {
  using socket = sys.socket(...AF_UNIX_DGRAM);
  const SO_PASSCRED = 16;
  sys.setsockopt(socket.fd, sys.SOL_SOCKET, SO_PASSCRED, 1);
  const value = sys.getsockopt(socket.fd, sys.SOL_SOCKET, SO_PASSCRED);
  assert.deepEqual([...new Int32Array(value.buffer, 0, 1)], [1]);
});

const FAILURES = [
  { what: "open of nothing", code: "ENOENT", call: () => sys.open("/nvt-nothing", sys.O_RDONLY) },
  { what: "socket of no family", code: "EAFNOSUPPORT", call: () => sys.socket(99, 1, 0) },
  { what: "read of no descriptor", code: "EBADF", call: () => sys.read(-1, new Uint8Array(1)) },
  { what: "write to no descriptor", code: "EBADF", call: () => sys.write(-1, new Uint8Array(1)) },
  { what: "dup of no descriptor", code: "EBADF", call: () => sys.dup(-1) },
  { what: "bind of no descriptor", code: "EBADF", call: () => sys.bind(-1, new Uint8Array(2)) },
  {
    what: "connect of no descriptor",
    code: "EBADF",
    call: () => sys.connect(-1, new Uint8Array(2)),
  },
  { what: "send to no descriptor", code: "EBADF", call: () => sys.sendto(-1, new Uint8Array(2)) },
  { what: "recv from no descriptor", code: "EBADF", call: () => sys.recv(-1, new Uint8Array(2)) },
  {
    what: "recvfrom no descriptor",
    code: "EBADF",
    call: () => sys.recvfrom(-1, new Uint8Array(2)),
  },
  { what: "option of no descriptor", code: "EBADF", call: () => sys.getsockopt(-1, 1, 1) },
  { what: "option for no descriptor", code: "EBADF", call: () => sys.setsockopt(-1, 1, 1, 1) },
  { what: "name of no descriptor", code: "EBADF", call: () => sys.getsockname(-1) },
  { what: "setns to no descriptor", code: "EBADF", call: () => sys.setns(-1, sys.CLONE_NEWNET) },
  { what: "unshare of nonsense", code: "EINVAL", call: () => sys.unshare(1) },
  { what: "statfs of nothing", code: "ENOENT", call: () => sys.statfsMagic("/nvt-nothing") },
  { what: "a clock that is none", code: "EINVAL", call: () => sys.clockGettime(99) },
  { what: "an interface that is none", code: "ENODEV", call: () => sys.ifNametoindex("nvt-none") },
  { what: "an index that is none", code: "ENXIO", call: () => sys.ifIndextoname(0x7ffffff0) },
  { what: "mount on nothing", code: "ENOENT", call: () => sys.mount("x", "/nvt-nothing", "bpf") },
  { what: "umount of nothing", code: "ENOENT", call: () => sys.umount("/nvt-nothing") },
];

for (const { what, code: expected, call } of FAILURES) {
  Deno.test(`${what} is ${expected}`, () => {
    assert.throws(call, code(expected));
  });
}

Deno.test("the monotonic clock goes on", () => {
  const before = sys.clockGettime();
  assert(sys.clockGettime() >= before);
  const wall = Number(sys.clockGettime(sys.CLOCK_REALTIME) / 1_000_000n);
  assert(Math.abs(wall - Date.now()) < 5000);
});

Deno.test("loopback has index 1 and a name", () => {
  assert.equal(sys.ifNametoindex("lo"), 1);
  assert.equal(sys.ifIndextoname(1), "lo");
});

Deno.test("effective capabilities are those of /proc", () => {
  const line = /CapEff:\t([0-9a-f]+)/.exec(Deno.readTextFileSync("/proc/self/status"));
  assert.equal(sys.effectiveCapabilities(), BigInt(`0x${line?.[1]}`));
});

Deno.test("statfs tells proc from the rest", () => {
  assert.equal(sys.statfsMagic("/proc"), 0x9fa0);
});

Deno.test("membarrier returns", async () => {
  await sys.membarrierGlobal();
});

Deno.test("a wait ends by data, by its time and by a waker", async () => {
  const name = `nvt-${Deno.pid}-wait`;
  using receiver = boundSocket(name);
  using sender = sys.socket(...AF_UNIX_DGRAM);
  using waker = new sys.Waker();
  assert.equal(sys.poll(receiver.fd), false);
  assert.equal(await sys.waitReadable(receiver.fd, 10), false);
  const waiting = sys.waitReadable(receiver.fd, -1, waker);
  sys.sendto(sender.fd, Uint8Array.of(1), 0, abstractName(name));
  assert.equal(await waiting, true);
  assert.equal(sys.poll(receiver.fd), true);
  sys.recv(receiver.fd, new Uint8Array(1));
  const endless = sys.waitReadable(receiver.fd, -1, waker);
  waker.wake();
  assert.equal(await endless, false);
  assert.equal(await sys.waitReadable(receiver.fd, -1, waker), false);
});
