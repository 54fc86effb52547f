/** For tests: what the agent would do for a pod, by plain commands and the dataplane's RPCs. */

import { Ipv4 } from "../../shared/net/ipv4.ts";
import { Mac } from "../../shared/net/mac.ts";

/** The namespace operations that a pod needs; a LabNetns has them. */
interface Namespace {
  readonly name: string;
  readonly path: string;
  run(argv: readonly string[]): Promise<unknown>;
}

/** The gateway of all pods. */
const GATEWAY = Ipv4.parse("10.244.0.1");

/** A pod on a veth pair whose host end is up, without programs and endpoint. */
export interface PlainPod<N> {
  readonly netns: N;
  readonly ip: Ipv4;
  readonly mac: Mac;
  /** The interface in the node's namespace, and its index there. */
  readonly hostIfName: string;
  readonly ifindex: number;
}

/** Joins a namespace to the node as a pod. */
export async function connectPod<N extends Namespace>(
  node: Namespace & { rtnetlink(): { linkGet(name: string): { index: number } } & Disposable },
  netns: N,
  address: string,
): Promise<PlainPod<N>> {
  const ip = Ipv4.parse(address);
  const mac = Mac.forPod(ip);
  const gatewayMac = Mac.forPod(GATEWAY);
  const hostIfName = `nvp${ip.value & 0xff}`;
  const gateway = GATEWAY.toString();
  await node.run([
    ...["ip", "link", "add", hostIfName, "address", gatewayMac.toString(), "type", "veth"],
    ...["peer", "name", "eth0", "address", mac.toString(), "netns", netns.name],
  ]);
  await netns.run(["ip", "address", "add", `${address}/32`, "dev", "eth0"]);
  await netns.run(["ip", "link", "set", "eth0", "up"]);
  await netns.run(["ip", "route", "add", "default", "via", gateway, "dev", "eth0", "onlink"]);
  await netns.run(["ip", "neigh", "add", gateway, "lladdr", gatewayMac.toString(), "dev", "eth0"]);
  await node.run(["ip", "link", "set", hostIfName, "up"]);
  using links = node.rtnetlink();
  return { netns, ip, mac, hostIfName, ifindex: links.linkGet(hostIfName).index };
}
