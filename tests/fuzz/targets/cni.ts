import { DataplaneExt } from "../../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { tryCommand } from "../../../shared/testing/command.ts";
import { eventually } from "../../../shared/testing/eventually.ts";
import { FuzzedDaemons } from "../daemons.ts";
import { Fault, type FuzzTarget, must } from "../target.ts";

const COMMANDS = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"] as const;
const CONTAINER = "fuzz0123456789abcdef";
const ALIVE_EVERY = 100;
/** In configurations of the corpus, where the node's folder stands. */
const DIR = "NODE_DIR";
const SLOWEST_MS = 40_000;

const CONFIG = {
  cniVersion: "1.1.0",
  name: "novanet",
  type: "novanet-cni",
  agentSocket: `${DIR}/run/cni.sock`,
  spoolDir: `${DIR}/state/spool`,
};
const PREV_RESULT = {
  cniVersion: "1.1.0",
  interfaces: [{ name: "nv0", mac: "02:fe:0a:f4:00:01" }, {
    name: "eth0",
    sandbox: "/run/netns/x",
  }],
  ips: [{ address: "10.244.0.2/24", gateway: "10.244.0.1", interface: 1 }],
  routes: [{ dst: "0.0.0.0/0", gw: "10.244.0.1" }],
  dns: {},
};
const CONFIGS: readonly object[] = [
  CONFIG,
  { ...CONFIG, cniVersion: "0.3.1" },
  { ...CONFIG, cniVersion: "0.4.0", prevResult: PREV_RESULT },
  { ...CONFIG, prevResult: PREV_RESULT },
  { ...CONFIG, runtimeConfig: { ips: ["10.244.0.9/24"] }, capabilities: { ips: true } },
  { ...CONFIG, args: { cni: { labels: [{ key: "app", value: "web" }] } } },
  { ...CONFIG, "cni.dev/valid-attachments": [{ containerID: CONTAINER, ifname: "eth0" }] },
  { ...CONFIG, dns: { nameservers: ["10.0.0.1"], search: ["a.b"] }, logFile: `${DIR}/cni.log` },
];

/**
 * A mount namespace in which nothing can be written: paths of a mutated configuration must not be.
 * @returns its file
 */
async function readOnlyMounts(daemons: FuzzedDaemons): Promise<string> {
  const script = [
    "awk '{ print $2 }' /proc/self/mounts | while read -r at; do mount -o remount,bind,ro \"$at\"; done",
    "echo ready",
    "exec sleep infinity",
  ].join("\n");
  const holder = daemons.lab.start(["unshare", "--mount", "--", "sh", "-c", script]);
  await eventually(() => holder.stdout.includes("ready"), {
    timeoutMs: SLOWEST_MS,
    what: "a mount namespace",
  });
  return `/proc/${holder.pid}/ns/mnt`;
}

function checkOutput(command: string, code: number, stdout: string, stderr: string): string {
  const context = `${command} ended with ${code}\n${stdout}\n${stderr}`;
  must(code === 0 || code === 1, context);
  must(!/Uncaught|panicked|at (file|ext|node):/.test(stderr + stdout), context);
  if (stdout.trim() === "") {
    must(code === 0, `an error says nothing: ${context}`);
    return `${command} ok`;
  }
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(stdout);
  } catch {
    throw new Fault(`no JSON: ${context}`);
  }
  must(typeof answer["cniVersion"] === "string", `no cniVersion: ${context}`);
  if (code === 0) return `${command} result`;
  must(typeof answer["code"] === "number" && answer["code"] > 0, `no code: ${context}`);
  must(typeof answer["msg"] === "string" && answer["msg"] !== "", `no msg: ${context}`);
  const text = (answer["msg"] as string).replaceAll(/"[^"]*"|[\d./-]+/g, "#").slice(0, 40);
  return `${command} ${answer["code"]} ${text}`;
}

/** The compiled CNI plugin. */
export const cni: FuzzTarget = {
  name: "cni",
  what: "standard input of the compiled CNI plugin, all operations, with a running agent",
  jobs: 2,
  limitMs: SLOWEST_MS + 5000,
  tokens: [
    '"',
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    '""',
    "\\u0000",
    "\\ud800",
  ]
    .concat([
      "0.1.0",
      "0.3.0",
      "0.4.0",
      "1.0.0",
      "1.1.0",
      "9.9.9",
      "__proto__",
      "constructor",
      "ips",
    ])
    .concat(["prevResult", "interfaces", "runtimeConfig", "args", "ipam", "10.244.0.9", "/", DIR]),
  seeds: () =>
    CONFIGS.flatMap((config) =>
      COMMANDS.map((_, at) =>
        Uint8Array.of(at, ...new TextEncoder().encode(JSON.stringify(config)))
      )
    ),
  async open() {
    await using building = new AsyncDisposableStack();
    const daemons = building.use(await FuzzedDaemons.start());
    const { node, lab } = daemons;
    const mounts = await readOnlyMounts(daemons);
    const netns = await lab.addNetns();
    const env = {
      CNI_CONTAINERID: CONTAINER,
      CNI_NETNS: netns.path,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=fuzz;K8S_POD_NAMESPACE=default",
    };
    const argv = ["nsenter", `--mount=${mounts}`, `--net=${node.netns.path}`, "--"]
      .concat(node.executable("novanet-cni"));
    let inputs = 0;
    const built = building.move();
    return {
      async run(input: Uint8Array): Promise<string> {
        if (++inputs % ALIVE_EVERY === 0) await daemons.checkAlive();
        const command = COMMANDS[(input[0] ?? 0) % COMMANDS.length]!;
        // As Latin-1, so that bytes that are no UTF-8 stay what they are.
        const text = [...input.subarray(1)].map((byte) => String.fromCharCode(byte)).join("");
        const stdin = Uint8Array.from(text.replaceAll(DIR, node.dir), (char) => char.charCodeAt(0));
        const { code, stdout, stderr } = await tryCommand(argv, {
          env: { ...env, CNI_COMMAND: command },
          stdin,
          timeoutMs: SLOWEST_MS,
        });
        return checkOutput(command, code, stdout, stderr);
      },
      async check(): Promise<void> {
        const attachment = { containerId: CONTAINER, netnsPath: netns.path };
        must((await node.cni("DEL", attachment)).code === 0, "DEL fails in the end");
        await daemons.checkAlive();
        const { endpoints } = await node.client(DataplaneExt, "dataplane.sock").listEndpoints({});
        must(endpoints.every(({ ifindex }) => ifindex === 0), "an endpoint is left after DEL");
      },
      [Symbol.asyncDispose]: () => built.disposeAsync(),
    };
  },
};
