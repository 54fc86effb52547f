import { isErrno } from "../../shared/ffi/errno.ts";
import { Cidr, type Ipv4, Mac } from "../../shared/net/mod.ts";
import { ifNametoindex } from "../../shared/ffi/sys.ts";
import { type Link, type LinkChange, RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import {
  ensureSysctl,
  inNetns,
  type Netns,
  openNetns,
  readSysctl,
} from "../../shared/netns/mod.ts";
import type { Attachment } from "../state/mod.ts";
import { LinkRemover } from "./link_remover.ts";
import { untilRunning } from "./running.ts";

/** Largest IPv4 packet that the stack hands a pod's interface with BIG TCP, in bytes: 192 KiB. */
const BIG_TCP_BYTES = 196_608;

/** Kernel settings of every host interface of ours, below net/. */
const HOST_SYSCTLS: readonly (readonly [name: (link: string) => string, value: string])[] = [
  [(link) => `net/ipv6/conf/${link}/disable_ipv6`, "1"],
  [(link) => `net/ipv4/conf/${link}/forwarding`, "1"],
  [(link) => `net/ipv4/conf/${link}/rp_filter`, "0"],
  [(link) => `net/ipv4/conf/${link}/proxy_arp`, "0"],
  [(link) => `net/ipv4/conf/${link}/accept_redirects`, "0"],
];

/** Most bytes of an interface's alias (IFALIASZ of linux/if.h). */
const MOST_ALIAS_BYTES = 255;

/** What the links of pods depend on. */
export interface PodNetworkOptions {
  /** Raise the sizes of IPv4 BIG TCP where the kernel has them. */
  readonly bigTcp: boolean;
  /** The node's address, when it is one of the host's own: the source of what the host sends to pods. */
  readonly hostSource: () => Ipv4 | undefined;
  /** The host's network namespace; absent for this process's own. */
  readonly hostNetns?: Netns;
  /** Called when the kernel is done with interfaces that were removed. */
  readonly onRemoved?: () => void;
}

/** The MAC of every host interface of this node: the one that pods know as their gateway's. */
export function hostMac(gateway: Ipv4): Mac {
  return Mac.forPod(gateway);
}

/**
 * Makes and removes the kernel's part of pod interfaces by rtnetlink. What a call leaves half done when
 * it throws is removed by {@linkcode PodNetwork.remove}.
 */
export class PodNetwork implements AsyncDisposable {
  readonly #host: RtnetlinkSocket;
  readonly #options: PodNetworkOptions;
  readonly #remover: LinkRemover;

  /** @throws {SysError} */
  constructor(options: PodNetworkOptions) {
    this.#host = RtnetlinkSocket.openIn(options.hostNetns);
    this.#options = options;
    const onDone = () => options.onRemoved?.();
    this.#remover = new LinkRemover({ netns: options.hostNetns, onDone });
  }

  /** Waits until the kernel is done with what was removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remover.idle();
    this.#host.close();
  }

  /** Waits while the kernel deletes interfaces: it answers nothing about links until it has done so. */
  async untilFree(): Promise<void> {
    await this.#remover.batchDone();
  }

  /** Whether the host has an interface of that name. */
  hostIfExists(name: string): boolean {
    return this.#host.linkFind(name) !== undefined;
  }

  /** Whether a network namespace has an interface of that name. @throws {NetlinkError | SysError} */
  hasLink(netns: string, ifName: string): boolean {
    using inside = RtnetlinkSocket.openIn(netns);
    return inside.linkFind(ifName) !== undefined;
  }

  /**
   * Makes the veth pair and sets up the pod's end; the host's end stays down, so that nothing passes.
   * @returns index of the host's end
   * @throws {NetlinkError | SysError}
   */
  create(pod: Attachment): number {
    using netns = openNetns(pod.netns);
    this.#host.vethCreate(
      { name: pod.hostIfName, mac: hostMac(pod.gateway), mtu: pod.mtu },
      { name: pod.ifName, mac: pod.mac, mtu: pod.mtu, netnsFd: netns.fd },
    );
    const host = this.#host.linkGet(pod.hostIfName);
    this.#raiseSizes(this.#host, host);
    this.#setHostSysctls(pod);
    using inside = RtnetlinkSocket.openIn(netns);
    const link = inside.linkGet(pod.ifName);
    this.#raiseSizes(inside, link);
    setIfThere(netns, `net/ipv6/conf/${pod.ifName}/disable_ipv6`, "1");
    configurePodEnd(inside, link.index, pod);
    return host.index;
  }

  /**
   * Opens the way: host end up, neighbour and route. Safe to repeat.
   * @throws {NetlinkError}
   */
  activate(pod: Attachment): void {
    const index = pod.hostIfindex;
    this.#host.linkSet(index, { up: true, alias: aliasOf(pod) });
    this.#host.neighReplace({ index, ip: pod.ip, mac: pod.mac });
    this.#host.routeReplace({
      destination: Cidr.of(pod.ip, 32),
      oif: index,
      source: this.#options.hostSource(),
    });
  }

  /**
   * Waits until the kernel sends at both ends: it drops what comes before, without a word.
   * @returns names of the ends that are not ready when the time is over
   * @throws {NetlinkError | SysError} when the interface is gone
   */
  async untilRunning(pod: Attachment, timeoutMs: number): Promise<string[]> {
    using inside = RtnetlinkSocket.openIn(pod.netns);
    return await untilRunning([
      { socket: this.#host, link: pod.hostIfName },
      { socket: inside, link: pod.ifName },
    ], timeoutMs);
  }

  /**
   * Sets up again what of a living pod's interface is gone, short of the interface itself.
   * @throws {NetlinkError | SysError}
   */
  repair(pod: Attachment): void {
    using netns = openNetns(pod.netns);
    using inside = RtnetlinkSocket.openIn(netns);
    const end = inside.linkGet(pod.ifName);
    // Another MAC takes the neighbours with it, which come after.
    if (end.mac?.equals(pod.mac) !== true) inside.linkSet(end.index, { mac: pod.mac });
    if (end.mtu !== pod.mtu) inside.linkSet(end.index, { mtu: pod.mtu });
    configurePodEnd(inside, end.index, pod);
    const host = this.#host.linkGet(pod.hostIfindex);
    if (host.mtu !== pod.mtu) this.#host.linkSet(host.index, { mtu: pod.mtu });
    this.#setHostSysctls(pod);
    this.activate(pod);
  }

  /**
   * Removes the veth pair with all that hangs on it; one that is gone is no error, and an interface
   * of that name that is not ours stays. When it returns, both ends have left their namespaces; the kernel may still be
   * taking them apart, which nothing can stop.
   * @throws {NetlinkError | SysError}
   */
  async remove(pod: Attachment): Promise<void> {
    const index = this.#hostIndex(pod);
    if (index === undefined) this.#options.onRemoved?.();
    else await this.removeLink(index);
  }

  /** The host's end of a pod's interface, when it is there. */
  hostLink(pod: Attachment): Link | undefined {
    const link = this.#host.linkFind(pod.hostIfName);
    return link !== undefined && isOurs(link, pod.gateway) ? link : undefined;
  }

  /** Whether both ends of the pod's interface are there, and are ends of one pair. */
  isWhole(pod: Attachment): boolean {
    const host = this.hostLink(pod);
    if (host === undefined || host.index !== pod.hostIfindex) return false;
    using inside = RtnetlinkSocket.openIn(pod.netns);
    return inside.linkFind(pod.ifName)?.linkIndex === host.index;
  }

  /** Host interfaces that this node's agent made. */
  ownHostLinks(gateway: Ipv4): Link[] {
    return this.#host.linkList().filter((link) => isOurs(link, gateway));
  }

  /** Removes an interface, whoever's, as {@linkcode remove} does. @throws {NetlinkError | SysError} */
  async removeLink(index: number): Promise<void> {
    await this.#remover.remove(index);
  }

  /** The index of the host's end. A question by netlink would wait for all deletions that are under way. */
  #hostIndex(pod: Attachment): number | undefined {
    try {
      const index = inNetns(this.#options.hostNetns, () => ifNametoindex(pod.hostIfName));
      return index === pod.hostIfindex ? index : this.hostLink(pod)?.index;
    } catch (error) {
      if (isErrno(error, "ENODEV")) return undefined;
      throw error;
    }
  }

  /**
   * Compares a pod's interface with what it should be.
   * @returns what differs, one sentence each
   * @throws {NetlinkError | SysError} when the kernel cannot be asked
   */
  check(pod: Attachment): string[] {
    const host = this.hostLink(pod);
    if (host === undefined) return [`host interface ${pod.hostIfName} is not there`];
    const faults: string[] = [];
    if (host.index !== pod.hostIfindex) faults.push(`host interface ${host.name} is another one`);
    if (!host.up) faults.push(`host interface ${host.name} is down`);
    if (host.mtu !== pod.mtu) {
      faults.push(`host interface ${host.name} has MTU ${host.mtu}, not ${pod.mtu}`);
    }
    if (!this.#hasHostRoute(pod)) faults.push(`the host has no route to ${pod.ip}`);
    const neighbour = this.#host.neighList(host.index).find(({ ip }) => ip.equals(pod.ip));
    if (neighbour?.permanent !== true || neighbour.mac?.equals(pod.mac) !== true) {
      faults.push(`the host has no permanent neighbour ${pod.ip}`);
    }
    const inPod = this.podEndFaults(pod).filter(({ warning }) => warning !== true);
    return [...faults, ...inPod.map(({ text }) => text)];
  }

  /**
   * Compares the pod's end of its interface, and what hangs on it, with what it should be.
   * @throws {NetlinkError | SysError} when the kernel cannot be asked
   */
  podEndFaults(pod: Attachment): InterfaceFault[] {
    return podEndFaults(pod, pod.hostIfindex);
  }

  /**
   * Compares the kernel's settings of a pod's host interface with what they should be.
   * @throws {SysError} when the kernel cannot be asked
   */
  settingFaults(pod: Attachment): InterfaceFault[] {
    return HOST_SYSCTLS.flatMap(([name, expected]) => {
      const setting = name(pod.hostIfName);
      const found = readIfThere(this.#options.hostNetns, setting) ?? expected;
      return found === expected ? [] : [{ expected, found, text: setting }];
    });
  }

  #hasHostRoute(pod: Attachment): boolean {
    return this.#host.routeList({ oif: pod.hostIfindex }).some(({ destination }) =>
      destination.prefixLen === 32 && destination.address.equals(pod.ip)
    );
  }

  #setHostSysctls(pod: Attachment): void {
    for (const [name, value] of HOST_SYSCTLS) {
      setIfThere(this.#options.hostNetns, name(pod.hostIfName), value);
    }
  }

  #raiseSizes(socket: RtnetlinkSocket, link: Link): void {
    if (!this.#options.bigTcp || link.gsoIpv4MaxSizeBytes === undefined) return;
    const size = Math.min(BIG_TCP_BYTES, link.tsoMaxSizeBytes ?? BIG_TCP_BYTES);
    const change: LinkChange = { gsoIpv4MaxSizeBytes: size, groIpv4MaxSizeBytes: size };
    socket.linkSet(link.index, change);
  }
}

