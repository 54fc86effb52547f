/** A running dataplane, from what is pinned and the flags to the open socket, and back. */

import { RingBuffer, tcxSupported } from "../shared/ffi/bpf.ts";
import { readAsset } from "../shared/ffi/assets.ts";
import { Statistic } from "../shared/gen/abi.ts";
import { ConfigKey } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../shared/log.ts";
import { RtnetlinkSocket } from "../shared/netlink/mod.ts";
import { configNumber } from "./config/config_keys.ts";
import { FLOW_LEVELS, type FlowLevel } from "./flags.ts";
import { FlowPump } from "./flows/flow_pump.ts";
import { PodNames, RuleNames } from "./flows/names.ts";
import { GarbageCollector, readHz } from "./gc.ts";
import { InstanceLock } from "./lock.ts";
import { CidrIdentitiesMap } from "./maps/cidr_identities.ts";
import { ConfigMap } from "./maps/config.ts";
import { Connections } from "./maps/connections.ts";
import { Counters } from "./maps/counters.ts";
import { DatapathStateMap } from "./maps/datapath_state.ts";
import { EndpointsMap } from "./maps/endpoints.ts";
import { HandoverMap } from "./maps/handover.ts";
import { PodIfacesMap } from "./maps/pod_ifaces.ts";
import { PoliciesMap } from "./maps/policies.ts";
import { PolicyShapesMap } from "./maps/policy_shapes.ts";
import { Attachments } from "./programs/attachments.ts";
import { KernelObjects } from "./programs/kernel_objects.ts";
import { ConfigStore } from "./reconcile/config_store.ts";
import { EndpointStore } from "./reconcile/endpoint_store.ts";
import { PolicyStore } from "./reconcile/policy_store.ts";
import type { Dataplane } from "./server/dataplane.ts";
import { podNameOf } from "./running_pods.ts";
import { createServer } from "./server/server.ts";
import type { Sizes } from "./sizes.ts";

/** Options of {@linkcode startDaemon}. */
export interface DaemonOptions {
  readonly socket: string;
  /** A directory on a bpf file system, made when it is not there. */
  readonly pinDir: string;
  readonly sizes: Sizes;
  /** Undefined: as configured. */
  readonly flowLevel?: FlowLevel | undefined;
}

const STOP_GRACE_MS = 2_000;
const log = getLogger("dataplane");

/** A dataplane that serves. */
export interface Daemon {
  readonly dataplane: Dataplane;
  /** Ends all calls and lets go of everything; what is pinned stays and works on. */
  stop(): Promise<void>;
}

/**
 * Adopts what is pinned, loads what is not, and serves.
 *
 * @throws LockedError, PinDirError, ListenError, VerifierError, PinMismatchError, NewerLayoutError, MigrationError,
 *   SysError
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const start = performance.now();
  await using stack = new AsyncDisposableStack();
  const { pinDir, socket } = options;
  stack.use(InstanceLock.take(pinDir, socket));
  const objects = stack.use(
    await KernelObjects.open(pinDir, readAsset("datapath.bpf.o"), options.sizes),
  );
  const links = stack.use(RtnetlinkSocket.openIn());
  const dataplane = await assemble(objects, links, options, stack);
  const adopted = await objects.takeOver(pinDir, () => dataplane.attachments.adopt());
  startCollector(dataplane, stack);
  const server = createServer(dataplane);
  await server.listenUnix(socket);
  stack.defer(() => server.close(STOP_GRACE_MS));
  log.info("serving", {
    socket,
    pinDir,
    attachMode: dataplane.attachments.mode,
    adoptedPrograms: objects.adopted,
    attachments: adopted,
    endpoints: dataplane.endpoints.size,
    policies: dataplane.policies.table.size,
    startMs: Math.round(performance.now() - start),
  });
  const owned = stack.move();
  return { dataplane, stop: () => owned.disposeAsync() };
}

async function assemble(
  objects: KernelObjects,
  links: RtnetlinkSocket,
  options: DaemonOptions,
  stack: AsyncDisposableStack,
): Promise<Dataplane> {
  const state = stack.use(new DatapathStateMap(objects.map("DATAPATH_STATE")));
  const configMap = new ConfigMap(objects.map("CONFIG"));
  const hz = state.value.hz || await readHz(objects.program("collect_garbage"));
  const config = new ConfigStore(configMap, state, hz);
  if (options.flowLevel !== undefined) {
    config.set([[ConfigKey.FLOW_LEVEL, BigInt(FLOW_LEVELS.indexOf(options.flowLevel))]]);
  }
  const maps = {
    endpoints: new EndpointsMap(objects.map("ENDPOINTS")),
    podIfaces: new PodIfacesMap(objects.map("POD_IFACES"), objects.map("POD_IFACES_MORE")),
    state,
  };
  const endpoints = new EndpointStore(maps, (ifindex) => links.linkFind(ifindex)?.mac?.bytes);
  const policies = await PolicyStore.open({
    policies: new PoliciesMap(objects.map("POLICIES")),
    shapes: new PolicyShapesMap(objects.map("POLICY_SHAPES")),
    cidrs: new CidrIdentitiesMap(objects.map("CIDR_IDENTITIES")),
    state,
  });
  stack.defer(() => policies.idle());
  const attachments = new Attachments({
    pinDir: options.pinDir,
    mode: tcxSupported() ? "tcx" : "clsact",
    programs: {
      ingress: objects.program("pod_egress"),
      egress: objects.program("pod_ingress"),
    },
    handover: new HandoverMap(objects.map("HANDOVER")),
    interfaces: () => links.linkList().map(({ index }) => index),
  });
  stack.defer(() => attachments.idle());
  const statistics = new Counters(objects.map("STATISTICS"));
  const pods = new PodNames();
  namePods(pods, endpoints, links);
  const rules = new RuleNames();
  const flows = new FlowPump({
    ring: new RingBuffer(objects.map("FLOW_EVENTS")),
    pods,
    rules,
    readLost: () => statistics.read(Statistic.STATISTIC_EVENTS_LOST),
  });
  stack.defer(() => flows.stop());
  flows.start();
  const drops = new Counters(objects.map("DROP_COUNTERS"));
  return {
    objects,
    connections: new Connections((name) => objects.map(name), objects.program("connection")),
    endpoints,
    policies,
    config,
    attachments,
    pods,
    rules,
    flows,
    drops,
    statistics,
    maps,
    interfaces: links,
    pinDir: options.pinDir,
  };
}

/** Until the agent says them again, by what it wrote on the interfaces. */
function namePods(pods: PodNames, endpoints: EndpointStore, links: RtnetlinkSocket): void {
  const local = [...endpoints.values()].filter(({ ifindex }) => ifindex !== 0);
  if (local.length === 0) return;
  const names = new Map(links.linkList().map((link) => [link.index, podNameOf(link)]));
  for (const { ip, ifindex, identity } of local) {
    const [namespace, podName] = names.get(ifindex)?.split("/") ?? [];
    if (namespace && podName) pods.set(ip, identity, { podName, namespace });
  }
}

function startCollector(
  { objects, connections, config, attachments }: Dataplane,
  stack: AsyncDisposableStack,
): void {
  const collector = new GarbageCollector({
    program: objects.program("collect_garbage"),
    conntrackMax: connections.capacity,
    fragmentMax: objects.map("FRAGMENTS").info().maxEntries,
    flowIntervalMs: () => configNumber(config.values, ConfigKey.FLOW_INTERVAL_MS),
    afterRun: () => attachments.prune(),
  });
  stack.defer(() => collector.stop());
  collector.start();
}
