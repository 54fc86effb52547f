/** For tests: the shipped object in the kernel, with small tables. */

import { readAsset } from "../../shared/ffi/assets.ts";
import { shim } from "../../shared/ffi/library.ts";
import { KernelObjects } from "../programs/kernel_objects.ts";
import type { Sizes } from "../sizes.ts";
import { PrivateBpffs } from "./private_bpffs.ts";

// Loaded here and not within a test, whose sanitizer would take a library that stays for a leak.
shim();

/** Tables that are made quickly. */
export const SMALL: Sizes = {
  conntrackMax: 1024,
  policyMax: 1024,
  endpointMax: 256,
  fragmentMax: 64,
  flowRingBytes: 65_536,
};

/** Loads the object on a bpffs of its own, or adopts what is pinned there. */
export async function openTestObjects(
  bpffs: PrivateBpffs,
  sizes: Partial<Sizes> = {},
  elf: Uint8Array = readAsset("datapath.bpf.o"),
): Promise<KernelObjects> {
  return await KernelObjects.open(bpffs.path, elf, { ...SMALL, ...sizes });
}
