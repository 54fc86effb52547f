import assert from "node:assert/strict";
import { localFaults } from "./local_faults.ts";

const CONFLIST = JSON.stringify({ name: "novanet", plugins: [{ type: "novanet-cni" }] });

interface Row {
  readonly name: string;
  /** Files by path, with their mode. */
  readonly files: Readonly<Record<string, readonly [text: string, mode: number]>>;
  readonly finds: readonly RegExp[];
}

const ROWS: readonly Row[] = [
  { name: "no CNI network at all", files: {}, finds: [] },
  {
    name: "plugin and configuration",
    files: { "bin/novanet-cni": ["", 0o755], "conf/10-novanet.conflist": [CONFLIST, 0o644] },
    finds: [],
  },
  {
    name: "no plugin",
    files: { "conf/10-novanet.conflist": [CONFLIST, 0o644] },
    finds: [/bin\/novanet-cni .*cannot add pods .*novanet-cni install/],
  },
  {
    name: "a plugin that cannot be run",
    files: { "bin/novanet-cni": ["", 0o644], "conf/10-novanet.conflist": [CONFLIST, 0o644] },
    finds: [/bin\/novanet-cni .*not executable/],
  },
  {
    name: "no configuration",
    files: { "bin/novanet-cni": ["", 0o755] },
    finds: [/10-novanet.conflist .*does not use NovaNet/],
  },
  {
    name: "a configuration that is no JSON",
    files: { "bin/novanet-cni": ["", 0o755], "conf/10-novanet.conflist": ["{", 0o644] },
    finds: [/10-novanet.conflist .*JSON/],
  },
  {
    name: "another's configuration first",
    files: {
      "bin/novanet-cni": ["", 0o755],
      "conf/10-novanet.conflist": [CONFLIST, 0o644],
      "conf/05-other.conflist": ["{}", 0o644],
    },
    finds: [/05-other.conflist .*takes this one first/],
  },
  {
    name: "a socket's path that is a file",
    files: { "run/novanet.sock": ["", 0o600] },
    finds: [/novanet.sock .*another file/],
  },
];

for (const { name, files, finds } of ROWS) {
  Deno.test(`local faults: ${name}`, () => {
    const dir = Deno.makeTempDirSync();
    for (const folder of ["bin", "conf", "run"]) {
      Deno.mkdirSync(`${dir}/${folder}`, { mode: 0o750 });
    }
    for (const [path, [text, mode]] of Object.entries(files)) {
      Deno.writeTextFileSync(`${dir}/${path}`, text);
      Deno.chmodSync(`${dir}/${path}`, mode);
    }
    const faults = localFaults({
      sockets: [{ path: `${dir}/run/novanet.sock`, answers: false }],
      cniConfDir: `${dir}/conf`,
      cniBinDir: `${dir}/bin`,
    }).map(({ object, found, remedy }) => `${object} ${found} ${remedy}`);
    assert.equal(faults.length, finds.length, faults.join("\n"));
    for (const [index, pattern] of finds.entries()) assert.match(faults[index] ?? "", pattern);
    Deno.removeSync(dir, { recursive: true });
  });
}
