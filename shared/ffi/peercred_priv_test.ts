import assert from "node:assert/strict";
import { shim } from "./library.ts";
import { dropForeignPeers } from "./peercred.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

const NOBODY = 65534;

/** Connects as a user, writes the descriptor's first answer (or END) to its output. */
async function clientAs(uid: number, path: string): Promise<string> {
  const program = `
    use Socket;
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
    connect($s, sockaddr_un($ARGV[0])) or die "connect: $!";
    my $n = sysread($s, my $answer, 16);
    print $n ? $answer : "END";
  `;
  const { stdout, stderr, success } = await new Deno.Command("perl", {
    args: ["-e", program, path],
    uid,
    gid: uid,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

async function withListener(use: (path: string, listener: Deno.UnixListener) => Promise<void>) {
  const dir = await Deno.makeTempDir({ prefix: `nvt-${Deno.pid}-` });
  try {
    await Deno.chmod(dir, 0o755);
    const path = `${dir}/s.sock`;
    using listener = Deno.listen({ transport: "unix", path });
    await Deno.chmod(path, 0o666);
    await use(path, listener);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const ROWS = [
  { who: "the allowed user", uid: 0, dropped: 0, answer: "hello" },
  { who: "another user", uid: NOBODY, dropped: 1, answer: "END" },
];

for (const { who, uid, dropped, answer } of ROWS) {
  Deno.test(`a connection of ${who} gets ${answer}`, async () => {
    await withListener(async (path, listener) => {
      const client = clientAs(uid, path);
      using connection = await listener.accept();
      assert.equal(dropForeignPeers(path, 0), dropped);
      await connection.write(new TextEncoder().encode("hello")).catch(() => {});
      assert.equal(await client, answer);
    });
  });
}

Deno.test("connections of another socket stay, and so does the listener", async () => {
  await withListener(async (path, listener) => {
    const client = clientAs(NOBODY, path);
    using connection = await listener.accept();
    assert.equal(dropForeignPeers(`${path}2`, 0), 0);
    assert.equal(dropForeignPeers(path, NOBODY), 0);
    await connection.write(new TextEncoder().encode("hello"));
    assert.equal(await client, "hello");
    assert.equal(dropForeignPeers(path, 0), 1);
    const next = clientAs(0, path);
    using second = await listener.accept();
    await second.write(new TextEncoder().encode("again"));
    assert.equal(await next, "again");
  });
});

Deno.test("our own end of a connection to the socket is not a peer of it", async () => {
  await withListener(async (path, listener) => {
    using mine = await Deno.connect({ transport: "unix", path });
    using accepted = await listener.accept();
    // Both are ours; only the accepted one counts, and its peer is root.
    assert.equal(dropForeignPeers(path, NOBODY), 1);
    assert.equal(await mine.read(new Uint8Array(1)), null);
    accepted.close();
  });
});
