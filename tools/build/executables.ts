import type { ExecutableName } from "../permissions.ts";

/** A file that an executable carries; found at run time by shared/ffi/assets.ts. */
export type Asset = "libnovanet.so" | "datapath.bpf.o";

/** How one executable is put together. */
export interface Executable {
  readonly name: ExecutableName;
  /** Its folder in the checkout; `main.ts` there is the entry. */
  readonly folder: string;
  readonly assets: readonly Asset[];
}

/** All executables that `dist/` gets. */
export const EXECUTABLES: readonly Executable[] = [
  {
    name: "novanet-dataplane",
    folder: "dataplane",
    assets: ["libnovanet.so", "datapath.bpf.o"],
  },
  { name: "novanet-agent", folder: "agent", assets: ["libnovanet.so"] },
  { name: "novanet-cni", folder: "cni", assets: [] },
  { name: "novanetctl", folder: "cli", assets: [] },
];
