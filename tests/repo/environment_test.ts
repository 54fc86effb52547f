import assert from "node:assert/strict";
import { join } from "node:path";
import { loadConfig } from "../../agent/config/load.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { ROOT } from "../../tools/build/command.ts";
import { EXECUTABLES } from "../../tools/build/executables.ts";
import { filesUnder } from "../../tools/build/files.ts";
import type { ExecutableName } from "../../tools/permissions.ts";
import { closure, readImportGraph } from "./import_graph.ts";

/** Every variable that an executable reads. Each is documented; there is none for tests. */
const VARIABLES: Readonly<Record<ExecutableName, readonly string[]>> = {
  "novanet-dataplane": [],
  "novanet-agent": [
    "NOVANET_BANDWIDTH_ENABLED",
    "NOVANET_CLUSTER_CIDR",
    "NOVANET_CLUSTER_CIDR_V6",
    "NOVANET_DSR_ENABLED",
    "NOVANET_ENCRYPTION_TYPE",
    "NOVANET_HOST_FIREWALL_ENABLED",
    "NOVANET_IPV6_ENABLED",
    "NOVANET_L4LB_ENABLED",
    "NOVANET_LBIPAM_ENABLED",
    "NOVANET_NODE_IP",
    "NOVANET_NODE_NAME",
    "NOVANET_POD_CIDR",
    "NOVANET_ROUTING_MODE",
    "NOVANET_TUNNEL_PROTOCOL",
    "NOVANET_XDP_ACCELERATION",
    "NOVAROUTE_CLUSTER_CIDR",
    "NOVAROUTE_ROUTING_MODE",
    "NOVAROUTE_TUNNEL_PROTOCOL",
  ],
  "novanet-cni": [
    "CNI_ARGS",
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_IFNAME",
    "CNI_NETNS",
    "CNI_NETNS_OVERRIDE",
  ],
  "novanetctl": ["NO_COLOR"],
};

/** The one place of each executable that hands the environment on. */
const SOURCES: Readonly<Record<ExecutableName, readonly string[]>> = {
  "novanet-dataplane": [],
  "novanet-agent": [
    "agent/main.ts: const config = loadConfig(flags, Deno.env.toObject(), hostFacts);",
  ],
  "novanet-cni": ["cni/main.ts: getEnv: (name) => Deno.env.get(name),"],
  "novanetctl": ["cli/io.ts: getEnv: (name) => Deno.env.get(name),"],
};

/** `Deno.env`, and all by which it could be had under another name. */
const ENVIRONMENT =
  /\bDeno\b\s*(?:\??\.\s*env\b|(?!\??\s*\.\s*\w|\s*version\b))|\bprocess\b\s*(?:\??\.\s*env\b|\[)|\bglobalThis\b|\b(?:secure_)?getenv\b|\benviron\b|["'](?:node:)?process["']/;

const graph = readImportGraph();

function codeOf(folder: string): [path: string, code: string][] {
  return [...closure(graph, `${folder}/main.ts`)].map((path) => [path, graph.code.get(path) ?? ""]);
}

/** The agent's are found by asking for its configuration: it is told of none, so that it looks for all. */
function variablesOfAgent(): Set<string> {
  const read = new Set<string>();
  const env = new Proxy<Record<string, string>>({}, {
    get(_, name) {
      read.add(String(name));
      return undefined;
    },
    ownKeys: () => assert.fail("lists the environment"),
    has: () => assert.fail("asks whether a variable is there"),
  });
  const flags = { configFile: undefined, nodeIp: undefined, podCidr: undefined };
  const host = () => ({ hostName: "lab", nodeIp: Ipv4.parse("192.0.2.1") });
  loadConfig({ ...flags, version: false, help: false }, env, host);
  return read;
}

for (const { name, folder } of EXECUTABLES) {
  Deno.test(`${name} reads the variables that are known, and no other`, () => {
    const code = codeOf(folder);
    assert(code.length > 1, `${folder}/main.ts is not there`);
    const sources = code.flatMap(([path, text]) =>
      text.split("\n").filter((line) => ENVIRONMENT.test(line)).map((line) =>
        `${path}: ${line.trim()}`
      )
    );
    assert.deepEqual(sources, SOURCES[name]);
    const asked = code.flatMap(([, text]) =>
      [...text.matchAll(/\bgetEnv\(([^)]*)\)/g)].map(([, argument]) => argument ?? "")
    ).filter((argument) => argument !== "name: string");
    const read = name === "novanet-agent" ? variablesOfAgent() : asked.map((argument) => {
      assert.match(argument, /^"\w+"$/, "a name that is not written there");
      return argument.slice(1, -1);
    });
    assert.deepEqual([...new Set(read)].sort(), VARIABLES[name]);
  });
}

Deno.test("the native library reads no environment", () => {
  const files = filesUnder("native", (path) => /\.[ch]$/.test(path));
  assert(files.length > 0);
  const readers = files.filter((path) =>
    /\b(?:secure_)?getenv\b|\benviron\b/.test(Deno.readTextFileSync(join(ROOT, path)))
  );
  assert.deepEqual(readers, []);
});

Deno.test("what hands the environment on is found", () => {
  for (
    const hidden of [
      `Deno.env.get("X")`,
      `const { env } = Deno;`,
      `Deno["env"]`,
      `globalThis.Deno`,
      `import process from "node:process"`,
      `process.env.X`,
    ]
  ) assert.match(hidden, ENVIRONMENT);
  for (const fine of [`Deno.readFile(path)`, `Deno.errors.NotFound`, `processed.env`]) {
    assert.doesNotMatch(fine, ENVIRONMENT);
  }
});
