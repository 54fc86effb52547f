import { listDir } from "../../shared/ffi/files.ts";
import type { Ipv4, Mac } from "../../shared/net/mod.ts";
import { type Link, RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { netnsIdentityIfThere } from "./requests.ts";

/** Where container runtimes keep network namespaces; those of processes come last, as they go with them. */
const NETNS_DIRS = ["/run/netns", "/var/run/netns", "/run/docker/netns", "/var/run/docker/netns"];

/** The pod's end of a veth pair, and where it is. */
export interface Peer {
  /** Path of its network namespace. */
  readonly netns: string;
  /** What netnsIdentity says of it. */
  readonly netnsId: string;
  readonly ifName: string;
  /** In bytes. */
  readonly mtu: number;
  /** That of the address. */
  readonly prefixLen: number;
}

/** What the pod's end must have. */
export interface PeerMarks {
  readonly mac: Mac;
  readonly ip: Ipv4;
}

/**
 * Looks for the other end of a host interface in all network namespaces that have a path. Indexes alone
 * do not tell: they are numbered anew in each namespace.
 * @returns undefined when it is nowhere
 */
export function findPeer(link: Link, marks: PeerMarks): Peer | undefined {
  const seen = new Set([netnsIdentityIfThere("/proc/thread-self/ns/net")]);
  for (const netns of netnsPaths()) {
    const netnsId = netnsIdentityIfThere(netns);
    if (netnsId === undefined || seen.has(netnsId)) continue;
    seen.add(netnsId);
    const end = look(netns, link, marks);
    if (end !== undefined) return { netns, netnsId, ...end };
  }
  return undefined;
}

function* netnsPaths(): Generator<string> {
  for (const dir of NETNS_DIRS) for (const name of listDir(dir)) yield `${dir}/${name}`;
  for (const name of listDir("/proc")) if (/^\d+$/.test(name)) yield `/proc/${name}/ns/net`;
}

function look(netns: string, { index, linkIndex }: Link, { mac, ip }: PeerMarks) {
  try {
    using inside = RtnetlinkSocket.openIn(netns);
    const link = inside.linkFind(linkIndex);
    if (link?.kind !== "veth" || link.linkIndex !== index || link.mac?.equals(mac) !== true) {
      return undefined;
    }
    const address = inside.addrList(link.index).find(({ host }) => host.equals(ip));
    return address && { ifName: link.name, mtu: link.mtu, prefixLen: address.cidr.prefixLen };
  } catch {
    // Not a network namespace, or gone by now.
    return undefined;
  }
}
