import assert from "node:assert/strict";
import { type MachineFacts, missing } from "./preflight.ts";

const GOOD: MachineFacts = {
  kernelRelease: "6.1.0-28-amd64",
  btf: true,
  lockdown: "[none] integrity confidentiality\n",
  capabilities: (1n << 41n) - 1n,
};
const NET_ADMIN = 1n << 12n;
const SYS_ADMIN = 1n << 21n;
const PERFMON = 1n << 38n;
const BPF = 1n << 39n;

const CASES: [name: string, facts: Partial<MachineFacts>, lines: RegExp[]][] = [
  ["everything there", {}, []],
  ["a newer kernel", { kernelRelease: "6.18.44-fc" }, []],
  ["a kernel of the next series", { kernelRelease: "7.0" }, []],
  ["an older kernel", { kernelRelease: "5.15.0-91-generic" }, [/5\.15\.0-91-generic.*6\.1/]],
  ["6.0", { kernelRelease: "6.0.19" }, [/older than 6\.1/]],
  ["no lockdown file", { lockdown: "" }, []],
  ["integrity lockdown", { lockdown: "none [integrity] confidentiality\n" }, []],
  ["confidentiality", { lockdown: "none integrity [confidentiality]\n" }, [/lockdown/]],
  ["no BTF", { btf: false }, [/BTF.*vmlinux/]],
  ["no capabilities", { capabilities: 0n }, [/CAP_BPF/, /CAP_PERFMON/, /CAP_NET_ADMIN/]],
  ["the three alone", { capabilities: NET_ADMIN | PERFMON | BPF }, []],
  ["CAP_SYS_ADMIN for the newer two", { capabilities: NET_ADMIN | SYS_ADMIN }, []],
  ["no CAP_NET_ADMIN", { capabilities: SYS_ADMIN }, [/CAP_NET_ADMIN/]],
];

for (const [name, facts, lines] of CASES) {
  Deno.test(`${name}: ${lines.length} lines`, () => {
    const found = missing({ ...GOOD, ...facts });
    assert.equal(found.length, lines.length, found.join("; "));
    for (const [index, line] of lines.entries()) {
      assert.match(found[index] ?? "", line);
      assert.ok(!found[index]?.includes("\n"));
    }
  });
}
