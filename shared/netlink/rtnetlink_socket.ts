import { isErrno } from "../ffi/errno.ts";
import type { Ipv4 } from "../net/ipv4.ts";
import type { Netns } from "../netns/netns.ts";
import {
  type AddressSpec,
  decodeAddress,
  encodeAddress,
  encodeAddressFilter,
  type InterfaceAddress,
} from "./address.ts";
import { MessageFlag, MessageType } from "./constants.ts";
import { NetlinkExchange, type NetlinkRequest } from "./exchange.ts";
import {
  decodeLink,
  encodeLinkChange,
  encodeLinkGroup,
  encodeLinkSelector,
  encodeVeth,
  type Link,
  type LinkChange,
  type VethEnd,
} from "./link.ts";
import {
  decodeNeighbour,
  encodeNeighbour,
  encodeNeighbourFilter,
  type Neighbour,
  type NeighbourSpec,
} from "./neighbour.ts";
import { NetlinkError } from "./netlink_error.ts";
import { NetlinkSocket } from "./netlink_socket.ts";
import { decodeQdisc, encodeQdiscFilter, type Qdisc } from "./qdisc.ts";
import {
  decodeRoute,
  encodeRoute,
  encodeRouteFilter,
  encodeRouteMatch,
  type Route,
  type RouteFilter,
  type RouteMatch,
  type RouteSpec,
} from "./route.ts";

const ENODEV = 19;
const CREATE = MessageFlag.CREATE | MessageFlag.EXCL;
const CREATE_OR_REPLACE = MessageFlag.CREATE | MessageFlag.REPLACE;

/**
 * Links, addresses, routes and neighbours of one network namespace, changed and listed by rtnetlink.
 * Every call is one synchronous exchange with the kernel; what the kernel refuses is a NetlinkError.
 */
export class RtnetlinkSocket implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #exchange: NetlinkExchange;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.#exchange = new NetlinkExchange(socket);
  }

  /**
   * Opens a socket in a network namespace, absent for the process's own. The caller closes it.
   * @throws {SysError}
   */
  static openIn(netns?: Netns): RtnetlinkSocket {
    return new RtnetlinkSocket(NetlinkSocket.open(netns));
  }

  /** Closes the socket; a second call does nothing. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * @param link index or name.
   * @throws {NetlinkError} ENODEV when there is none.
   */
  linkGet(link: number | string): Link {
    const op = `get link ${link}`;
    const payload = encodeLinkSelector(link);
    const answer = this.#exchange.get({ op, type: MessageType.GETLINK, payload });
    if (answer === undefined) throw new NetlinkError(op, ENODEV, "no answer");
    return decodeLink(answer);
  }

  /**
   * @param link index or name.
   * @returns undefined when there is none.
   * @throws {NetlinkError}
   */
  linkFind(link: number | string): Link | undefined {
    return unless("ENODEV", () => this.linkGet(link));
  }

  /** @returns every link of the namespace. @throws {NetlinkError} */
  linkList(): Link[] {
    return this.#dump("list links", MessageType.GETLINK, encodeLinkSelector(0)).map(decodeLink);
  }

  /**
   * Makes a veth pair. Each end is as its spec says, in the namespace of its `netnsFd` (else this one), and
   * down.
   * @throws {NetlinkError} EEXIST when a name is taken.
   */
  vethCreate(end: VethEnd, peer: VethEnd): void {
    this.#exchange.change({
      op: `create veth ${end.name}`,
      type: MessageType.NEWLINK,
      flags: CREATE,
      payload: encodeVeth(end, peer),
    });
  }

  /**
   * Changes a link.
   * @param index of the link.
   * @throws {NetlinkError} ENODEV when there is none.
   */
  linkSet(index: number, change: LinkChange): void {
    const payload = encodeLinkChange(index, change);
    this.#exchange.change({ op: `set link ${index}`, type: MessageType.NEWLINK, payload });
  }

  /**
   * Deletes a link (a veth's other end goes with it). Takes tens of milliseconds: see linkDeleteAsync.
   * @param link index or name.
   * @returns false when there was none.
   * @throws {NetlinkError}
   */
  linkDelete(link: number | string): boolean {
    return this.#remove(linkDeletion(link));
  }

  /** Adds an address. @throws {NetlinkError} EEXIST when it is there. */
  addrAdd(spec: AddressSpec): void {
    this.#addAddress("add", CREATE, spec);
  }

  /** Adds an address; when it is there, its flags become these. @throws {NetlinkError} */
  addrReplace(spec: AddressSpec): void {
    this.#addAddress("replace", CREATE_OR_REPLACE, spec);
  }

  /** Deletes an address. @returns false when there was none. @throws {NetlinkError} */
  addrDel(spec: AddressSpec): boolean {
    const op = `delete address ${spec.host}/${spec.cidr.prefixLen} of link ${spec.index}`;
    return this.#remove({ op, type: MessageType.DELADDR, payload: encodeAddress(spec) });
  }

  /** @returns the IPv4 addresses of one link, or of all (absent). @throws {NetlinkError} */
  addrList(index = 0): InterfaceAddress[] {
    const payload = encodeAddressFilter(index);
    return present(this.#dump("list addresses", MessageType.GETADDR, payload).map(decodeAddress));
  }

  /** Adds a route. @throws {NetlinkError} EEXIST when one to that destination is there. */
  routeAdd(spec: RouteSpec): void {
    this.#addRoute("add", CREATE, spec);
  }

  /** Adds a route, or puts it in the place of the one to that destination. @throws {NetlinkError} */
  routeReplace(spec: RouteSpec): void {
    this.#addRoute("replace", CREATE_OR_REPLACE, spec);
  }

  /** Deletes the first route that matches. @returns false when there was none. @throws {NetlinkError} */
  routeDel(match: RouteMatch): boolean {
    const op = `delete route ${match.destination}`;
    return this.#remove({ op, type: MessageType.DELROUTE, payload: encodeRouteMatch(match) });
  }

  /** @returns the IPv4 routes that match; of the main table unless the filter names one. @throws {NetlinkError} */
  routeList(filter: RouteFilter = {}): Route[] {
    const payload = encodeRouteFilter(filter);
    // A table that nobody has written to does not exist, and has no routes.
    const answer = unless("ENOENT", () => this.#dump("list routes", MessageType.GETROUTE, payload));
    return present((answer ?? []).map(decodeRoute));
  }

  /** Adds a permanent neighbour. @throws {NetlinkError} EEXIST when there is an entry. */
  neighAdd(spec: NeighbourSpec): void {
    this.#addNeighbour("add", CREATE, spec);
  }

  /** Adds a permanent neighbour, or makes the entry one. @throws {NetlinkError} */
  neighReplace(spec: NeighbourSpec): void {
    this.#addNeighbour("replace", CREATE_OR_REPLACE, spec);
  }

  /** Deletes a neighbour. @returns false when there was none. @throws {NetlinkError} */
  neighDel(index: number, ip: Ipv4): boolean {
    const op = `delete neighbour ${ip} of link ${index}`;
    const payload = encodeNeighbour({ index, ip });
    return this.#remove({ op, type: MessageType.DELNEIGH, payload });
  }

  /** @returns the IPv4 neighbours of one link, or of all (absent). @throws {NetlinkError} */
  neighList(index?: number): Neighbour[] {
    const payload = encodeNeighbourFilter();
    const all = this.#dump("list neighbours", MessageType.GETNEIGH, payload).map(decodeNeighbour);
    return present(all).filter((each) => index === undefined || each.index === index);
  }

  /** @returns the queueing disciplines of one link, or of all (absent). @throws {NetlinkError} */
  qdiscList(index?: number): Qdisc[] {
    const payload = encodeQdiscFilter(index ?? 0);
    const all = this.#dump("list qdiscs", MessageType.GETQDISC, payload).map(decodeQdisc);
    return all.filter((each) => index === undefined || each.index === index);
  }

  #addAddress(verb: string, flags: number, spec: AddressSpec): void {
    const op = `${verb} address ${spec.host}/${spec.cidr.prefixLen} to link ${spec.index}`;
    this.#exchange.change({ op, type: MessageType.NEWADDR, flags, payload: encodeAddress(spec) });
  }

  #addRoute(verb: string, flags: number, spec: RouteSpec): void {
    const op = `${verb} route ${spec.destination}`;
    this.#exchange.change({ op, type: MessageType.NEWROUTE, flags, payload: encodeRoute(spec) });
  }

  #addNeighbour(verb: string, flags: number, spec: NeighbourSpec): void {
    const op = `${verb} neighbour ${spec.ip} to link ${spec.index}`;
    this.#exchange.change({
      op,
      type: MessageType.NEWNEIGH,
      flags,
      payload: encodeNeighbour(spec),
    });
  }

  #dump(op: string, type: number, payload: Uint8Array): Uint8Array[] {
    return this.#exchange.dump({ op, type, payload });
  }

  #remove(request: NetlinkRequest): boolean {
    try {
      this.#exchange.change(request);
      return true;
    } catch (error) {
      return falseWhenGone(error);
    }
  }
}