/** The MAC tells interfaces of this node's agent from those of another one on the same host. */
function isOurs(link: Link, gateway: Ipv4): boolean {
  return link.kind === "veth" && link.mac?.equals(hostMac(gateway)) === true;
}

function configurePodEnd(inside: RtnetlinkSocket, index: number, pod: Attachment): void {
  const loopback = inside.linkFind("lo");
  if (loopback !== undefined && !loopback.up) inside.linkSet(loopback.index, { up: true });
  inside.addrReplace({
    index,
    host: pod.ip,
    cidr: Cidr.of(pod.ip, pod.prefixLen),
    noPrefixRoute: true,
  });
  inside.linkSet(index, { up: true });
  inside.neighReplace({ index, ip: pod.gateway, mac: hostMac(pod.gateway) });
  // A pod's second interface leaves with the first the routes that it has.
  const toGateway = Cidr.of(pod.gateway, 32);
  if (!isRoutedElsewhere(inside, toGateway, index)) {
    inside.routeReplace({ destination: toGateway, oif: index });
  }
  if (!isRoutedElsewhere(inside, Cidr.ALL, index)) {
    inside.routeReplace({ destination: Cidr.ALL, oif: index, gateway: pod.gateway });
  }
}

function isRoutedElsewhere(inside: RtnetlinkSocket, to: Cidr, index: number): boolean {
  return inside.routeList().some(({ destination, oif }) => destination.equals(to) && oif !== index);
}

