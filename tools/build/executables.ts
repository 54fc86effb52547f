import type { ExecutableName } from "../permissions.ts";

/** A file that an executable carries; found at run time by shared/ffi/assets.ts. */
export type Asset = "libnovanet.so" | "datapath.bpf.o";

/** How one executable is put together. */
export interface Executable {
  readonly name: ExecutableName;
  /** Its folder in the checkout; `main.ts` there is the entry. */
  readonly folder: string;
  readonly assets: readonly Asset[];
  /** What V8 is told. */
  readonly v8Flags?: readonly string[];
}

/**
 * The agent's work comes in bursts (500 pods, a folder of policies), for which V8 would double its heap and keep it: this
 * heap grows by a fifth at a time. 500 pods and 1,000 policies take 130 MB in place of 193, and ADD as long as before.
 */
const AGENT_V8_FLAGS = ["--max-semi-space-size=4", "--heap-growing-percent=20"];
/** So that what pods leave behind until V8 looks for it stays small; flow events want their young generation large. */
const DATAPLANE_V8_FLAGS = ["--heap-growing-percent=20"];

/** All executables that `dist/` gets. */
export const EXECUTABLES: readonly Executable[] = [
  {
    name: "novanet-dataplane",
    folder: "dataplane",
    assets: ["libnovanet.so", "datapath.bpf.o"],
    v8Flags: DATAPLANE_V8_FLAGS,
  },
  { name: "novanet-agent", folder: "agent", assets: ["libnovanet.so"], v8Flags: AGENT_V8_FLAGS },
  { name: "novanet-cni", folder: "cni", assets: [] },
  { name: "novanetctl", folder: "cli", assets: [] },
];
