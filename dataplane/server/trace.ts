/** TracePacket. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type {
  TracePacketRequest,
  TracePacketResponseSchema,
} from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { hasPorts, ipProtocolName } from "../../shared/net/ip_protocol.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { interfaceNameOf } from "../programs/attachments.ts";
import { connectionState } from "../trace/describe.ts";
import { KernelView } from "../trace/kernel_view.ts";
import { findLiving } from "../trace/living.ts";
import { hasSourcePort, type TracedPacket } from "../trace/packet.ts";
import { type HookFacts, type Step, Trail } from "../trace/trail.ts";
import { follow, type Verdict } from "../trace/walk.ts";
import type { Dataplane } from "./dataplane.ts";

type Response = MessageInitShape<typeof TracePacketResponseSchema>;

const MAX_PORT = 65_535;
const MAX_PROTOCOL = 255;

/** The handler of TracePacket. */
export function traceHandlers(dataplane: Dataplane): ServiceImpl<typeof DataplaneExt> {
  return { tracePacket: (request) => trace(dataplane, request) };
}

async function trace(dataplane: Dataplane, request: TracePacketRequest): Promise<Response> {
  const packet = checkPacket(request);
  const map = (name: string) => dataplane.objects.map(name);
  const { connections } = dataplane;
  const facts = await hookFacts(dataplane, new KernelView(map, connections), packet);
  const view = new KernelView(map, connections);
  const trail = new Trail(view, facts, packet);
  const verdict = named(dataplane, follow(trail));
  const { policyGeneration, evaluationGeneration } = view.state;
  const findsOthers = request.findConnections && packet.srcPort === 0 &&
    hasSourcePort(packet.protocol);
  const living = findsOthers ? await findLiving(view, packet) : { told: [], count: 0 };
  return {
    steps: trail.steps.map((step) => named<Step>(dataplane, step)),
    verdict,
    connections: living.told.map(({ srcPort, connection }) => ({
      srcPort,
      state: connectionState(connection.state),
      generation: connection.generation,
      current: connection.generation === evaluationGeneration,
      verdict: named(dataplane, follow(new Trail(view, facts, { ...packet, srcPort }))),
    })),
    connectionCount: living.count,
    policyGeneration,
    evaluationGeneration,
  };
}

/** What the kernel says of the hooks that the packet may pass. */
async function hookFacts(
  { attachments, connections }: Dataplane,
  view: KernelView,
  { srcIp, dstIp }: TracedPacket,
): Promise<HookFacts> {
  const [source, destination] = [srcIp, dstIp].map((ip) => view.endpoint(ip)?.ifindex ?? 0);
  const isAttached = async (ifindex = 0, direction: "ingress" | "egress") =>
    ifindex !== 0 && await attachments.isAttached(ifindex, direction);
  // What the pod sends comes in at the host's end.
  const [leaves, enters] = await Promise.all([
    isAttached(source, "ingress"),
    isAttached(destination, "egress"),
  ]);
  return {
    attached: (hook) => hook === PolicyDirection.EGRESS ? leaves : enters,
    interfaceName: interfaceNameOf,
    hasRoom: () => !connections.isFull,
  };
}

/** Fills in the rule's name. */
function named<T extends Step | Verdict>({ rules }: Dataplane, about: T): T {
  const { ruleId = 0 } = about;
  return ruleId === 0 ? about : { ...about, rule: rules.get(ruleId) };
}

/** @throws RpcError INVALID_ARGUMENT */
function checkPacket(request: TracePacketRequest): TracedPacket {
  const { srcIp, dstIp, protocol, srcPort, dstPort } = request;
  if (srcIp === 0) throw invalidArgument("src_ip", srcIp, "must not be 0");
  if (dstIp === 0) throw invalidArgument("dst_ip", dstIp, "must not be 0");
  if (protocol === 0 || protocol > MAX_PROTOCOL) {
    throw invalidArgument("protocol", protocol, `must be from 1 to ${MAX_PROTOCOL}`);
  }
  const name = ipProtocolName(protocol);
  if (!hasPorts(protocol) && dstPort !== 0) {
    throw invalidArgument("dst_port", dstPort, `${name} has no ports`);
  }
  if (hasPorts(protocol) && (dstPort === 0 || dstPort > MAX_PORT)) {
    throw invalidArgument("dst_port", dstPort, `${name} needs one from 1 to ${MAX_PORT}`);
  }
  if (!hasSourcePort(protocol) && srcPort !== 0) {
    throw invalidArgument("src_port", srcPort, `${name} has no ports`);
  }
  if (srcPort > MAX_PORT) {
    throw invalidArgument("src_port", srcPort, `must be at most ${MAX_PORT}`);
  }
  return { srcIp, dstIp, protocol, srcPort, dstPort };
}
