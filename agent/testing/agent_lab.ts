import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { EBPFServices } from "../../shared/gen/novanet/v1/ebpf_services_pb.ts";
import { type AddPodResponse, AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient, type RpcClient } from "../../shared/rpc/client.ts";
import type { RunningCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { type LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { FakeDataplane } from "./fake_dataplane.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;

/** The node's address in the lab. */
export const NODE_IP = "192.0.2.7";

/** An agent in a namespace of its own, a dataplane without a kernel, and pods. Imported by tests only. */
export class AgentLab implements AsyncDisposable {
  readonly lab = new NetnsLab();
  readonly dir = Deno.makeTempDirSync({ prefix: "nvt-agent-" });
  readonly dataplane: FakeDataplane;
  readonly control: RpcClient<typeof AgentControl>;
  readonly ext: RpcClient<typeof AgentExt>;
  readonly services: RpcClient<typeof EBPFServices>;
  readonly host: LabNetns;
  #process: RunningCommand | undefined;
  #config: Record<string, unknown>;

  private constructor(host: LabNetns, lab: NetnsLab, config: Record<string, unknown>) {
    this.host = host;
    this.dataplane = new FakeDataplane(`${this.dir}/dataplane.sock`, () => this.hostLinks());
    this.lab = lab;
    this.#config = config;
    const socketPath = `${this.dir}/novanet.sock`;
    this.control = createRpcClient(AgentControl, { socketPath });
    this.ext = createRpcClient(AgentExt, { socketPath });
    const services = `${this.dir}/ebpf-services.sock`;
    this.services = createRpcClient(EBPFServices, { socketPath: services });
  }

  /**
   * Starts the dataplane and the agent.
   * @param manifests files that are there from the start, by name
   */
  static async start(
    config: Record<string, unknown> = {},
    manifests: Record<string, string> = {},
  ): Promise<AgentLab> {
    const lab = new NetnsLab();
    const host = await lab.addNetns();
    await host.run(["ip", "address", "add", `${NODE_IP}/32`, "dev", "lo"]);
    const agentLab = new AgentLab(host, lab, config);
    Deno.mkdirSync(agentLab.manifests);
    for (const [name, text] of Object.entries(manifests)) {
      Deno.writeTextFileSync(`${agentLab.manifests}/${name}`, text);
    }
    await agentLab.dataplane.start();
    await agentLab.startAgent();
    return agentLab;
  }

  /** What the agent has written to its log. */
  get log(): string {
    return this.#process?.stderr ?? "";
  }

  /** Names of the interfaces of the host. */
  hostLinks(): string[] {
    using links = this.host.rtnetlink();
    return links.linkList().map(({ name }) => name);
  }

  /** Waits until the dataplane has forgotten all interfaces: that comes after a DEL's answer. */
  async untilNoPrograms(): Promise<void> {
    await eventually(() => this.dataplane.programs.size === 0, { what: "no programs" });
  }

  /** The folder of manifests. */
  get manifests(): string {
    return `${this.dir}/manifests`;
  }

  /**
   * Starts the agent, and waits until it is ready.
   * @param env added to its environment
   */
  async startAgent(env: Record<string, string> = {}): Promise<void> {
    const file = `${this.dir}/config.json`;
    Deno.writeTextFileSync(
      file,
      JSON.stringify({
        node_name: "node-a",
        state_dir: `${this.dir}/state`,
        manifests_dir: this.manifests,
        listen_socket: `${this.dir}/novanet.sock`,
        cni_socket: `${this.dir}/cni.sock`,
        dataplane_socket: `${this.dir}/dataplane.sock`,
        ebpf_services: { socket_path: `${this.dir}/ebpf-services.sock` },
        metrics_address: "127.0.0.1:9103",
        ...this.#config,
      }),
    );
    const argv = [Deno.execPath(), "run", "-A", "--no-prompt", MAIN, "--config", file];
    this.#process = this.host.start(argv, { env });
    const ready = async () => {
      if (this.#process?.exited) throw new Error(this.log);
      return (await this.ext.getReadiness({})).ready;
    };
    await eventually(ready, { timeoutMs: 20_000, what: "the agent's readiness" });
  }

  /** Ends the agent as the kernel would, without a word. */
  async killAgent(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }

  /** Ends the agent as an administrator would. */
  async stopAgent(): Promise<void> {
    this.#process?.signal("SIGTERM");
    await this.#process?.wait();
    this.#process = undefined;
  }

  /** Adds a pod in a namespace of its own. */
  async addPod(name: string, labels: Record<string, string> = {}): Promise<LabPod> {
    const netns = await this.lab.addNetns();
    const request = podRequest(name, netns.path, labels);
    return { netns, request, answer: await this.control.addPod(request) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process?.exited) console.error(this.log);
    for (const client of [this.control, this.ext, this.services]) client.close();
    await this.stopAgent();
    await this.dataplane.stop();
    await this.lab[Symbol.asyncDispose]();
    Deno.removeSync(this.dir, { recursive: true });
  }
}

/** A pod of the lab. */
export interface LabPod {
  readonly netns: LabNetns;
  readonly request: ReturnType<typeof podRequest>;
  readonly answer: AddPodResponse;
}

/** An AddPodRequest for a pod of namespace `default`. */
export function podRequest(name: string, netns: string, labels: Record<string, string> = {}) {
  return {
    podName: name,
    podNamespace: "default",
    containerId: `${name}-0123456789abcdef`,
    netns,
    ifName: "eth0",
    labels,
  };
}
