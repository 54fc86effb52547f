import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { parseAllDocuments } from "yaml";
import { parseFlags as parseAgentFlags } from "../../agent/config/flags.ts";
import { parseConfigText } from "../../agent/config/sources.ts";
import { parseFlags as parseDataplaneFlags } from "../../dataplane/flags.ts";
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
  readonly volumeMounts: readonly { readonly name: string }[];
}

const manifests = parseAllDocuments(read("deploy/kubernetes/novanet.yaml"))
  .map((document) => document.toJS() as Manifest);
const pod = manifests.find(({ kind }) => kind === "DaemonSet")!.spec!.template.spec;
const containers = [...pod.initContainers, ...pod.containers];

Deno.test("the DaemonSet's configuration is one that the agent takes", () => {
  const text = manifests.find(({ kind }) => kind === "ConfigMap")!.data!["config.json"]!;
  assert(parseConfigText("config.json", text).size > 0);
});

Deno.test("the DaemonSet runs executables of the image, of this version, with flags that they know", () => {
  for (const { image, command } of containers) {
    const [path, ...args] = command;
    assert.equal(image, `novanet:${VERSION}`);
    assert(EXECUTABLES.some(({ name }) => path === `/usr/local/bin/${name}`), path);
    if (path!.endsWith("novanet-agent")) parseAgentFlags(args);
    if (path!.endsWith("novanet-dataplane")) parseDataplaneFlags(args, 2 ** 32);
  }
});

Deno.test("the DaemonSet mounts volumes that it has, and has none that it does not mount", () => {
  const mounted = new Set(containers.flatMap((one) => one.volumeMounts.map(({ name }) => name)));
  assert.deepEqual([...mounted].sort(), pod.volumes.map(({ name }) => name).sort());
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
