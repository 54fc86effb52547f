import type { LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { LabNode } from "../../shared/testing/node.ts";

/** Two network namespaces and what lies between them. */
export interface Path {
  readonly client: LabNetns;
  readonly server: LabNetns;
  /** IPv4 address of the server. */
  readonly address: string;
}

/** Two pods of one node, and the node. */
export interface NovanetPath extends Path {
  readonly node: LabNode;
  /** Bytes: what the other paths take over, so that packets are the same size on all. */
  readonly mtu: number;
}

/**
 * A machine's default may be bbr, which paces, and iperf3 sets the congestion control that it is told only after it has
 * connected: a connection that began with bbr is paced for good. (cubic may not be the default of a namespace.)
 */
async function withoutPacing(...namespaces: readonly LabNetns[]): Promise<void> {
  for (const netns of namespaces) {
    await netns.run(["sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno"]);
  }
}

/** Two pods on a node of their own. */
export async function novanetPath(
  lab: NetnsLab,
  options: { readonly bigTcp: boolean },
): Promise<NovanetPath> {
  const node = await LabNode.create(lab, { config: { big_tcp: options.bigTcp } });
  await node.start();
  const client = await node.addPod("client");
  const server = await node.addPod("server");
  const mtu = server.result.interfaces.find(({ sandbox }) => sandbox !== undefined)?.mtu ?? 1500;
  await withoutPacing(client.netns, server.netns);
  return { node, client: client.netns, server: server.netns, address: server.ip, mtu };
}

/** Two namespaces, each joined to a third that routes between them: what pods have without any eBPF. */
export async function routedPath(lab: NetnsLab, mtu: number): Promise<Path> {
  const [client, router, server] = [
    await lab.addNetns(),
    await lab.addNetns(),
    await lab.addNetns(),
  ];
  await router.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  for (const [index, end] of [client, server].entries()) {
    lab.addVeth({ netns: router, name: `to${index}`, mtu }, { netns: end, name: "eth0", mtu });
    await router.run(["ip", "address", "add", `10.99.${index}.1/24`, "dev", `to${index}`]);
    await end.run(["ip", "address", "add", `10.99.${index}.2/24`, "dev", "eth0"]);
    await end.run(["ip", "route", "add", "default", "via", `10.99.${index}.1`]);
  }
  await withoutPacing(client, server);
  return { client, server, address: "10.99.1.2" };
}

/** Two namespaces that are the two ends of one veth pair: nothing lies between them. */
export async function joinedPath(lab: NetnsLab, mtu: number): Promise<Path> {
  const [client, server] = [await lab.addNetns(), await lab.addNetns()];
  lab.addVeth({ netns: client, name: "eth0", mtu }, { netns: server, name: "eth0", mtu });
  await client.run(["ip", "address", "add", "10.98.0.1/24", "dev", "eth0"]);
  await server.run(["ip", "address", "add", "10.98.0.2/24", "dev", "eth0"]);
  await withoutPacing(client, server);
  return { client, server, address: "10.98.0.2" };
}