/**
 * Deletes a link as RtnetlinkSocket.linkDelete does, on a thread of its own: the kernel takes tens of milliseconds.
 * @param link index or name.
 * @returns false when there was none.
 * @throws {NetlinkError | SysError}
 */
export async function linkDeleteAsync(netns: Netns, link: number | string): Promise<boolean> {
  using socket = NetlinkSocket.open(netns);
  const send = (datagram: Uint8Array) => socket.sendAsync(datagram);
  try {
    await new NetlinkExchange(socket).changeAsync(linkDeletion(link), send);
    return true;
  } catch (error) {
    return falseWhenGone(error);
  }
}

/**
 * Deletes several links at once, on a thread of its own: all disappear from the namespace before the kernel begins to take
 * any of them apart, which takes tens of milliseconds for each. One that is not there is no error.
 * @param group a device group that no link is in: the kernel deletes whatever is.
 * @throws {NetlinkError | SysError} when the kernel refuses one of them; some may be deleted all the same.
 */
export async function linksDeleteAsync(
  netns: Netns,
  indexes: readonly number[],
  group: number,
): Promise<void> {
  using socket = NetlinkSocket.open(netns);
  const join = indexes.map((index) => ({
    op: `set link ${index}`,
    type: MessageType.NEWLINK,
    payload: encodeLinkChange(index, { group }),
  }));
  const op = `delete links ${indexes.join(", ")}`;
  const deletion = { op, type: MessageType.DELLINK, payload: encodeLinkGroup(group) };
  const refused = await new NetlinkExchange(socket).changeAllAsync(
    [...join, deletion],
    (datagram) => socket.sendAsync(datagram),
  );
  for (const error of refused.values()) falseWhenGone(error);
}

function linkDeletion(link: number | string): NetlinkRequest {
  const payload = encodeLinkSelector(link);
  return { op: `delete link ${link}`, type: MessageType.DELLINK, payload };
}

/** The kernel says "not there" in four ways: link, address, route, neighbour. Other errors are thrown on. */
function falseWhenGone(error: unknown): false {
  const gone = ["ENODEV", "EADDRNOTAVAIL", "ESRCH", "ENOENT"];
  if (gone.some((code) => isErrno(error, code))) return false;
  throw error;
}

function unless<T>(code: string, call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (isErrno(error, code)) return undefined;
    throw error;
  }
}

function present<T>(values: (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}
