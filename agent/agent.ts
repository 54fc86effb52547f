import type { AgentConfig } from "./config/mod.ts";
import { AgentExt } from "../shared/gen/novanet/ext/v1/ext_pb.ts";
import { EBPFServices } from "../shared/gen/novanet/v1/ebpf_services_pb.ts";
import { AgentControl } from "../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../shared/log.ts";
import { RpcCode } from "../shared/rpc/errors.ts";
import { RpcServer } from "../shared/rpc/server.ts";
import { VERSION } from "../shared/version.ts";
import { assemble, type Assembly } from "./assemble.ts";
import { InstanceLock } from "./host/instance_lock.ts";
import { serveHttp } from "./metrics/http_server.ts";
import { ManifestSource, ProblemLog } from "./policy/mod.ts";
import { agentControl } from "./server/agent_control.ts";
import { agentExt } from "./server/agent_ext.ts";
import { ebpfServices } from "./server/ebpf_services.ts";
import { dataplaneStatus, notReadyReasons } from "./server/status.ts";

const log = getLogger("agent");
const CLOSE_GRACE_MS = 2000;

/** A running agent. Disposing of it stops the services; pods stay as they are. */
export class Agent implements AsyncDisposable {
  readonly #resources: AsyncDisposableStack;

  private constructor(resources: AsyncDisposableStack) {
    this.#resources = resources;
  }

  /**
   * Starts an agent. All that can keep it from running comes first: only an agent that has its namespace, its
   * state and its sockets to itself touches pods. Until it has compared these with the kernel, calls are UNAVAILABLE.
   * @throws {InstanceError} when the network namespace has an agent
   * @throws {MetricsAddressError} when metrics cannot be served
   * @throws {StateLockedError | SchemaVersionError} when the state cannot be had
   * @throws {ListenError} when a socket cannot be served
   */
  static async start(config: AgentConfig): Promise<Agent> {
    await using resources = new AsyncDisposableStack();
    resources.use(InstanceLock.take(config.values.state_dir));
    const assembly = assemble(config, resources);
    const { parts } = assembly;
    startHttp(assembly, resources);
    const control = await serveRpc(assembly, resources);
    await startManifests(assembly, resources);
    await parts.controller.reconcile();
    assembly.setStarted();
    setServing(control, true);
    assembly.hostWatch.start();
    assembly.podLinkWatch.start();
    parts.link.start();
    await assembly.spool.start();
    log.info("started", {
      version: VERSION,
      node: config.nodeName,
      nodeIp: config.nodeIp.toString(),
      podCidr: config.podCidr.toString(),
      pods: parts.registry.list().length,
    });
    return new Agent(resources.move());
  }

  /** Stops everything, in the reverse order of the start. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** Reads the manifests before anything is told to the dataplane, and follows them. */
async function startManifests(
  { parts, store }: Assembly,
  resources: AsyncDisposableStack,
): Promise<void> {
  const { enforcer, config } = parts;
  const problems = new ProblemLog(log);
  const source = new ManifestSource({
    folder: config.values.manifests_dir,
    onSnapshot: (snapshot) => {
      problems.tell(snapshot);
      enforcer.setSnapshot(snapshot);
      enforcer.applyInBackground();
    },
    onError: (error) => log.error("manifests", { error }),
    lastGood: {
      files: () => store.manifestFiles(),
      get: (file) => store.manifest(file),
      set: (file, text) => store.saveManifest(file, text),
      delete: (file) => store.forgetManifest(file),
    },
  });
  resources.defer(() => source.close());
  await source.start();
}

/** @returns the server of pods' calls, which says that it does not serve yet. */
async function serveRpc(
  { parts }: Assembly,
  resources: AsyncDisposableStack,
): Promise<RpcServer> {
  const { values } = parts.config;
  const onCall = (call: { method: string; code: RpcCode; seconds: number }) =>
    parts.metrics.onRpc(call.method, RpcCode[call.code] ?? "UNKNOWN", call.seconds);
  const control = new RpcServer({ onCall })
    .add(AgentControl, agentControl(parts))
    .add(AgentExt, agentExt(parts));
  setServing(control, false);
  resources.defer(() => control.close(CLOSE_GRACE_MS));
  await control.listenUnix(values.cni_socket);
  await control.listenUnix(values.listen_socket);
  if (!values["ebpf_services.enabled"]) return control;
  const services = new RpcServer({ onCall }).add(EBPFServices, ebpfServices);
  resources.defer(() => services.close(CLOSE_GRACE_MS));
  await services.listenUnix(values["ebpf_services.socket_path"]);
  return control;
}

function setServing(server: RpcServer, serving: boolean): void {
  for (const service of [undefined, AgentControl, AgentExt]) server.setServing(serving, service);
}

function startHttp({ parts, spool }: Assembly, resources: AsyncDisposableStack): void {
  const { config, registry, enforcer, flows, metrics } = parts;
  const address = config.values.metrics_address;
  if (address === "") return;
  const stop = serveHttp(address, {
    version: VERSION,
    notReady: () => notReadyReasons(parts),
    dataplaneConnected: () => parts.link.connected,
    metrics: async () => ({
      contentType: metrics.contentType,
      text: await metrics.render({
        version: VERSION,
        endpoints: registry.list().length,
        policies: enforcer.entryCount,
        identities: registry.identities().length,
        addresses: registry.addresses,
        pendingDeletes: spool.pending,
        flowSubscribers: flows.subscribers,
        closedIdentities: enforcer.closedIdentities,
        policyErrors: enforcer.snapshot.errors.length,
        warnings: parts.warnings().length,
        flowEvents: flows.events,
        lostInAgent: flows.lost,
        dataplane: await dataplaneStatus(parts),
      }),
    }),
  });
  resources.defer(stop);
}
