import type { FuzzTarget } from "./target.ts";
import { cni } from "./targets/cni.ts";
import { connection } from "./targets/connection.ts";
import { flow } from "./targets/flow.ts";
import { folder } from "./targets/folder.ts";
import { hpack } from "./targets/hpack.ts";
import { manifest } from "./targets/manifest.ts";
import { netlink } from "./targets/netlink.ts";
import { packet } from "./targets/packet.ts";
import { rpc } from "./targets/rpc.ts";
import { socket } from "./targets/socket.ts";

/** All targets, in the order in which they run. */
export const TARGETS: readonly FuzzTarget[] = [
  cni,
  rpc,
  socket,
  connection,
  hpack,
  manifest,
  folder,
  netlink,
  flow,
  packet,
];
