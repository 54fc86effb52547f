import type { FlowEvent } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../shared/log.ts";
import { toRpcError } from "../shared/rpc/errors.ts";
import type { AgentConfig } from "./config/mod.ts";
import { configEntries } from "./dataplane/config_entries.ts";
import { DataplaneLink } from "./dataplane/link.ts";
import { inspectNode } from "./doctor/inspect_node.ts";
import type { DoctorSources } from "./doctor/sources.ts";
import { Coalesced } from "./enforce/coalesce.ts";
import { attachPrograms, EndpointBook } from "./enforce/endpoint_book.ts";
import { Enforcer } from "./enforce/enforcer.ts";
import { enrichFlow, type FlowNames } from "./flows/enrich.ts";
import { FlowHistory } from "./flows/flow_history.ts";
import { FlowHub } from "./flows/flow_hub.ts";
import { HostWatch } from "./host/host_watch.ts";
import { detectPodMtu } from "./host/node_facts.ts";
import { detectTunnelProtocol } from "./host/tunnel_protocol.ts";
import { PodLinkWatch } from "./host/pod_link_watch.ts";
import { hostWarnings, nodeWarnings } from "./host/warnings.ts";
import { AgentMetrics } from "./metrics/metrics.ts";
import { PodController } from "./pods/controller.ts";
import { LaterAttach } from "./pods/later_attach.ts";
import { PodNetwork } from "./pods/network.ts";
import { PodRegistry } from "./pods/registry.ts";
import { Spool, type SpooledDelete } from "./pods/spool.ts";
import { UnknownLinks } from "./pods/unknown_links.ts";
import type { AgentParts } from "./server/parts.ts";
import { Store } from "./state/mod.ts";

const log = getLogger("agent");

/** The agent's parts, joined but not started. */
export interface Assembly {
  readonly parts: AgentParts;
  readonly store: Store;
  readonly spool: Spool;
  readonly hostWatch: HostWatch;
  readonly podLinkWatch: PodLinkWatch;
  /** Says that what was found at start is reconciled. */
  setStarted(): void;
}

/**
 * Makes the agent's parts and joins them.
 * @param resources gets what must be disposed of
 * @throws {StateLockedError | SchemaVersionError | SysError}
 */
export function assemble(config: AgentConfig, resources: AsyncDisposableStack): Assembly {
  const { values, nodeIp, podCidr } = config;
  let started = false;
  const store = resources.use(Store.open(values.state_dir));
  const hostWatch = resources.use(new HostWatch(() => addressesChanged()));
  const network = resources.use(
    new PodNetwork({
      bigTcp: values.big_tcp,
      hostSource: () => hostWatch.has(nodeIp.value) ? nodeIp : undefined,
      onRemoved: forgetRemoved,
    }),
  );
  const registry = new PodRegistry(store, {
    podCidr,
    restMs: values.address_rest_seconds * 1000,
    isHostAddress: (ip) => hostWatch.has(ip) || unknown.ips.has(ip),
    hostIfExists: (name) => network.hostIfExists(name),
    now: Date.now,
  });
  const unknown: UnknownLinks = resources.use(
    new UnknownLinks({ registry, network, identityLabels: (pod) => enforcer.identityLabels(pod) }),
  );
  const podLinkWatch = resources.use(new PodLinkWatch(() => registry.list()));
  const tunnelProtocol = values.tunnel_protocol ?? detectTunnelProtocol();
  const flows = new FlowHub();
  const history = new FlowHistory({
    podOf: (ip) => registry.byIp(ip),
    pods: () => registry.list(),
    now: Date.now,
  });
  const metrics = new AgentMetrics();
  const endpoints = new EndpointBook({
    registry,
    nodeIp,
    hostAddresses: () => hostWatch.addresses,
    untouched: () => unknown.ips,
  });
  const link: DataplaneLink = resources.use(
    new DataplaneLink({ socketPath: values.dataplane_socket }, {
      onConnected: async (calls) => {
        await unknown.adopt(calls);
        await enforcer.resync(calls);
        controller.openRecreated();
        spool.retryNow();
      },
      onFlow,
      onDisconnected: () => history.interrupted(),
    }),
  );
  const enforcer: Enforcer = new Enforcer({
    store,
    registry,
    endpoints,
    link,
    untouchedLinks: () => unknown.names,
    excludedLabels: values.identity_exclude_labels,
    config: configEntries(config, tunnelProtocol),
  });
  const controller: PodController = new PodController({
    registry,
    network,
    link,
    endpoints,
    enforcer,
    unknown,
    later: resources.use(
      new LaterAttach({
        attach: (name) => link.callIfConnected((calls) => attachPrograms(calls, name)),
      }),
    ),
    podMtu: () => values.mtu || detectPodMtu(hostWatch.network()),
  });
  const spool = resources.use(new Spool(`${values.state_dir}/spool`, deleteSpooled));
  const syncHostAddresses = new Coalesced(() =>
    link.callIfConnected(async (calls) => {
      await endpoints.sync(calls, (await calls.ext.listEndpoints({})).endpoints);
    })
  );

  const forgetInterfaces = new Coalesced(() =>
    link.callIfConnected((calls) => calls.ext.forgetInterfaces({}))
  );

  const flowNames: FlowNames = {
    podOf: (ip) => registry.byIp(ip),
    ruleName: (id) => enforcer.ruleName(id),
  };

  function forgetRemoved(): void {
    forgetInterfaces.run().catch((error) =>
      log.warn("the dataplane keeps what it has of interfaces that are gone", {
        error: toRpcError(error).message,
      })
    );
  }

  function onFlow(event: FlowEvent): void {
    metrics.onFlow(event);
    enrichFlow(event, flowNames);
    history.record(event);
    flows.publish(event);
  }

  function addressesChanged(): void {
    syncHostAddresses.run().catch((error) =>
      log.warn("the host's addresses are not known to the dataplane yet", {
        error: toRpcError(error).message,
      })
    );
  }

  async function deleteSpooled(entry: SpooledDelete): Promise<void> {
    const pod = registry.get(entry);
    // The same container was added again after the deletion was asked for.
    if (pod !== undefined && pod.createdUnixMs > entry.unixMs) return;
    await controller.delete(entry);
  }

  const warnings = () => [
    ...nodeWarnings(config, registry.addresses),
    ...hostWarnings(hostWatch.network()),
    ...enforcer.warnings,
    ...unknown.warnings,
    ...podLinkWatch.warnings,
  ];
  const sources: DoctorSources = {
    store,
    registry,
    controller,
    network,
    unknown,
    link,
    endpoints,
    enforcer,
    spool,
    podCidr,
    warnings,
  };

  return {
    parts: {
      config,
      tunnelProtocol,
      registry,
      controller,
      network,
      link,
      endpoints,
      enforcer,
      flows,
      history,
      metrics,
      started: () => started,
      warnings,
      inspect: (options) => inspectNode(sources, options),
      isHostAddress: (ip) => hostWatch.has(ip),
      pendingDeletes: () => spool.pending,
    },
    store,
    spool,
    hostWatch,
    podLinkWatch,
    setStarted: () => {
      started = true;
    },
  };
}
