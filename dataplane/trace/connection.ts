/** Whether a connection vouches for a packet, as entry_covers of bpf/lib/verdict.h says. */

import { type ConntrackEntry, ConntrackFlags, ConntrackState } from "../../shared/gen/abi.ts";
import { TraceStage } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol } from "../../shared/net/ip_protocol.ts";
import * as describe from "./describe.ts";
import { connectionKey, hasSourcePort } from "./packet.ts";
import type { Trail } from "./trail.ts";

/** A hook of a pod's interface: EGRESS sees what the pod sends. */
export type Hook = PolicyDirection.INGRESS | PolicyDirection.EGRESS;

/** A connection that covers a packet at a hook. */
export interface Covering {
  readonly value: ConntrackEntry;
  /** The packet runs against the connection's origin. */
  readonly reply: boolean;
}

/** Looks for the packet's connection. @returns undefined: the packet opens one @throws SysError */
export function findConnection(trail: Trail, hook: Hook, ifindex: number): Covering | undefined {
  const { key, sourceIsA } = connectionKey(trail.packet);
  const { srcPort, protocol } = trail.packet;
  if (srcPort === 0 && hasSourcePort(protocol)) {
    const text = "the packet opens a connection, from a port that none has";
    trail.add(TraceStage.CONNTRACK, text);
    return undefined;
  }
  const entry = { map: "CONNTRACK", key: describe.connectionKeyText(key), value: "" };
  const value = trail.view.connection(key);
  if (value === undefined) {
    trail.add(TraceStage.CONNTRACK, "no connection vouches for the packet: it opens one", entry);
    return undefined;
  }
  const found = { ...entry, value: describe.connectionText(value) };
  const reply = sourceIsA !== ((value.flags & ConntrackFlags.CONNTRACK_ORIGIN_IS_A) !== 0);
  if (!covers(value, reply, hook, ifindex, protocol === IpProtocol.ICMP)) {
    const text = "the connection there is not the packet's: it opens one";
    trail.add(TraceStage.CONNTRACK, text, found);
    return undefined;
  }
  trail.add(TraceStage.CONNTRACK, coveringText(trail, value, reply), found);
  return { value, reply };
}

/** @param opens the packet asks for something new: an echo request, as the only one that has a connection's key */
function covers(
  { flags, ifindex: ends, state }: ConntrackEntry,
  reply: boolean,
  hook: Hook,
  ifindex: number,
  opens: boolean,
): boolean {
  if (opens && (reply || state >= ConntrackState.CONNTRACK_FIN_WAIT)) return false;
  const podIsOrigin = (hook === PolicyDirection.EGRESS) === !reply;
  const needed = podIsOrigin
    ? ConntrackFlags.CONNTRACK_EGRESS_ALLOWED
    : ConntrackFlags.CONNTRACK_INGRESS_ALLOWED;
  return ends[podIsOrigin ? 0 : 1] === ifindex && (flags & needed) !== 0;
}

function coveringText(
  { view }: Trail,
  { generation, state }: ConntrackEntry,
  reply: boolean,
): string {
  const now = view.state.evaluationGeneration;
  const what = `${reply ? "an answer on" : "the next packet of"} a living connection`;
  const judged = generation === now
    ? `decided under generation ${now}, which is in force: no policy is asked`
    : `decided under generation ${generation}, and ${now} is in force: it is judged again`;
  return `${what} (${describe.connectionState(state)}), ${judged}`;
}