/** Something about a pod's interface that is not as it was made. */
export interface InterfaceFault {
  readonly expected: string;
  readonly found: string;
  /** All of it in one sentence. */
  readonly text: string;
  /** The pod may have done it itself, and may need it. */
  readonly warning?: boolean;
}

function podEndFaults(pod: Attachment, hostIndex: number): InterfaceFault[] {
  const { ifName, gateway, ip } = pod;
  using inside = RtnetlinkSocket.openIn(pod.netns);
  const link = inside.linkFind(ifName);
  if (link === undefined) {
    const text = `interface ${ifName} is not in the pod`;
    return [{ expected: `interface ${ifName} in the pod`, found: "no such interface", text }];
  }
  const faults: InterfaceFault[] = [];
  const fault = (bad: boolean, expected: string, found: string, text: string) => {
    if (bad) faults.push({ expected, found, text });
  };
  const compare = (what: string, expected: unknown, found: unknown) =>
    fault(
      String(expected) !== String(found),
      `${what} ${expected}`,
      `${what} ${found}`,
      `${ifName} has ${what} ${found}, not ${expected}`,
    );
  const routes = inside.routeList();
  const has = (cidr: Cidr) => routes.some(({ destination }) => destination.equals(cidr));
  const neighbour = inside.neighList(link.index).find(({ ip }) => ip.equals(gateway));
  const addresses = inside.addrList(link.index);
  const hasAddress = addresses.some(({ host }) => host.equals(ip));
  const other = `${ifName} is not the other end of ${pod.hostIfName}`;
  fault(link.linkIndex !== hostIndex, `the other end of ${pod.hostIfName}`, "another pair", other);
  fault(!link.up, "up", "down", `${ifName} is down`);
  compare("MAC", pod.mac, link.mac);
  compare("MTU", pod.mtu, link.mtu);
  fault(!hasAddress, `address ${ip}`, "not there", `${ifName} does not have address ${ip}`);
  const noGateway = `the pod has no route to its gateway ${gateway}`;
  fault(!has(Cidr.of(gateway, 32)), `route to the gateway ${gateway}`, "no route", noGateway);
  fault(!has(Cidr.ALL), "default route", "no route", "the pod has no default route");
  const gatewayMac = hostMac(gateway);
  fault(
    neighbour?.permanent !== true || neighbour.mac?.equals(gatewayMac) !== true,
    `permanent neighbour ${gateway} with MAC ${gatewayMac}`,
    neighbour === undefined ? "no neighbour" : `MAC ${neighbour.mac ?? "unknown"}`,
    `the pod's gateway is no permanent neighbour with MAC ${gatewayMac}`,
  );
  const more = addresses.filter(({ host }) => !host.equals(ip));
  return [...faults, ...more.map(({ host, cidr }) => tooMuch(pod, `${host}/${cidr.prefixLen}`))];
}

function tooMuch({ ifName, ip }: Attachment, address: string): InterfaceFault {
  return {
    expected: `no address but ${ip}`,
    found: `address ${address}`,
    text: `${ifName} has address ${address} too`,
    warning: true,
  };
}

function readIfThere(netns: Netns, name: string): string | undefined {
  try {
    return readSysctl(netns, name);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Settings of a protocol that the kernel was built without are not there, and need not be set. */
function setIfThere(netns: Netns, name: string, value: string): void {
  try {
    ensureSysctl(netns, name, value);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** The pod as people name it, for `ip link` and for a dataplane that starts. Nothing rather than half a name. */
function aliasOf({ podNamespace, podName }: Attachment): string | undefined {
  const alias = `${podNamespace}/${podName}`;
  return podName !== "" && alias.length <= MOST_ALIAS_BYTES ? alias : undefined;
}
