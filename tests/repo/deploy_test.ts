import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { parseAllDocuments } from "yaml";
import { parseFlags as parseAgentFlags } from "../../agent/config/flags.ts";
import { parseConfigText } from "../../agent/config/sources.ts";
import { helpText, parseFlags as parseDataplaneFlags } from "../../dataplane/flags.ts";
import { VERSION } from "../../shared/version.ts";
import { ROOT } from "../../tools/build/command.ts";
import { EXECUTABLES } from "../../tools/build/executables.ts";

const read = (path: string) => Deno.readTextFileSync(join(ROOT, path));

/** The parts of a manifest that the tests look at. */
interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template: {
      readonly spec: {
        readonly initContainers: readonly Container[];
        readonly containers: readonly Container[];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
  };
}

interface Container {
  readonly image: string;
  readonly command: readonly string[];
  readonly volumeMounts?: readonly { readonly name: string }[];
}

const manifests = (name: string) =>
  parseAllDocuments(read(`deploy/kubernetes/${name}`)).map((document) =>
    document.toJS() as Manifest
  );
const podOf = (name: string) =>
  manifests(name).find(({ kind }) => kind === "DaemonSet")!.spec!.template.spec;
const containersOf = (name: string) => {
  const { initContainers, containers } = podOf(name);
  return [...initContainers, ...containers];
};

Deno.test("the DaemonSet's configuration is one that the agent takes", () => {
  const config = manifests("novanet.yaml").find(({ kind }) => kind === "ConfigMap");
  assert(parseConfigText("config.json", config!.data!["config.json"]!).size > 0);
});

for (const name of ["novanet.yaml", "uninstall.yaml"]) {
  Deno.test(`${name} runs executables of the image, of this version, with flags that they know`, () => {
    for (const { image, command } of containersOf(name)) {
      const [path, ...args] = command;
      assert.equal(image, `novanet:${VERSION}`);
      if (path === "/bin/sleep") continue;
      assert(EXECUTABLES.some(({ name }) => path === `/usr/local/bin/${name}`), path);
      if (path!.endsWith("novanet-agent")) parseAgentFlags(args);
      if (path!.endsWith("novanet-dataplane")) parseDataplaneFlags(args, 2 ** 32);
    }
  });

  Deno.test(`${name} mounts volumes that it has, and has none that it does not mount`, () => {
    const mounted = new Set(
      containersOf(name).flatMap((one) => (one.volumeMounts ?? []).map(({ name }) => name)),
    );
    assert.deepEqual([...mounted].sort(), podOf(name).volumes.map(({ name }) => name).sort());
  });
}

/** Commands in the pages' indented blocks, without prompt and remark. */
const commandsIn = (page: string) =>
  [...read(page).matchAll(/^ {4}(?:# )?((?:\S*\/)?novanet-(?:dataplane|agent|cni) .*)$/gm)]
    .map(([, line]) => line!.replace(/ +#.*$/, "").split(" "));

for (const page of ["README.md", "docs/operations.md"]) {
  Deno.test(`${page} shows commands that there are`, () => {
    const commands = commandsIn(page).filter(([program]) => !program!.endsWith(":"));
    assert(commands.length > 1);
    for (const [program, ...args] of commands) {
      if (program!.endsWith("novanet-dataplane")) parseDataplaneFlags(args, 2 ** 32);
      else if (program!.endsWith("novanet-cni")) assert.match(args.join(" "), /^(un)?install$/);
      else parseAgentFlags(args);
    }
  });
}

Deno.test("docs/operations.md has the exit codes of the help page", () => {
  const codes = [...read("docs/operations.md").matchAll(/^\| (\d) \|/gm)].map(([, code]) => code);
  const help = helpText(2 ** 32).replaceAll("\n", " ");
  const told = /Exit codes: (.*)\./.exec(help)![1]!.matchAll(/(?:^|, )(\d) /g);
  assert.deepEqual(codes, [...told].map(([, code]) => code));
});

Deno.test("the image holds every executable", () => {
  const [, sources] = /^COPY .*?((?:dist\/\S+ )+)/m.exec(read("Dockerfile"))!;
  assert.deepEqual(
    sources!.trim().split(" ").map((path) => basename(path)).sort(),
    EXECUTABLES.map(({ name }) => name).sort(),
  );
  assert.match(read("Dockerfile"), new RegExp(`^ARG VERSION=${VERSION}$`, "m"));
});

Deno.test("the units start executables with flags that they know", () => {
  for (const daemon of ["novanet-dataplane", "novanet-agent"]) {
    const unit = read(`deploy/systemd/${daemon}.service`);
    assert.match(unit, new RegExp(`^ExecStart=/usr/local/bin/${daemon}$`, "m"));
  }
});
