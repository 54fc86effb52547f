import { createHash } from "node:crypto";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { DataplaneExt } from "../gen/novanet/ext/v1/ext_pb.ts";
import { createRpcClient, type RpcClient } from "../rpc/client.ts";
import { type CommandResult, runCommand, RunningCommand, tryCommand } from "./command.ts";
import { eventually } from "./eventually.ts";
import type { LabNetns, NetnsLab } from "./lab.ts";

const DIST = join(import.meta.dirname ?? ".", "..", "..", "dist");
/** RFC 5737 addresses: the wire between the node and what is outside of it. */
const NODE_ADDRESS = "192.0.2.10";
const OUTSIDE_ADDRESS = "192.0.2.1";

/** The dataplane may wait for seconds while others on the machine take namespaces down. */
const RULES_TIMEOUT_MS = 30_000;

/** How a node of the lab differs from the default. */
export interface LabNodeOptions {
  /** Keys of the agent's configuration file, beside the paths that the node sets itself. */
  readonly config?: Record<string, unknown> | undefined;
  /** Keys of the plugin's network configuration, beside those that the node sets itself. */
  readonly cniConfig?: object | undefined;
  /** Default 10.244.0.0/24. */
  readonly podCidr?: string | undefined;
  /** Flags of novanet-dataplane beside --socket and --pin-dir. */
  readonly dataplaneFlags?: readonly string[] | undefined;
}

/** A pod of the lab: a namespace that novanet-cni has connected. */
export interface LabPod {
  readonly name: string;
  readonly namespace: string;
  readonly containerId: string;
  readonly netns: LabNetns;
  /** Its IPv4 address, dotted. */
  readonly ip: string;
  /** The result that ADD printed. */
  readonly result: CniResult;
}

/** What the lab reads of a CNI result. */
export interface CniResult {
  readonly cniVersion: string;
  readonly interfaces: readonly { name: string; mac: string; sandbox?: string; mtu?: number }[];
  readonly ips: readonly { address: string; gateway: string; interface: number }[];
}

/** What CNI needs to know of an attachment. */
export interface Attachment {
  readonly containerId: string;
  readonly netnsPath: string;
  readonly ifName?: string | undefined;
  /** CNI_ARGS without the K8S_* ones, for example `IP=10.244.0.9`. */
  readonly args?: string | undefined;
  readonly podName?: string | undefined;
  readonly podNamespace?: string | undefined;
}

/**
 * One node: a network namespace in which the compiled novanet-dataplane and novanet-agent run, joined to a second
 * namespace, the outside. Everything it makes is in one temporary folder and goes with the lab.
 */
export class LabNode {
  readonly netns: LabNetns;
  readonly outside: LabNetns;
  readonly dir: string;
  readonly #lab: NetnsLab;
  readonly #options: LabNodeOptions;
  readonly #clients = new Map<string, Disposable>();
  #dataplane: RunningCommand | undefined;
  #agent: RunningCommand | undefined;

  private constructor(
    lab: NetnsLab,
    netns: LabNetns,
    outside: LabNetns,
    dir: string,
    options: LabNodeOptions,
  ) {
    this.#lab = lab;
    this.netns = netns;
    this.outside = outside;
    this.dir = dir;
    this.#options = options;
  }

  /**
   * Makes the namespaces, the folder and a bpffs in it. Nothing runs yet.
   * @throws {CommandError}
   */
  static async create(lab: NetnsLab, options: LabNodeOptions = {}): Promise<LabNode> {
    const [netns, outside] = [await lab.addNetns(), await lab.addNetns()];
    lab.addVeth({ netns, name: "uplink" }, { netns: outside, name: "node" });
    const podCidr = options.podCidr ?? "10.244.0.0/24";
    await netns.run(["ip", "address", "add", `${NODE_ADDRESS}/24`, "dev", "uplink"]);
    await netns.run(["ip", "route", "add", "default", "via", OUTSIDE_ADDRESS]);
    // As on every Kubernetes node; NovaNet itself leaves the settings of other interfaces alone.
    await netns.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
    await outside.run(["ip", "address", "add", `${OUTSIDE_ADDRESS}/24`, "dev", "node"]);
    await outside.run(["ip", "route", "add", podCidr, "via", NODE_ADDRESS]);

    const dir = await Deno.makeTempDir({ prefix: "nvt-" });
    lab.defer(() => Deno.remove(dir, { recursive: true }));
    for (const name of ["bpf", "manifests", "state"]) await Deno.mkdir(join(dir, name));
    await runCommand(["mount", "-t", "bpf", "bpf", join(dir, "bpf")]);
    lab.defer(async () => {
      await runCommand(["umount", join(dir, "bpf")]);
    });
    const node = new LabNode(lab, netns, outside, dir, options);
    await Deno.writeTextFile(
      join(dir, "config.json"),
      JSON.stringify({
        node_name: "lab",
        listen_socket: join(dir, "run", "novanet.sock"),
        cni_socket: join(dir, "run", "cni.sock"),
        dataplane_socket: join(dir, "run", "dataplane.sock"),
        ebpf_services: { socket_path: join(dir, "run", "ebpf-services.sock") },
        state_dir: join(dir, "state"),
        manifests_dir: join(dir, "manifests"),
        metrics_address: "127.0.0.1:9103",
        ...options.config,
      }),
    );
    return node;
  }

