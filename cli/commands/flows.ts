import {
  DropReason,
  type FlowEvent,
  FlowEventSchema,
  FlowEventType,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { hasPorts } from "../../shared/net/ip_protocol.ts";
import { Ipv4 } from "../../shared/net/ipv4.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { agentControl, agentDaemon, agentExt } from "../agent.ts";
import { CliError, daemonError } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { Io } from "../io.ts";
import * as labels from "../labels.ts";
import { messageJson } from "../message_json.ts";
import type { OptionsOf } from "../options.ts";
import { type Column, Printer, type View } from "../output.ts";
import { clock, rfc3339 } from "../time.ts";

/** Options of flows and of drops. */
export type FlowOptions = OptionsOf<"flows"> | OptionsOf<"drops">;

/** What of the options selects events. */
export type FlowFilter = Pick<
  FlowOptions,
  "pods" | "namespaces" | "addresses" | "ports" | "protocols" | "verdict"
>;

const RECONNECT_MS = 1000;
const SILENCE_MS = 2000;

const TIME: Column<FlowEvent> = {
  header: "TIMESTAMP",
  text: (event, terminal) => terminal ? clock(event.wallTimeUnixNs) : rfc3339(event.wallTimeUnixNs),
  width: 12,
};

/** The columns of wire/novanet.md section 8. */
const COMMON: readonly Column<FlowEvent>[] = [
  TIME,
  { header: "SRC_IP", text: (event) => addressText(event, event.srcIp), width: 10 },
  { header: "DST_IP", text: (event) => addressText(event, event.dstIp), width: 10 },
  { header: "SRC_ID", text: (event) => identityText(event, event.srcIdentity), width: 8 },
  { header: "DST_ID", text: (event) => identityText(event, event.dstIdentity), width: 8 },
  { header: "PROTO", text: protocolText },
  { header: "PORT", text: (event) => portText(event, event.dstPort), width: 5 },
  {
    header: "VERDICT",
    text: (event) => labels.verdictLabel(event.verdict),
    color: (event) => labels.verdictColor(event.verdict),
  },
  { header: "BYTES", text: (event) => String(event.bytes), width: 5 },
];

const DROP_REASON: Column<FlowEvent> = {
  header: "DROP_REASON",
  text: (event) => labels.dropReasonLabel(event.dropReason),
  width: 14,
  color: () => "red",
};

/** Ours. RULE follows, as the last: it is long. */
const OWN: readonly Column<FlowEvent>[] = [
  { header: "SRC_PORT", text: (event) => portText(event, event.srcPort), wide: true },
  { header: "PACKETS", text: (event) => String(event.packets), wide: true },
  {
    header: "EVENT",
    text: (event) => labels.eventTypeLabel(event.eventType),
    width: 6,
    wide: true,
  },
  { header: "FLAGS", text: flagsText, width: 11, wide: true },
  {
    header: "SRC_POD",
    text: (event) => labels.podLabel(event.srcNamespace, event.srcPod),
    width: 12,
  },
  {
    header: "DST_POD",
    text: (event) => labels.podLabel(event.dstNamespace, event.dstPod),
    width: 12,
  },
  {
    header: "DIRECTION",
    text: (event) => labels.directionLabel(event.direction),
    roomy: true,
  },
  { header: "REPLY", text: (event) => event.isReply ? "yes" : "no", roomy: true },
  {
    header: "DECIDED_BY",
    text: (event) => labels.directionLabel(event.ruleDirection),
    wide: true,
  },
];

/** How events are printed: with the reason of a drop after the columns of flows, or in the place of its rule. */
export function flowView({ command, output }: Pick<FlowOptions, "command" | "output">) {
  const hasReason = command === "drops" || output === "wide";
  const rule: Column<FlowEvent> = {
    header: "RULE",
    text: ({ rule, dropReason }) =>
      rule === "" && !hasReason ? labels.dropReasonLabel(dropReason) : labels.orDash(rule),
  };
  const view: View<FlowEvent> = {
    columns: [...COMMON, ...(hasReason ? [DROP_REASON] : []), ...OWN, rule],
    json: (event) => ({
      time: rfc3339(event.wallTimeUnixNs),
      ...messageJson(FlowEventSchema, event),
      src_ip: labels.addressLabel(event.srcIp),
      dst_ip: labels.addressLabel(event.dstIp),
      protocol_name: labels.protocolLabel(event.protocol),
    }),
  };
  return view;
}

/**
 * `flows` and `drops`: prints events until Ctrl-C, the limit or, without --watch, the agent's end.
 *
 * @throws {CliError}
 */
export async function flows(options: FlowOptions, io: Io): Promise<void> {
  const printer = new Printer(io, options, flowView(options));
  const signal = io.interrupted();
  const daemon = agentDaemon(options);
  const progress = { left: options.limit ?? Infinity };
  let started = false;
  while (!signal.aborted) {
    try {
      if (!started) await checkPods(options, io);
      await printer.start();
      started = true;
      await printEvents(options, io, printer, progress, signal);
      if (progress.left === 0) return;
      throw new CliError(ExitCode.UNREACHABLE, "novanet-agent ended the stream");
    } catch (thrown) {
      if (signal.aborted) return;
      const error = daemonError(daemon, thrown);
      if (!options.watch || !isPassing(thrown, error)) throw error;
      await io.stderr.write(`Note: ${error.message}; trying again\n`);
      await io.sleep(RECONNECT_MS, signal);
    }
  }
}

/** Says at once when nothing can come: one waits long for a pod whose name is wrong. @throws {CliError} */
async function checkPods(options: FlowOptions, io: Io): Promise<void> {
  if (options.pods.length === 0) return;
  using agent = agentExt(options);
  const { pods } = await agent.listPods({});
  for (const ref of options.pods) {
    const isThere = pods.some(({ name, namespace }) =>
      isPod({ pod: name, namespace }, [ref]) && isIn(options.namespaces, namespace)
    );
    if (isThere) continue;
    const shown = ref.namespace === undefined ? ref.name : `${ref.namespace}/${ref.name}`;
    const within = ref.namespace === undefined && options.namespaces.length > 0
      ? ` in namespace ${options.namespaces.join(", ")}`
      : "";
    const why = `--pod ${shown}: there is no such pod on this node${within}`;
    if (!options.watch) throw new CliError(ExitCode.NOT_FOUND, why);
    await io.stderr.write(`Note: ${why} yet\n`);
  }
}

function isPassing(thrown: unknown, error: CliError): boolean {
  return (thrown instanceof CliError && thrown.exitCode === ExitCode.UNREACHABLE) ||
    (thrown instanceof RpcError && thrown.code === RpcCode.UNAVAILABLE &&
      error.exitCode === ExitCode.UNREACHABLE);
}

/** Prints the events of one connection. @param progress how many may still be printed; counted down. */
async function printEvents(
  options: FlowOptions,
  io: Io,
  printer: Printer<FlowEvent>,
  progress: { left: number },
  signal: AbortSignal,
): Promise<void> {
  using agent = agentControl(options);
  const request = { identityFilter: options.identity, dropsOnly: options.command === "drops" };
  const ended = new AbortController();
  const seen = { events: 0 };
  const told = tellSilence(agent, io, seen, AbortSignal.any([signal, ended.signal]))
    // Nobody reads stderr: the events are what counts.
    .catch(() => {});
  try {
    await printStream(
      agent.streamAgentFlows(request, { signal }),
      options,
      io,
      printer,
      progress,
      seen,
    );
  } finally {
    ended.abort();
    await told;
  }
}

/** Tells when no events come because the dataplane is away: the agent goes on with the stream when it is back. */
async function tellSilence(
  agent: ReturnType<typeof agentControl>,
  io: Io,
  seen: { readonly events: number },
  signal: AbortSignal,
): Promise<void> {
  let connected = true;
  let before = -1;
  while (true) {
    await io.sleep(SILENCE_MS, signal);
    if (signal.aborted) return;
    const silent = seen.events === before;
    before = seen.events;
    // The agent counts a lot for its status: it is asked only when that tells something.
    const now: boolean | undefined = silent || !connected ? await isConnected(agent, signal) : true;
    if (now === undefined) return;
    if (now !== connected) {
      const what = now ? "connected again" : "not connected: no events come until it is back";
      await io.stderr.write(`Note: the dataplane is ${what}\n`);
    }
    connected = now;
  }
}

/** Undefined when the agent does not say; if it is gone, its stream ends. */
async function isConnected(
  agent: ReturnType<typeof agentControl>,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  try {
    const { dataplane } = await agent.getAgentStatus({}, { signal });
    return dataplane?.connected;
  } catch {
    return undefined;
  }
}

async function printStream(
  events: AsyncIterable<FlowEvent>,
  options: FlowOptions,
  io: Io,
  printer: Printer<FlowEvent>,
  progress: { left: number },
  seen: { events: number },
): Promise<void> {
  for await (const event of events) {
    seen.events++;
    if (event.lostEvents > 0n) {
      const before = rfc3339(event.wallTimeUnixNs);
      await io.stderr.write(`Note: ${event.lostEvents} events were lost before ${before}\n`);
    }
    if (!matches(options, event)) continue;
    await printer.next(event);
    if (--progress.left === 0) return;
  }
}

/** One end of a flow. */
interface End {
  readonly ip: number;
  readonly port: number;
  readonly pod: string;
  readonly namespace: string;
}

/** @returns whether an event passes all filters; pod and namespace must hold at the same end. */
export function matches(filter: FlowFilter, event: FlowEvent): boolean {
  const ends: readonly End[] = [
    { ip: event.srcIp, port: event.srcPort, pod: event.srcPod, namespace: event.srcNamespace },
    { ip: event.dstIp, port: event.dstPort, pod: event.dstPod, namespace: event.dstNamespace },
  ];
  const { pods, namespaces, addresses, ports, protocols, verdict } = filter;
  return ends.some((end) => isPod(end, pods) && isIn(namespaces, end.namespace)) &&
    (addresses.length === 0 ||
      ends.some(({ ip }) => addresses.some((cidr) => cidr.contains(Ipv4.fromU32(ip))))) &&
    ends.some(({ port }) => isIn(ports, port)) &&
    isIn(protocols, event.protocol) &&
    (verdict === undefined || verdict === labels.verdictLabel(event.verdict).toLowerCase());
}

function isPod(
  { pod, namespace }: Pick<End, "pod" | "namespace">,
  pods: FlowFilter["pods"],
): boolean {
  return pods.length === 0 ||
    pods.some((ref) => ref.name === pod && (ref.namespace ?? namespace) === namespace);
}

/** No alternatives let everything pass. */
function isIn<T>(alternatives: readonly T[], value: T): boolean {
  return alternatives.length === 0 || alternatives.includes(value);
}

/** Whether a drop is of a packet that is not IPv4, or not even that: of such only the frame is known. */
function isNoIpv4({ eventType, srcIp, dstIp, protocol }: FlowEvent): boolean {
  return eventType === FlowEventType.DROP && srcIp === 0 && dstIp === 0 && protocol === 0;
}

function addressText(event: FlowEvent, ip: number): string {
  return isNoIpv4(event) ? "-" : labels.addressLabel(ip);
}

function identityText(event: FlowEvent, identity: number): string {
  return identity === 0 && isNoIpv4(event) ? "-" : String(identity);
}

function protocolText(event: FlowEvent): string {
  if (!isNoIpv4(event)) return labels.protocolLabel(event.protocol);
  return event.dropReason === DropReason.IPV6 ? "IPv6" : "-";
}

function portText(event: FlowEvent, port: number): string {
  return hasPorts(event.protocol) ? String(port) : "-";
}

/** TCP flags, or type and code of ICMP. */
function flagsText(event: FlowEvent): string {
  if (event.protocol === 1) return `${event.icmpType}/${event.icmpCode}`;
  return labels.tcpFlagsLabel(event.tcpFlags);
}
