import assert from "node:assert/strict";
import { DataplaneControl, DropReason } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { RpcCode } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { tcp } from "../../shared/testing/packets.ts";
import { sendPacket } from "../../shared/testing/sockets.ts";
import { FailingAdds, type FailingCall } from "./add_fail.ts";
import { scenario } from "./scenario.ts";

const row = (daemon: FailingCall["daemon"], call: string, what: string, stride = 1) => ({
  daemon,
  call,
  what,
  stride,
});

const AGENT: readonly FailingCall[] = [
  // rtnetlink, and the answers to it
  row("agent", "sendto", "ENOBUFS"),
  row("agent", "recvfrom", "ENOMEM"),
  row("agent", "socket", "EMFILE"),
  row("agent", "bind", "ENOMEM"),
  // The pod's namespace, and settings of the kernel
  row("agent", "openat", "EMFILE"),
  row("agent", "setns", "EPERM"),
  row("agent", "statx", "EACCES"),
  // The database, the dataplane and the caller
  row("agent", "pwrite64", "ENOSPC"),
  row("agent", "fcntl", "ENOLCK", 3),
  row("agent", "write", "EIO"),
];

const DATAPLANE: readonly FailingCall[] = [
  row("dataplane", "bpf", "ENOMEM"),
  row("dataplane", "sendto", "ENOBUFS"),
  row("dataplane", "recvfrom", "ENOMEM"),
  row("dataplane", "ioctl", "ENOMEM"),
];

const KILLS: readonly FailingCall[] = [
  row("dataplane", "bpf", "kill", 2),
  row("agent", "sendto", "kill", 4),
  row("agent", "pwrite64", "kill", 2),
];

/** What `novanet-cni install` configures is tried with all; who attaches, also the other way. */
const TABLE: readonly (readonly [name: string, rows: readonly FailingCall[], quick: boolean])[] = [
  ["the agent's calls fail in turn", AGENT, true],
  ["the dataplane's calls fail in turn", DATAPLANE, true],
  ["the dataplane's calls fail in turn, with TCX at once", DATAPLANE, false],
  ["the daemons are killed in turn", KILLS, true],
];

for (const [name, rows, quick] of TABLE) {
  scenario(`ADD leaves nothing when ${name}`, {}, async ({ lab, node, step }) => {
    await node.addPod("stays");
    const adds = await FailingAdds.on(lab, node, quick);
    for (const each of rows) {
      await step(`${each.daemon} ${each.call} ${each.what}`, async () => {
        const { failed, covered, problems } = await adds.failInTurn(each);
        assert.deepEqual(problems, []);
        assert(failed > 0, "an ADD makes no such call");
        assert(covered, `an ADD goes on after ${failed} of them`);
      });
    }
  });
}

const SMALL = { endpoints: 64, policies: 256, connections: 1024 } as const;
const dataplaneFlags = [
  `--endpoint-max=${SMALL.endpoints}`,
  `--policy-max=${SMALL.policies}`,
  `--conntrack-max=${SMALL.connections}`,
];
const MANY_PORTS = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: many, namespace: default }
spec:
  podSelector: { matchLabels: { app: failing } }
  ingress: [{ ports: [${Array.from({ length: 300 }, (_, i) => `{ port: ${1000 + 2 * i} }`)}] }]
`;

scenario(
  "ADD leaves nothing when a table is full",
  { dataplaneFlags },
  async ({ lab, node, step }) => {
    const stays = await node.addPod("stays");
    const adds = await FailingAdds.on(lab, node, true);
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    const exhausted = { code: RpcCode.RESOURCE_EXHAUSTED };

    await step("endpoints", async () => {
      const filled: number[] = [];
      const fill = async () => {
        for (let ip = Ipv4.parse("198.51.100.1").value;; ip++) {
          await dataplane.upsertEndpoint({ ip, mac: new Uint8Array(6), identityId: 2 });
          filled.push(ip);
        }
      };
      await assert.rejects(fill, exhausted);
      const error = await adds.add();
      assert.equal(error?.code, RpcCode.RESOURCE_EXHAUSTED);
      assert.match(error.message, /ENDPOINTS is full/);
      for (const ip of filled) await dataplane.deleteEndpoint({ ip });
      await adds.deleteAndCheck();
      await works();
    });

    await step("policies", async () => {
      await node.writeManifest("many.yaml", MANY_PORTS);
      await eventually(async () => {
        const error = await adds.add();
        await adds.deleteAndCheck();
        return error?.code === RpcCode.RESOURCE_EXHAUSTED && /POLICIES is full/.test(error.message);
      });
      await node.removeManifest("many.yaml");
      await eventually(async () => {
        const error = await adds.add();
        if (error === undefined) await adds.ping();
        await adds.deleteAndCheck();
        return error === undefined;
      });
    });

    await step("connections", async () => {
      for (let srcPort = 1; srcPort <= 2 * SMALL.connections; srcPort++) {
        const flood = tcp({ srcPort, dstPort: 80, flags: "S" });
        sendPacket(stays.netns, { src: stays.ip, dst: node.addresses.outside }, flood);
      }
      const { dropCounters } = await dataplane.getDataplaneStatus({});
      assert(Number(dropCounters[DropReason.CONNTRACK_FULL] ?? 0n) > 0);
      assert.equal(await adds.add(), undefined);
      await adds.deleteAndCheck();
    });

    async function works() {
      assert.equal(await adds.add(), undefined);
      await adds.ping();
      await adds.deleteAndCheck();
    }
  },
);
