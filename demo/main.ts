/**
 * `./run demo [--once]`: one node with three pods, a connection, a policy, and what NovaNet says of both.
 *
 * All of it lives in network namespaces and one temporary folder of its own, and goes when the demo ends. With --once
 * it ends by itself; the exit code is 0 only if every step was as it should be.
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { runCommand, type RunningCommand } from "../shared/testing/command.ts";
import { eventually } from "../shared/testing/eventually.ts";
import { NetnsLab } from "../shared/testing/lab.ts";
import { LabNode, type LabPod } from "../shared/testing/node.ts";

const POLICY_NAME = "web-for-frontend";
const POLICY = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: ${POLICY_NAME}
  namespace: shop
spec:
  podSelector:
    matchLabels: { app: web }
  ingress:
    - from:
        - podSelector:
            matchLabels: { app: frontend }
      ports:
        - { protocol: TCP, port: 8080 }
`;
const PAGE = "hello from the web pod";
const CONNECT_TIMEOUT_S = 2;

const interactive = Deno.stdout.isTerminal() && !Deno.noColor;
const bold = (text: string) => interactive ? `\x1b[1m${text}\x1b[0m` : text;

/** A numbered heading. */
function* headings(): Generator<(text: string) => void, never> {
  for (let number = 1;; number++) yield (text) => console.log(`\n${bold(`${number}. ${text}`)}`);
}

const next = headings();
const step = (text: string) => next.next().value(text);
const show = (text: string) => console.log(aligned(text.trimEnd()).replaceAll(/^/gm, "   "));

/** In a pipe novanetctl separates columns by tabs; here a person reads them. */
function aligned(text: string): string {
  const rows = text.split("\n").map((line) => line.split("\t"));
  const widths = rows.reduce<number[]>(
    (most, row) =>
      row.map((cell, i) => Math.max(cell.length, most[i] ?? 0)).concat(most.slice(row.length)),
    [],
  );
  return rows.map((row) =>
    row.map((cell, i) => i < row.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell).join("  ")
  ).join("\n");
}

/** A small HTTP server inside a pod. */
async function serve(pod: LabPod): Promise<void> {
  const program = `Deno.serve({ port: 8080, onListen() {} }, () => new Response("${PAGE}\\n"))`;
  const server = pod.netns.start([Deno.execPath(), "eval", program]);
  await eventually(async () => {
    if (server.exited) throw new Error(server.stderr);
    return (await pod.netns.try(["curl", "-s", "http://127.0.0.1:8080"])).code === 0;
  }, { timeoutMs: 15_000, intervalMs: 50, what: "the server in the pod" });
}

/** One request from a pod: the page, or undefined when there was no answer. */
async function request(from: LabPod, to: LabPod): Promise<string | undefined> {
  const url = `http://${to.ip}:8080`;
  const argv = ["curl", "-sS", "--max-time", String(CONNECT_TIMEOUT_S), url];
  show(`$ (in pod ${from.name}) ${argv.join(" ")}`);
  const { code, stdout, stderr } = await from.netns.try(argv);
  show(code === 0 ? stdout : stderr);
  return code === 0 ? stdout.trim() : undefined;
}

/** Runs novanetctl and shows what it prints. */
async function ctl(node: LabNode, ...args: string[]): Promise<string> {
  show(`$ novanetctl ${args.join(" ")}`);
  const output = await node.ctl(...args);
  show(output);
  return output;
}

/** Starts a stream of novanetctl and waits until it listens: what comes after is in it. */
async function listen(node: LabNode, lab: NetnsLab, ...args: string[]): Promise<RunningCommand> {
  const subscribers = async () => {
    const { stdout } = await node.netns.run(["curl", "-sS", "http://127.0.0.1:9103/metrics"]);
    return Number(/^novanet_agent_flow_subscribers (\d+)$/m.exec(stdout)?.[1] ?? "0");
  };
  const before = await subscribers();
  const stream = lab.start(node.ctlArgv(...args));
  await eventually(async () => {
    if (stream.exited) throw new Error(stream.stderr);
    return await subscribers() > before;
  }, { what: `novanetctl ${args[0]} that listens` });
  return stream;
}

/** Shows what a stream has printed once it has ended by its --limit. */
async function showStream(stream: RunningCommand, args: readonly string[]): Promise<string> {
  await eventually(() => stream.exited, { timeoutMs: 15_000, what: `novanetctl ${args[0]}` });
  const { stdout } = await stream.wait();
  show(`$ novanetctl ${args.join(" ")}`);
  show(stdout);
  return stdout;
}

/** Who talks in the story. */
interface Actors {
  readonly web: LabPod;
  /** Whom the policy does not let in. */
  readonly backup: LabPod;
}

