import { AgentControl } from "../../../shared/gen/novanet/v1/novanet_pb.ts";
import { eventually } from "../../../shared/testing/eventually.ts";
import { readCorpus } from "../corpus.ts";
import { FuzzedDaemons } from "../daemons.ts";
import { Fault, type FuzzTarget, must } from "../target.ts";
import { manifest, YAML_TOKENS } from "./manifest.ts";

/** Files at a time, written together: the agent takes what changed within its debounce at once. */
const FILES = 8;
/** The agent's debounce and what it does then; who hears nothing by then is guided by nothing. */
const VERDICT_MS = 100;
const MOST_KINDS_CHARS = 200;
const SLOWEST_MS = 40_000;
const LOG_TAIL = 3000;
/** Between two looks whether the agent still takes a good policy. */
const GOOD_EVERY = 200;

const policy = (name: string) =>
  `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: fuzz-alive }
spec: { podSelector: {}, policyTypes: [Ingress] }
`;

/** What kinds of problems the agent tells of a file. */
function kindsOf(file: string, policyErrors: readonly string[]): string {
  const kinds = policyErrors.filter((error) => error.includes(file)).map((error) => {
    const [, ...reason] = error.replaceAll(/"[^"]*"|\d+/g, "#").split(": ");
    return reason.join(": ").slice(0, 60);
  });
  return [...new Set(kinds)].sort().join().slice(0, MOST_KINDS_CHARS) || "in force";
}

/** The agent's folder of manifests. */
export const folder: FuzzTarget = {
  name: "folder",
  what: "files in manifests_dir of the compiled agent",
  jobs: FILES,
  limitMs: 60_000,
  tokens: YAML_TOKENS,
  seeds: () => [...manifest.seeds(), ...readCorpus(manifest.name)],
  async open() {
    const daemons = await FuzzedDaemons.start();
    const { node } = daemons;
    await node.addPod("web", { namespace: "shop", labels: { app: "web" } });
    await node.addPod("alive", { namespace: "fuzz-alive" });
    const agent = node.client(AgentControl, "novanet.sock");
    // Each of those that run at once has a file of its own, so that the verdict is of its input.
    const free = Array.from({ length: FILES }, (_, slot) => slot);
    let inputs = 0;
    const takesPolicies = async () => {
      const name = `good-${inputs}`;
      await node.writeManifest("a-good-one.yaml", policy(name));
      const inForce = async () => (await node.ruleNames()).some((rule) => rule.includes(name));
      try {
        await eventually(inForce, { timeoutMs: SLOWEST_MS, what: "a good policy in force" });
      } catch (error) {
        await daemons.checkAlive();
        throw new Fault(`${error}; the agent says:\n${node.agent.stderr.slice(-LOG_TAIL)}`);
      }
      await daemons.checkAlive();
    };
    return {
      async run(input: Uint8Array): Promise<string> {
        if (++inputs % GOOD_EVERY === 0) await takesPolicies();
        const slot = free.shift();
        must(slot !== undefined, "more inputs at once than files");
        try {
          const file = `fuzz-${slot}.${input[0] === 0x7b ? "json" : "yaml"}`;
          const path = `${node.dir}/manifests/${file}`;
          await Deno.writeFile(`${path}.new`, input);
          await Deno.rename(`${path}.new`, path);
          await new Promise((resolve) => setTimeout(resolve, VERDICT_MS));
          return kindsOf(file, (await agent.getAgentStatus({})).policyErrors);
        } finally {
          free.push(slot);
        }
      },
      async check(): Promise<void> {
        await takesPolicies();
      },
      [Symbol.asyncDispose]: () => daemons[Symbol.asyncDispose](),
    };
  },
};