  /** Where the node's own address is reached from the outside, and the outside's from the node. */
  get addresses(): { node: string; outside: string } {
    return { node: NODE_ADDRESS, outside: OUTSIDE_ADDRESS };
  }

  /** The folder of pins. */
  get pinDir(): string {
    return join(this.dir, "bpf", "novanet");
  }

  /** Path of an executable of dist/. */
  executable(name: string): string {
    return join(DIST, name);
  }

  /** Path of a socket of the node: dataplane.sock, cni.sock, novanet.sock. */
  socket(name: string): string {
    return join(this.dir, "run", name);
  }

  /** A client of a service on one of the node's sockets, which lives as long as the lab. */
  client<S extends DescService>(service: S, socket: string): RpcClient<S> {
    const key = `${socket} ${service.typeName}`;
    const known = this.#clients.get(key) as RpcClient<S> | undefined;
    if (known !== undefined) return known;
    const client = this.#lab.own(createRpcClient(service, { socketPath: this.socket(socket) }));
    this.#clients.set(key, client);
    return client;
  }

  /** The daemons that were started last, running or not. */
  get daemons(): RunningCommand[] {
    return [this.#dataplane, this.#agent].filter((daemon) => daemon !== undefined);
  }

  /** Starts both daemons and waits until the agent is ready. */
  async start(): Promise<void> {
    await this.startDataplane();
    await this.startAgent();
  }

  /** Starts novanet-dataplane, or another program like it, and waits until it serves. */
  async startDataplane(...program: readonly string[]): Promise<RunningCommand> {
    const dataplane = this.spawnDataplane(...program);
    await this.#listening(dataplane, "dataplane.sock");
    return dataplane;
  }

  /**
   * Starts novanet-dataplane, and does not wait.
   * @param program Another than that of dist/, or a command line before it, such as strace's.
   */
  spawnDataplane(...program: readonly string[]): RunningCommand {
    const argv = program.length > 0 ? program : [this.executable("novanet-dataplane")];
    this.#dataplane = this.netns.start([...argv, ...this.dataplaneFlags]);
    return this.#dataplane;
  }

  /** The flags of the node's novanet-dataplane. */
  get dataplaneFlags(): string[] {
    return [
      `--socket=${this.socket("dataplane.sock")}`,
      `--pin-dir=${this.pinDir}`,
      ...this.#options.dataplaneFlags ?? [],
    ];
  }

  /** Starts novanet-agent and waits until it is ready. */
  async startAgent(): Promise<RunningCommand> {
    const agent = this.spawnAgent();
    await this.#listening(agent, "cni.sock");
    const state = await eventually(async () => {
      if (agent.exited) return "ended";
      const { code } = await this.cni("STATUS", { containerId: "", netnsPath: "" });
      return code === 0 && "ready";
    }, { timeoutMs: 15_000, intervalMs: 50, what: "an agent that is ready" });
    if (state === "ended") throw ended(agent);
    return agent;
  }

  /** Starts novanet-agent, and does not wait. */
  spawnAgent(): RunningCommand {
    this.#agent = this.netns.start([
      this.executable("novanet-agent"),
      `--config=${join(this.dir, "config.json")}`,
      `--node-ip=${NODE_ADDRESS}`,
      `--pod-cidr=${this.#options.podCidr ?? "10.244.0.0/24"}`,
    ]);
    return this.#agent;
  }

  get dataplane(): RunningCommand {
    if (this.#dataplane === undefined) throw new Error("novanet-dataplane was not started");
    return this.#dataplane;
  }

  get agent(): RunningCommand {
    if (this.#agent === undefined) throw new Error("novanet-agent was not started");
    return this.#agent;
  }

  /**
   * Runs novanet-cni as a container runtime does.
   * @param before a command line before it, such as strace's
   */
  cni(
    command: string,
    attachment: Attachment,
    config: object = {},
    before: readonly string[] = [],
  ): Promise<CommandResult> {
    const args = [
      "IgnoreUnknown=1",
      ...(attachment.podName === undefined ? [] : [`K8S_POD_NAME=${attachment.podName}`]),
      ...(attachment.podNamespace === undefined
        ? []
        : [`K8S_POD_NAMESPACE=${attachment.podNamespace}`]),
      ...(attachment.args === undefined ? [] : [attachment.args]),
    ];
    return tryCommand(
      ["nsenter", `--net=${this.netns.path}`, "--", ...before, this.executable("novanet-cni")],
      {
        env: {
          CNI_COMMAND: command,
          CNI_CONTAINERID: attachment.containerId,
          CNI_NETNS: attachment.netnsPath,
          CNI_IFNAME: attachment.ifName ?? "eth0",
          CNI_PATH: DIST,
          CNI_ARGS: args.join(";"),
        },
        stdin: JSON.stringify({
          cniVersion: "1.1.0",
          name: "novanet",
          type: "novanet-cni",
          agentSocket: this.socket("cni.sock"),
          spoolDir: join(this.dir, "state", "spool"),
          ...this.#options.cniConfig,
          ...config,
        }),
        timeoutMs: 40_000,
      },
    );
  }

  /**
   * Makes a namespace and connects it as a pod.
   * @throws {Error} with what ADD printed when it fails.
   */
  async addPod(
    name: string,
    { namespace = "default", labels, args }: {
      namespace?: string | undefined;
      labels?: Record<string, string> | undefined;
      args?: string | undefined;
    } = {},
  ): Promise<LabPod> {
    const netns = await this.#lab.addNetns();
    const containerId = containerIdOf(`${namespace}/${name}/${netns.name}`);
    const attachment = {
      containerId,
      netnsPath: netns.path,
      podName: name,
      podNamespace: namespace,
      args,
    };
    // The convention for labels that a runtime passes: a list of pairs.
    const pairs = Object.entries(labels ?? {}).map(([key, value]) => ({ key, value }));
    const config = { args: { cni: { labels: pairs } } };
    const added = await this.cni("ADD", attachment, config);
    if (added.code !== 0) {
      throw new Error(`ADD of ${namespace}/${name}: ${added.stdout}${added.stderr}`);
    }
    const result = JSON.parse(added.stdout) as CniResult;
    const ip = result.ips[0]?.address.split("/")[0] ?? "";
    return { name, namespace, containerId, netns, ip, result };
  }

  /** DEL of a pod of this node; its namespace stays. */
  delPod(pod: LabPod): Promise<CommandResult> {
    return this.cni("DEL", attachmentOf(pod));
  }

  /** Puts a file into manifests_dir, whole or not at all. */
  async writeManifest(name: string, text: string): Promise<void> {
    const path = join(this.dir, "manifests", name);
    await Deno.writeTextFile(`${path}.new`, text);
    await Deno.rename(`${path}.new`, path);
  }

  /** Takes a file out of manifests_dir. */
  removeManifest(name: string): Promise<void> {
    return Deno.remove(join(this.dir, "manifests", name));
  }

  /** The names of the policy rules that the dataplane enforces now. */
  async ruleNames(): Promise<string[]> {
    const dataplane = this.client(DataplaneExt, "dataplane.sock");
    const { policies, ruleNames } = await dataplane.listPolicyEntries({});
    // A name is known a moment before the first entry of its rule is in force.
    return [...new Set(policies.map(({ ruleId }) => ruleNames[ruleId] ?? ""))];
  }

  /** Waits until the names of the rules in force satisfy a condition. @throws {EventuallyError} */
  async untilRules(isInForce: (rules: readonly string[]) => boolean): Promise<void> {
    await eventually(async () => {
      const rules = await this.ruleNames();
      if (!isInForce(rules)) throw new Error(`in force: ${rules.join(", ")}`);
      return true;
    }, { timeoutMs: RULES_TIMEOUT_MS, intervalMs: 5, what: "a policy in force" });
  }

  /** Runs novanetctl. @throws {CommandError} when it fails. */
  async ctl(...args: readonly string[]): Promise<string> {
    return (await runCommand(this.ctlArgv(...args))).stdout;
  }

  /** The command line of novanetctl with this node's socket. */
  ctlArgv(...args: readonly string[]): string[] {
    return [this.executable("novanetctl"), "--agent-socket", this.socket("novanet.sock"), ...args];
  }

  async #listening(daemon: RunningCommand, socket: string): Promise<void> {
    const state = await eventually(async () => {
      if (daemon.exited) return "ended";
      using _connection = await Deno.connect({ transport: "unix", path: this.socket(socket) });
      return "listening";
    }, { timeoutMs: 15_000, intervalMs: 20, what: `${socket} (${daemon.stderr.slice(-500)})` });
    if (state === "ended") throw ended(daemon);
  }
}

function ended(daemon: RunningCommand): Error {
  return new Error(`${daemon.argv.join(" ")} ended:\n${daemon.stderr}`);
}

/** What CNI needs to know of a pod that was added. */
export function attachmentOf(pod: LabPod): Attachment {
  return {
    containerId: pod.containerId,
    netnsPath: pod.netns.path,
    podName: pod.name,
    podNamespace: pod.namespace,
  };
}

/** The host's end of a pod's interface. */
export function hostIfName(pod: LabPod): string {
  return pod.result.interfaces.find(({ sandbox }) => sandbox === undefined)?.name ?? "";
}

/** A container id as runtimes make them, 64 hex digits, the same for the same name. */
export function containerIdOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}
