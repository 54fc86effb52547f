import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import type { NetnsLab } from "../../shared/testing/lab.ts";
import { runCommand } from "../../shared/testing/command.ts";

const ROOT = join(import.meta.dirname ?? ".", "..", "..");
/** What novanet-dataplane is built from. */
const SOURCES = [
  ...["bpf", "shared", "dataplane", "tools"],
  ...["build.ts", "deno.json", "deno.lock"],
] as const;
/** What is made already and does not change. */
const SHIM = ".build/native/libnovanet.so";
const STEPS = ["bpf", "abi", "bundle-novanet-dataplane", "compile-novanet-dataplane"];

/** A later version of the layout: every kind of change that a migration takes over by itself. */
const CHANGES: readonly (readonly [what: string, pattern: RegExp, replacement: string])[] = [
  ["the version", /LAYOUT_VERSION = (\d+)/, "LAYOUT_VERSION = 1$1"],
  // No more than that in an entry: it is on the programs' stacks, which are full (512 bytes).
  ["members that change places", /(\t__u32 last_seen;.*\n)(\t__u32 generation;.*\n)/, "$2$1"],
  ["a number that grows", /__u32( packets\[2\];.*)/, "__u64$1"],
  ["its cache line", /(conntrack_entry, identity\)) == 64/, "$1 >= 64"],
  ["a new member beside it", /struct conntrack_entry entry; \/\*/, "__u64 owner;\n\t$&"],
  ["its slot", /sizeof\(struct conntrack_slot\) == 128/, "sizeof(struct conntrack_slot) >= 128"],
  ["a new member in the middle", /struct policy_value \{\n.*\n/, "$&\t__u32 hits;\n"],
  ["in a trie", /struct cidr_value \{/, "$&\n\t__u32 origin;"],
  ["beside a struct within", /struct policy_shape_value \{\n.*\n/, "$&\t__u32 users;\n"],
  ["of an endpoint", /struct endpoint_value \{\n.*\n/, "$&\t__u32 zone;\n"],
  ["of an interface", /struct pod_iface_value \{\n.*\n/, "$&\t__u32 quota;\n"],
  ["of the state", /struct datapath_state \{\n.*\n.*\n/, "$&\t__u32 spare[2];\n"],
  ["an array with more slots", /CONFIG_KEYS = 128/, "CONFIG_KEYS = 160"],
  ["more counters", /STATISTICS_COUNT = (\d+)/, "STATISTICS_COUNT = 9$1"],
];

/** novanet-dataplane as a later release may be: with widened structs and a later version of the layout. */
export interface NextDataplane {
  /** The executable. */
  readonly path: string;
  readonly version: number;
}

/**
 * Builds it from a changed copy of the sources, in a folder that goes with the lab.
 *
 * @throws {CommandError} when the copy does not build
 */
export async function buildNextDataplane(lab: NetnsLab): Promise<NextDataplane> {
  const folder = await Deno.makeTempDir({ prefix: "nvt-next-" });
  lab.defer(() => Deno.remove(folder, { recursive: true }));
  await runCommand(["cp", "-r", ...SOURCES.map((source) => join(ROOT, source)), folder]);
  await Deno.mkdir(join(folder, dirname(SHIM)), { recursive: true });
  await Deno.copyFile(join(ROOT, SHIM), join(folder, SHIM));
  await Deno.symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const version = await change(join(folder, "bpf/lib/maps.h"));
  await runCommand(
    [Deno.execPath(), "run", "-A", join(folder, "build.ts"), "--only", STEPS.join(",")],
    { env: { NOVANET_COMMIT: "next" }, timeoutMs: 60_000 },
  );
  return { path: join(folder, "dist/novanet-dataplane"), version };
}

/** @returns the version that it has then */
async function change(header: string): Promise<number> {
  let text = await Deno.readTextFile(header);
  for (const [what, pattern, replacement] of CHANGES) {
    const changed = text.replace(pattern, replacement);
    assert.notEqual(changed, text, `bpf/lib/maps.h has no place for ${what}`);
    text = changed;
  }
  await Deno.writeTextFile(header, text);
  return Number(/LAYOUT_VERSION = (\d+)/.exec(text)?.[1]);
}