/** The story. Each step fails the demo when it is not as it should be. */
async function play(lab: NetnsLab, node: LabNode): Promise<Actors> {
  step("A node: novanet-dataplane and novanet-agent, from dist/, in a network namespace");
  await node.start();
  show(`namespace ${node.netns.name}, files in ${node.dir}`);

  step("Three pods, connected by novanet-cni as a container runtime would");
  const pods: LabPod[] = [];
  for (const app of ["web", "frontend", "backup"]) {
    pods.push(await node.addPod(app, { namespace: "shop", labels: { app } }));
  }
  const [web, frontend, backup] = pods as [LabPod, LabPod, LabPod];
  await serve(web);
  await ctl(node, "pods");

  step("No policy: everybody may connect");
  assert.equal(await request(backup, web), PAGE);

  step(`A NetworkPolicy, put into ${node.dir}/manifests: only app=frontend may reach app=web`);
  show(POLICY);
  await node.writeManifest(`${POLICY_NAME}.yaml`, POLICY);
  await eventually(async () => (await node.ctl("policy")).includes(POLICY_NAME), {
    what: "the policy in force",
  });

  step("The same connection again: dropped, and the drop names its rule");
  const dropArgs = ["drops", "--pod", "shop/backup", "--limit", "1"];
  const drops = await listen(node, lab, ...dropArgs);
  assert.equal(await request(backup, web), undefined);
  const dropped = await showStream(drops, dropArgs);
  assert.match(dropped, new RegExp(`shop/${POLICY_NAME}:ingress\\[default-deny\\]`));

  step("The one that the policy allows: its packets and the replies");
  const flowArgs = ["flows", "--pod", "shop/frontend", "--limit", "4"];
  const flows = await listen(node, lab, ...flowArgs);
  assert.equal(await request(frontend, web), PAGE);
  const allowed = await showStream(flows, flowArgs);
  assert.match(allowed, new RegExp(`shop/${POLICY_NAME}:ingress\\[0\\]`));

  step("What the node says of itself");
  assert.match(await ctl(node, "status"), /lab/);
  return { web, backup };
}

/** Commands to try that end by themselves. */
const QUESTIONS: readonly (readonly [command: string, tells: string])[] = [
  ["trace --from shop/backup --to shop/web --port 8080", "each step, and the rule's file and line"],
  ["policy explain shop/web", "the rules in force, and for whom"],
  ["policy suggest shop/web", "the policy that allows what was seen"],
  ["doctor", "what is wrong on the node"],
];

/** novanetctl with the node's sockets. */
function ctlCommand(node: LabNode): string[] {
  return node.ctlArgv("--dataplane-socket", node.socket("dataplane.sock"));
}

/** Asks all of them; one that fails fails the demo. */
async function ask(node: LabNode): Promise<void> {
  for (const [command] of QUESTIONS) {
    await runCommand([...ctlCommand(node), ...command.split(" ")]);
  }
}

/** What to try while the node is there. */
function suggestions(node: LabNode, { web, backup }: Actors): string {
  const width = Math.max(...QUESTIONS.map(([command]) => command.length));
  return [
    "The node stays until Ctrl-C. In another terminal:",
    "",
    `   alias ctl='${ctlCommand(node).join(" ")}'`,
    "   ctl drops            # and meanwhile, from the pod that may not:",
    `   ip netns exec ${backup.netns.name} curl --max-time 2 http://${web.ip}:8080`,
    ...QUESTIONS.map(([command, tells]) => `   ctl ${command.padEnd(width)}  # ${tells}`),
    "   ctl flows -o json",
    "   ctl policy; ctl identity; ctl metrics",
    "   ctl capture shop/web -w - | tcpdump -nr -",
    "   ctl pods -o wide     # NETNS is each pod's network namespace, for ip netns exec",
    `   \${EDITOR:-vi} ${node.dir}/manifests/${POLICY_NAME}.yaml`,
    "   ctl flows --verdict audit   # what it would drop, with annotations: { novanet.io/mode: audit }",
  ].join("\n");
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
  if (Deno.uid() !== 0) {
    console.error("demo: root is needed: it makes network namespaces and loads BPF programs");
    return 1;
  }
  const stop = Promise.withResolvers<"interrupted">();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => stop.resolve("interrupted"));
  }
  await using lab = new NetnsLab();
  try {
    const node = await LabNode.create(lab);
    const played = play(lab, node);
    // After Ctrl-C the lab goes away under the story; how that fails tells nothing.
    played.catch(() => {});
    const actors = await Promise.race([played, stop.promise]);
    if (actors === "interrupted") return 130;
    if (values.once) {
      await ask(node);
      console.log(`\n${bold("Every step was as it should be.")}`);
    } else {
      console.log(`\n${suggestions(node, actors)}`);
      await stop.promise;
    }
    return 0;
  } catch (error) {
    console.error(`\ndemo: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

// The lab is gone by now; signal listeners alone must not keep the process.
Deno.exit(await main());
