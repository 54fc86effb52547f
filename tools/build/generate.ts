import { join } from "node:path";
import { command, ROOT } from "./command.ts";
import { filesUnder } from "./files.ts";
import type { Step } from "./step.ts";
import type { Target } from "./target.ts";

const BUF = "node_modules/@bufbuild/buf/bin/buf";
const BUF_CONFIG = ["buf.yaml", "buf.gen.yaml", "deno.lock"];

const protos = () => filesUnder("proto", (path) => path.endsWith(".proto"));

/** Where protoc-gen-es puts the TypeScript of a .proto file. */
const generatedOf = (proto: string) =>
  proto.replace(/^proto\//, "shared/gen/").replace(/\.proto$/, "_pb.ts");

/** proto/ -> shared/gen/: linted, then generated; what a removed .proto left behind goes. */
export function protoStep(): Step {
  const outputs = () => protos().map(generatedOf);
  return {
    name: "proto",
    inputs: () => [...protos(), ...BUF_CONFIG],
    outputs,
    async run() {
      await command([Deno.execPath(), "run", "-A", BUF, "lint"]);
      await command([Deno.execPath(), "run", "-A", BUF, "generate"]);
      const wanted = new Set(outputs());
      for (const file of filesUnder("shared/gen", (path) => path.endsWith("_pb.ts"))) {
        if (!wanted.has(file)) Deno.removeSync(join(ROOT, file));
      }
    },
  };
}

/** The generators and what they import of tools/ and shared/btf. */
const generatorSources = () =>
  ["tools", "shared/btf"].flatMap((folder) =>
    filesUnder(
      folder,
      (path) =>
        /^(tools|tools\/abi|shared\/btf)\/[a-z_]+\.ts$/.test(path) && !path.endsWith("_test.ts"),
    )
  );

/** TypeScript of a folder, without its tests: what a page of documentation is made from. */
const sourcesUnder = (folder: string) =>
  filesUnder(folder, (path) => path.endsWith(".ts") && !path.endsWith("_test.ts"));

/** A step that is one of our own generators in tools/. */
function generator(
  tool: string,
  step: Pick<Step, "name" | "after" | "inputs" | "outputs"> & { args?: string[] },
): Step {
  return {
    ...step,
    inputs: async () => [...generatorSources(), ...await step.inputs()],
    run: async () => void await command([Deno.execPath(), "run", "-A", tool, ...step.args ?? []]),
  };
}

/** The steps whose results are committed; a test sees that they are current. */
export function generateSteps(target: Target): Step[] {
  const object = `${target.work}/bpf/datapath.bpf.o`;
  return [
    protoStep(),
    generator("tools/gen_enums.ts", {
      name: "enums",
      after: ["proto"],
      inputs: protos,
      outputs: () => ["bpf/lib/gen/enums.h"],
    }),
    generator("tools/gen_api_docs.ts", {
      name: "api-docs",
      after: ["proto"],
      inputs: protos,
      outputs: () => ["docs/api.md"],
    }),
    generator("tools/gen_config_docs.ts", {
      name: "config-docs",
      inputs: () => [
        ...sourcesUnder("agent/config"),
        "cni/config.ts",
        "dataplane/flags.ts",
        "dataplane/sizes.ts",
        "shared/log.ts",
      ],
      outputs: () => ["docs/configuration.md"],
    }),
    generator("tools/gen_metrics_docs.ts", {
      name: "metrics-docs",
      inputs: () => ["agent/config/fields.ts", "agent/metrics/catalogue.ts"],
      outputs: () => ["docs/metrics.md"],
    }),
    generator("tools/gen_abi.ts", {
      name: "abi",
      after: ["bpf"],
      inputs: () => [object],
      args: [object],
      outputs: () => ["shared/gen/abi.ts"],
    }),
  ];
}
