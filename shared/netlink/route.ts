import { Cidr } from "../net/cidr.ts";
import { Ipv4 } from "../net/ipv4.ts";
import { attr, type Attribute, AttributeReader } from "./attribute.ts";
import {
  Family,
  RouteAttr,
  RouteFlag,
  RouteMetricAttr,
  RouteProtocol,
  RouteScope,
  RouteTable,
  RouteType,
} from "./constants.ts";
import { familyCodec } from "./family_message.ts";

/** Payloads of RTM_*ROUTE: struct rtmsg. */
export const routeCodec = familyCodec("rtmsg", {
  family: "u8",
  dstLen: "u8",
  srcLen: "u8",
  tos: "u8",
  table: "u8",
  protocol: "u8",
  scope: "u8",
  type: "u8",
  flags: "u32",
});

/** An IPv4 route as the kernel tells of it. A route with several next hops has neither `oif` nor `gateway` here. */
export interface Route {
  readonly destination: Cidr;
  /** The index of the outgoing interface, or undefined. */
  readonly oif: number | undefined;
  readonly gateway: Ipv4 | undefined;
  /** The preferred source address. */
  readonly source: Ipv4 | undefined;
  /** RT_TABLE_* or another table's number. */
  readonly table: number;
  /** RTPROT_*. */
  readonly protocol: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** RTN_*. */
  readonly type: number;
  /** RTNH_F_*. */
  readonly flags: number;
  /** Lower is preferred. */
  readonly metric: number;
  /** Bytes; undefined when the route does not limit it. */
  readonly mtu: number | undefined;
}

/** A route to add or delete. */
export interface RouteSpec {
  readonly destination: Cidr;
  /** The index of the outgoing interface. */
  readonly oif?: number | undefined;
  readonly gateway?: Ipv4 | undefined;
  /** The preferred source address: one of this namespace. */
  readonly source?: Ipv4 | undefined;
  /** The gateway is on the link although no route says so (RTNH_F_ONLINK). */
  readonly onlink?: boolean | undefined;
  /** Default RT_TABLE_MAIN. */
  readonly table?: number | undefined;
  /** RT_SCOPE_*; default link without a gateway, universe with one. */
  readonly scope?: number | undefined;
  /** RTPROT_*; default RouteProtocol.NOVANET. */
  readonly protocol?: number | undefined;
  /** RTN_*; default unicast. */
  readonly type?: number | undefined;
  readonly metric?: number | undefined;
  /** Bytes. */
  readonly mtu?: number | undefined;
}

/** A route to delete: what is left out matches any; the table is main unless it is said. */
export type RouteMatch = Omit<RouteSpec, "mtu" | "onlink">;

/** Which routes to list; what is left out matches all, but for the table. */
export interface RouteFilter {
  /** Default RT_TABLE_MAIN. */
  readonly table?: number | "all" | undefined;
  readonly oif?: number | undefined;
  readonly protocol?: number | undefined;
}

/**
 * Reads the payload of an RTM_NEWROUTE or RTM_DELROUTE.
 * @returns undefined for families other than IPv4.
 * @throws {NetlinkDecodeError}
 */
export function decodeRoute(payload: Uint8Array): Route | undefined {
  const { header, attributes } = routeCodec.decode(payload);
  if (header.family !== Family.INET || header.dstLen > 32) return undefined;
  const read = new AttributeReader(attributes);
  return {
    destination: Cidr.of(address(read, RouteAttr.DST) ?? Ipv4.ANY, header.dstLen),
    oif: read.u32(RouteAttr.OIF),
    gateway: address(read, RouteAttr.GATEWAY),
    source: address(read, RouteAttr.PREFSRC),
    table: read.u32(RouteAttr.TABLE) ?? header.table,
    protocol: header.protocol,
    scope: header.scope,
    type: header.type,
    flags: header.flags,
    metric: read.u32(RouteAttr.PRIORITY) ?? 0,
    mtu: read.nested(RouteAttr.METRICS).u32(RouteMetricAttr.MTU),
  };
}

/** @returns the payload of an RTM_NEWROUTE. */
export function encodeRoute(spec: RouteSpec): Uint8Array<ArrayBuffer> {
  const table = spec.table ?? RouteTable.MAIN;
  const near = spec.gateway === undefined ? RouteScope.LINK : RouteScope.UNIVERSE;
  return routeCodec.encode({
    header: {
      family: Family.INET,
      dstLen: spec.destination.prefixLen,
      table: headerTable(table),
      protocol: spec.protocol ?? RouteProtocol.NOVANET,
      scope: spec.scope ?? near,
      type: spec.type ?? RouteType.UNICAST,
      flags: spec.onlink === true ? RouteFlag.ONLINK : 0,
    },
    attributes: routeAttributes(spec, table),
  });
}

/** @returns the payload of an RTM_DELROUTE. */
export function encodeRouteMatch(match: RouteMatch): Uint8Array<ArrayBuffer> {
  const table = match.table ?? RouteTable.MAIN;
  return routeCodec.encode({
    header: {
      family: Family.INET,
      dstLen: match.destination.prefixLen,
      table: headerTable(table),
      protocol: match.protocol ?? 0,
      scope: match.scope ?? RouteScope.NOWHERE,
      type: match.type ?? 0,
    },
    attributes: routeAttributes(match, table),
  });
}

/** @returns the payload of an RTM_GETROUTE dump of the routes that match. */
export function encodeRouteFilter(filter: RouteFilter): Uint8Array<ArrayBuffer> {
  const attributes: Attribute[] = [];
  const table = filter.table ?? RouteTable.MAIN;
  if (table !== "all") attributes.push(attr.u32(RouteAttr.TABLE, table));
  if (filter.oif !== undefined) attributes.push(attr.u32(RouteAttr.OIF, filter.oif));
  return routeCodec.encode({
    header: { family: Family.INET, protocol: filter.protocol ?? 0 },
    attributes,
  });
}

/** Tables beyond a byte stand in the attribute alone; the header then says RT_TABLE_UNSPEC. */
function headerTable(table: number): number {
  return table < 256 ? table : 0;
}

function routeAttributes(spec: Omit<RouteSpec, "onlink">, table: number): Attribute[] {
  const attributes = [
    attr.bytes(RouteAttr.DST, spec.destination.address.toBytes()),
    attr.u32(RouteAttr.TABLE, table),
  ];
  if (spec.oif !== undefined) attributes.push(attr.u32(RouteAttr.OIF, spec.oif));
  if (spec.gateway !== undefined) {
    attributes.push(attr.bytes(RouteAttr.GATEWAY, spec.gateway.toBytes()));
  }
  if (spec.source !== undefined) {
    attributes.push(attr.bytes(RouteAttr.PREFSRC, spec.source.toBytes()));
  }
  if (spec.metric !== undefined) attributes.push(attr.u32(RouteAttr.PRIORITY, spec.metric));
  if (spec.mtu !== undefined) {
    attributes.push(attr.nested(RouteAttr.METRICS, [attr.u32(RouteMetricAttr.MTU, spec.mtu)]));
  }
  return attributes;
}

function address(read: AttributeReader, type: number): Ipv4 | undefined {
  const bytes = read.fixed(type, 4);
  return bytes && Ipv4.fromBytes(bytes);
}
