// Numbers of the kernel's netlink interface (include/uapi/linux: netlink.h, rtnetlink.h, if_link.h, if_addr.h,
// neighbour.h, veth.h), under the kernel's own names without their common prefix.

/** Host byte order: every platform that Deno runs on is little-endian. */
export const LITTLE_ENDIAN = true;

/** Message flags (NLM_F_*). REPLACE, EXCL, CREATE belong to requests that make; DUMP to listings. */
export const MessageFlag = {
  REQUEST: 0x001,
  MULTI: 0x002,
  ACK: 0x004,
  DUMP_INTR: 0x010,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  DUMP: 0x300,
  /** On NLMSG_ERROR: the request's payload is left out. */
  CAPPED: 0x100,
  /** On NLMSG_ERROR and NLMSG_DONE: extended acknowledgement attributes follow. */
  ACK_TLVS: 0x200,
} as const;

/** Message types (NLMSG_*, RTM_*). */
export const MessageType = {
  NOOP: 1,
  ERROR: 2,
  DONE: 3,
  OVERRUN: 4,
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWQDISC: 36,
  GETQDISC: 38,
} as const;

/** Attributes of an extended acknowledgement (NLMSGERR_ATTR_*). */
export const ErrorAttr = { MSG: 1, OFFS: 2 } as const;

/** Attributes of a link (IFLA_*). */
export const LinkAttr = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  OPERSTATE: 16,
  LINKINFO: 18,
  IFALIAS: 20,
  GROUP: 27,
  NET_NS_FD: 28,
  CARRIER: 33,
  GSO_MAX_SIZE: 41,
  GRO_MAX_SIZE: 58,
  TSO_MAX_SIZE: 59,
  GSO_IPV4_MAX_SIZE: 63,
  GRO_IPV4_MAX_SIZE: 64,
} as const;

/** Attributes inside IFLA_LINKINFO (IFLA_INFO_*). */
export const LinkInfoAttr = { KIND: 1, DATA: 2 } as const;

/** Attributes inside IFLA_INFO_DATA of a veth (VETH_INFO_*). */
export const VethAttr = { PEER: 1 } as const;

/** Attributes of an address (IFA_*). */
export const AddrAttr = { ADDRESS: 1, LOCAL: 2, LABEL: 3, BROADCAST: 4, FLAGS: 8 } as const;

/** Attributes of a route (RTA_*). */
export const RouteAttr = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  TABLE: 15,
} as const;

/** Attributes inside RTA_METRICS (RTAX_*). */
export const RouteMetricAttr = { MTU: 2 } as const;

/** Attributes of a neighbour (NDA_*). */
export const NeighAttr = { DST: 1, LLADDR: 2 } as const;

/** Attributes of a queueing discipline (TCA_*). */
export const QdiscAttr = { KIND: 1 } as const;

/** Interface flags (IFF_*). */
export const LinkFlag = {
  UP: 0x1,
  BROADCAST: 0x2,
  LOOPBACK: 0x8,
  RUNNING: 0x40,
  NOARP: 0x80,
  MULTICAST: 0x1000,
  LOWER_UP: 0x10000,
} as const;

/** Address flags (IFA_F_*). */
export const AddrFlag = { PERMANENT: 0x80, NOPREFIXROUTE: 0x200 } as const;

/** Route tables (RT_TABLE_*). */
export const RouteTable = { MAIN: 254, LOCAL: 255 } as const;

/** Who made a route (RTPROT_*). NOVANET is ours, so that we know our routes again. */
export const RouteProtocol = { KERNEL: 2, BOOT: 3, STATIC: 4, NOVANET: 78 } as const;

/** How far a destination is (RT_SCOPE_*). */
export const RouteScope = { UNIVERSE: 0, LINK: 253, HOST: 254, NOWHERE: 255 } as const;

/** What a route does (RTN_*). */
export const RouteType = { UNICAST: 1, LOCAL: 2, BROADCAST: 3, BLACKHOLE: 6 } as const;

/** Route flags (RTNH_F_*). */
export const RouteFlag = { ONLINK: 4 } as const;

/** Neighbour states (NUD_*). */
export const NeighState = { REACHABLE: 0x02, STALE: 0x04, FAILED: 0x20, PERMANENT: 0x80 } as const;

/** Multicast groups (RTNLGRP_*) for subscriptions. */
export const RtnetlinkGroup = { LINK: 1, NEIGH: 3, IPV4_IFADDR: 5, IPV4_ROUTE: 7 } as const;

/** Address families (AF_*). */
export const Family = { UNSPEC: 0, INET: 2, NETLINK: 16 } as const;
