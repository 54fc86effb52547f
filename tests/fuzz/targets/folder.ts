import { eventually } from "../../../shared/testing/eventually.ts";
import { readCorpus } from "../corpus.ts";
import { FuzzedDaemons } from "../daemons.ts";
import { Fault, type FuzzTarget } from "../target.ts";
import { manifest, YAML_TOKENS } from "./manifest.ts";

/** Files at a time; the agent takes what changed within its debounce at once. */
const FILES = 8;
const PAUSE_MS = 10;
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

/** The agent's folder of manifests. */
export const folder: FuzzTarget = {
  name: "folder",
  what: "files in manifests_dir of the compiled agent",
  limitMs: 60_000,
  tokens: YAML_TOKENS,
  seeds: () => [...manifest.seeds(), ...readCorpus(manifest.name)],
  async open() {
    const daemons = await FuzzedDaemons.start();
    const { node } = daemons;
    await node.addPod("web", { namespace: "shop", labels: { app: "web" } });
    await node.addPod("alive", { namespace: "fuzz-alive" });
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
        const suffix = input[0] === 0x7b ? "json" : "yaml";
        const path = `${node.dir}/manifests/fuzz-${inputs % FILES}.${suffix}`;
        await Deno.writeFile(`${path}.new`, input);
        await Deno.rename(`${path}.new`, path);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        return "taken";
      },
      async check(): Promise<void> {
        await takesPolicies();
      },
      [Symbol.asyncDispose]: () => daemons[Symbol.asyncDispose](),
    };
  },
};
