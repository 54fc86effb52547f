/** What of the daemons a pod can reach: nothing. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { isErrno } from "../../shared/ffi/errno.ts";
import { tryCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { ethernet, ipv4, tcp } from "../../shared/testing/packets.ts";
import { RawLink } from "../../shared/testing/raw_link.ts";
import { TcpClient } from "../../shared/testing/sockets.ts";
import { scenario } from "../scenarios/scenario.ts";
import { GATEWAY, GATEWAY_MAC } from "./table.ts";

const METRICS_PORT = 9103;
const SOCKETS = ["dataplane.sock", "cni.sock", "novanet.sock", "ebpf-services.sock"];
/** Root of a user namespace that another user made. */
const FALSE_ROOT = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
  .concat(["unshare", "--user", "--map-root-user", "--"]);
/** How a client of HTTP/2 begins (RFC 9113, section 3.4). */
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

scenario("the daemons, seen from a pod", {}, async ({ node, step }) => {
  const pod = await node.addPod("curious");
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const drops = async (reason: DropReason) =>
    Number((await dataplane.getDataplaneStatus({})).dropCounters[reason] ?? 0n);

  await step(
    "they listen on nothing but the metrics address, which is the node's own",
    async () => {
      const { stdout } = await node.netns.run(["ss", "-Htlun"]);
      const local = stdout.trim().split("\n").map((line) => line.split(/\s+/)[4]);
      assert.deepEqual(local, [`127.0.0.1:${METRICS_PORT}`]);
      const page = await node.netns.run([
        "curl",
        "-sS",
        `http://127.0.0.1:${METRICS_PORT}/metrics`,
      ]);
      assert.match(page.stdout, /^novanet_agent_info/m);
    },
  );

  await step("at the node's address nobody listens", async () => {
    const to = { ip: node.addresses.node, port: METRICS_PORT };
    await assert.rejects(TcpClient.connect(pod.netns, to), (error) => {
      return isErrno(error, "ECONNREFUSED");
    });
  });

  await step("at the gateway's there is nobody: NO_ROUTE", async () => {
    const before = await drops(DropReason.NO_ROUTE);
    const to = { ip: GATEWAY, port: METRICS_PORT };
    await assert.rejects(TcpClient.connect(pod.netns, to, { timeoutMs: 200 }));
    assert(await drops(DropReason.NO_ROUTE) > before);
  });

  await step("the loopback address does not pass the wire: INVALID_DESTINATION", async () => {
    const before = await drops(DropReason.INVALID_DESTINATION);
    using link = new RawLink(pod.netns, "eth0");
    const mac = pod.result.interfaces.find(({ name }) => name === "eth0")?.mac ?? "";
    link.send(ethernet(
      { src: mac, dst: GATEWAY_MAC },
      ipv4(
        { src: pod.ip, dst: "127.0.0.1" },
        tcp({ srcPort: 4000, dstPort: METRICS_PORT, flags: "S" }),
      ),
    ));
    await eventually(async () => await drops(DropReason.INVALID_DESTINATION) === before + 1);
    assert.deepEqual(link.take(), []);
  });

  await step("abstract socket names stay in the node's network namespace", async () => {
    const names = "/proc/net/unix";
    assert.match((await node.netns.run(["cat", names])).stdout, /@novanet-agent/);
    assert.doesNotMatch((await pod.netns.run(["cat", names])).stdout, /novanet/);
    const { code } = await pod.netns.try(["socat", "-u", "-", "ABSTRACT-SENDTO:novanet-agent"], {
      stdin: "hello",
    });
    assert.notEqual(code, 0);
  });

  await step(
    "root of a user namespace is not root, also where the modes were loosened",
    async () => {
      await Deno.chmod(node.dir, 0o755);
      for (const name of SOCKETS) {
        const socket = node.socket(name);
        const speak = (user: readonly string[]) =>
          tryCommand([...user, "socat", "-t", "2", "-", `UNIX-CONNECT:${socket}`], {
            stdin: PREFACE,
          });
        await Deno.chmod(dirname(socket), 0o755);
        await Deno.chmod(socket, 0o666);
        assert((await speak([])).stdout.length > 0, `${name}: root is answered`);
        const refused = await speak(FALSE_ROOT);
        assert.equal(refused.stdout, "", name);
        assert.doesNotMatch(refused.stderr, /Permission denied/, "it got as far as the server");
      }
    },
  );
});
