import { Ipv4 } from "../../shared/net/mod.ts";
import type { InterfaceAddress, Link, Route, RtnetlinkSocket } from "../../shared/netlink/mod.ts";

const RT_SCOPE_UNIVERSE = 0;
/** What a tunnel adds to a packet: outer IPv4, UDP, Geneve or VXLAN, inner Ethernet. */
const TUNNEL_OVERHEAD_BYTES = 50;
const ETHERNET_MTU = 1500;
/** The node's address on a host that has no other. */
export const LOOPBACK_ADDRESS = Ipv4.parse("127.0.0.1");

/** The parts of the host's network that the agent reads. */
export interface HostNetwork {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
}

/** Reads the host's links, addresses and main routes. @throws {NetlinkError} */
export function readHostNetwork(socket: RtnetlinkSocket): HostNetwork {
  return {
    links: socket.linkList(),
    addresses: socket.addrList(),
    routes: socket.routeList(),
  };
}

/** The default route with the lowest metric. */
export function defaultRoute(host: HostNetwork): Route | undefined {
  return host.routes.filter(({ destination, oif }) => destination.prefixLen === 0 && oif)
    .sort((a, b) => a.metric - b.metric)[0];
}

/**
 * The node's address when nobody names it: the default route's source, else the first global address
 * of its interface, else of any, else the loopback's.
 */
export function detectNodeIp(host: HostNetwork): Ipv4 {
  const route = defaultRoute(host);
  if (route?.source !== undefined) return route.source;
  const global = host.addresses.filter(isGlobal);
  const near = global.find(({ index }) => index === route?.oif);
  return (near ?? global[0])?.host ?? LOOPBACK_ADDRESS;
}

/** The MTU of pods when nobody names it: the default route's, less what a tunnel adds. In bytes. */
export function detectPodMtu(host: HostNetwork): number {
  const route = defaultRoute(host);
  const link = host.links.find(({ index }) => index === route?.oif);
  return (route?.mtu ?? link?.mtu ?? ETHERNET_MTU) - TUNNEL_OVERHEAD_BYTES;
}

/** Whether an address is one of 127.0.0.0/8. */
export function isLoopback(ip: Ipv4): boolean {
  return ip.value >>> 24 === 127;
}

/** Addresses by which pods can reach the host: all of its own but loopback's. */
export function hostAddresses(host: HostNetwork): Ipv4[] {
  const own = new Map(
    host.addresses.filter(({ host: ip }) => !isLoopback(ip))
      .map(({ host: ip }) => [ip.value, ip]),
  );
  return [...own.values()].sort(Ipv4.compare);
}

function isGlobal({ scope, host }: InterfaceAddress): boolean {
  return scope === RT_SCOPE_UNIVERSE && !isLoopback(host);
}
