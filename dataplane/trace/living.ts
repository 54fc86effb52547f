/** The living connections that a packet that opens one would stand beside. */

import { type ConntrackEntry, ConntrackFlags } from "../../shared/gen/abi.ts";
import type { KernelView } from "./kernel_view.ts";
import type { TracedPacket } from "./packet.ts";

/** Connections that are told at most. */
export const MOST_TOLD = 16;

/** Connections of the same origin to the same destination and port. */
export interface Living {
  /** The first of them, MOST_TOLD at most. */
  readonly told: readonly { readonly srcPort: number; readonly connection: ConntrackEntry }[];
  readonly count: number;
}

/** Looks through the whole table, and lets others work in between. @throws SysError */
export async function findLiving(view: KernelView, packet: TracedPacket): Promise<Living> {
  const told: { srcPort: number; connection: ConntrackEntry }[] = [];
  let count = 0;
  for (const slice of view.connections()) {
    for (const connection of slice) {
      const srcPort = originPort(connection, packet);
      if (srcPort === undefined) continue;
      count++;
      if (told.length < MOST_TOLD) told.push({ srcPort, connection });
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return { told: told.toSorted((a, b) => a.srcPort - b.srcPort), count };
}

/** The source port of a connection that goes where the packet goes; undefined when it goes elsewhere. */
function originPort({ key, flags }: ConntrackEntry, packet: TracedPacket): number | undefined {
  if (key.protocol !== packet.protocol) return undefined;
  const originIsA = (flags & ConntrackFlags.CONNTRACK_ORIGIN_IS_A) !== 0;
  const [origin, destination] = originIsA ? [key.ipA, key.ipB] : [key.ipB, key.ipA];
  const [srcPort, dstPort] = originIsA ? [key.portA, key.portB] : [key.portB, key.portA];
  const same = origin === packet.srcIp && destination === packet.dstIp &&
    dstPort === packet.dstPort;
  return same ? srcPort : undefined;
}
