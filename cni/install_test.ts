import assert from "node:assert/strict";
import { HELP, runCommandLine } from "./command_line.ts";
import {
  commonVersions,
  conflistFor,
  earlierConfigurations,
  install,
  InstallError,
  podInterfacesIn,
  uninstall,
} from "./install.ts";

function withFolder(act: (root: string) => void): void {
  const root = Deno.makeTempDirSync();
  try {
    act(root);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

function options(root: string, chain: string[] = []) {
  const agentSocket = "/run/novanet/cni.sock";
  return { binDir: `${root}/bin`, confDir: `${root}/net.d`, chain, agentSocket };
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
}

Deno.test("install puts binary and conflist in place, again over themselves, and uninstall takes both", () => {
  withFolder((root) => {
    Deno.writeTextFileSync(`${root}/program`, "first");
    install(`${root}/program`, options(root, ["portmap", "bandwidth", "tuning"]));
    Deno.writeTextFileSync(`${root}/program`, "second");
    const before = Deno.statSync(`${root}/bin/novanet-cni`).ino;
    const paths = install(`${root}/program`, options(root, ["portmap", "bandwidth", "tuning"]));
    assert.deepEqual(paths, [`${root}/bin/novanet-cni`, `${root}/net.d/10-novanet.conflist`]);
    assert.notEqual(Deno.statSync(`${root}/bin/novanet-cni`).ino, before);
    assert.equal(Deno.readTextFileSync(`${root}/bin/novanet-cni`), "second");
    assert.equal((Deno.statSync(`${root}/bin/novanet-cni`).mode ?? 0) & 0o777, 0o755);
    assert.deepEqual(JSON.parse(Deno.readTextFileSync(`${root}/net.d/10-novanet.conflist`)), {
      cniVersion: "1.0.0",
      cniVersions: ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
      name: "novanet",
      plugins: [
        { type: "novanet-cni", capabilities: { ips: true } },
        { type: "portmap", capabilities: { portMappings: true } },
        { type: "bandwidth", capabilities: { bandwidth: true } },
        { type: "tuning" },
      ],
    });
    assert.deepEqual([names(`${root}/bin`), names(`${root}/net.d`)], [
      ["novanet-cni"],
      ["10-novanet.conflist"],
    ]);
    assert.deepEqual(uninstall(options(root)), paths.toReversed());
    assert.deepEqual(uninstall(options(root)), []);
    assert.deepEqual([names(`${root}/bin`), names(`${root}/net.d`)], [[], []]);
  });
});

Deno.test("uninstall leaves the program where pods need it", () => {
  withFolder((root) => {
    Deno.writeTextFileSync(`${root}/program`, "x");
    const [plugin, conflist] = install(`${root}/program`, options(root));
    assert.deepEqual(uninstall(options(root), { keepPlugin: true }), [conflist]);
    assert.deepEqual(uninstall(options(root)), [plugin]);
  });
});

Deno.test("pods are known by the names of their host interfaces", () => {
  const netDev = `Inter-|   Receive
 face |bytes    packets
    lo: 1 2
nv0123456789a: 3 4
  eth0: 5 6
  nvme0: 7
nva0b1c2d3e4f5: 8
 nvfedcba98765:9 10
`;
  assert.deepEqual(podInterfacesIn(netDev), ["nv0123456789a", "nvfedcba98765"]);
});

Deno.test("an install that fails leaves no half and no temporary file", () => {
  withFolder((root) => {
    assert.throws(() => install(`${root}/missing`, options(root)), InstallError);
    assert.deepEqual([names(`${root}/bin`), names(`${root}/net.d`)], [[], []]);
    Deno.writeTextFileSync(`${root}/program`, "x");
    Deno.mkdirSync(`${root}/net.d/10-novanet.conflist/full`, { recursive: true });
    assert.throws(() => install(`${root}/program`, options(root)), InstallError);
    assert.deepEqual(names(`${root}/net.d`), ["10-novanet.conflist"]);
  });
});

Deno.test("the list names the versions that the whole chain speaks", () => {
  withFolder((root) => {
    const answer = '{"cniVersion":"1.0.0","supportedVersions":["0.1.0","0.4.0","1.0.0"]}';
    plugin(`${root}/portmap`, `[ "$CNI_COMMAND" = VERSION ] && echo '${answer}'`);
    plugin(`${root}/ancient`, `echo '{"supportedVersions":["0.1.0"]}'`);
    plugin(`${root}/broken`, `echo nothing`);
    assert.deepEqual(commonVersions(root, ["portmap"]), ["0.4.0", "1.0.0"]);
    assert.equal(commonVersions(root, []).at(-1), "1.1.0");
    for (const name of ["ancient", "broken", "missing"]) {
      assert.throws(() => commonVersions(root, [name]), InstallError, name);
    }
  });
});

function plugin(path: string, script: string): void {
  Deno.writeTextFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

Deno.test("configurations that a runtime takes before ours are named", () => {
  withFolder((root) => {
    for (
      const name of ["05-a.conflist", "09-b.txt", "10-a.conf", "10-novanet.conflist", "99-z.conf"]
    ) {
      Deno.writeTextFileSync(`${root}/${name}`, "");
    }
    assert.deepEqual(earlierConfigurations(root), ["05-a.conflist", "10-a.conf"]);
  });
});

const COMMAND_LINES: readonly { args: string[]; exitCode: number; says: RegExp }[] = [
  {
    args: ["--version"],
    exitCode: 0,
    says: /^novanet-cni \d+\.\d+\.\d+ \(commit \S+, deno \S+\)\n$/,
  },
  { args: ["--help"], exitCode: 0, says: /^Usage: novanet-cni/ },
  { args: ["install", "--help"], exitCode: 0, says: /^Usage: novanet-cni/ },
  { args: ["instal"], exitCode: 2, says: /^Error: unknown command "instal"/ },
  { args: ["install", "--bindir", "x"], exitCode: 2, says: /unknown option "--bindir"/ },
  { args: ["install", "--bin-dir"], exitCode: 2, says: /--bin-dir needs a value/ },
  { args: ["install", "--bin-dir="], exitCode: 2, says: /--bin-dir needs a value/ },
  { args: ["install", "--chain", "a,../b"], exitCode: 2, says: /"\.\.\/b"/ },
  { args: ["install", "--chain=novanet-cni"], exitCode: 2, says: /another plugin/ },
  { args: ["install"], exitCode: 1, says: /own executable/ },
  { args: ["uninstall", "--bin-dir=/none", "--conf-dir", "/none"], exitCode: 0, says: /^$/ },
];

for (const { args, exitCode, says } of COMMAND_LINES) {
  Deno.test(`novanet-cni ${args.join(" ")} exits with ${exitCode}`, () => {
    const output = runCommandLine(args);
    assert.equal(output.exitCode, exitCode);
    assert.match(output.stdout + output.stderr, says);
  });
}

Deno.test("the help names each option", () => {
  for (const option of ["--bin-dir", "--conf-dir", "--chain", "--agent-socket", "--version"]) {
    assert.ok(HELP.includes(option), option);
  }
});

Deno.test("pods are attached quickly unless a chained plugin may need the hooks", () => {
  const own = (chain: readonly string[]) =>
    conflistFor({ ...options("/x"), chain }, ["1.0.0"]).plugins[0];
  for (const chain of [[], ["portmap"], ["portmap", "tuning"]]) {
    assert.deepEqual(own(chain), {
      type: "novanet-cni",
      capabilities: { ips: true },
      quickAttach: true,
    });
  }
  for (const chain of [["bandwidth"], ["portmap", "something"]]) {
    assert.deepEqual(own(chain), { type: "novanet-cni", capabilities: { ips: true } });
  }
});
