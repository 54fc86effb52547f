/**
 * Writes shared/gen/abi.ts, the TypeScript side of bpf/lib/maps.h, from the BTF of the built object.
 * Usage: deno run -A tools/gen_abi.ts [OBJECT [OUTPUT]]
 */
import { join } from "node:path";
import { Btf } from "../shared/btf/btf.ts";
import { emit } from "./abi/emit.ts";
import { select } from "./abi/select.ts";

/** The module for an object's types. @throws ObjectFormatError */
export function generateAbi(elf: Uint8Array): string {
  const btf = Btf.ofObject(elf);
  return emit(btf, select(btf));
}

if (import.meta.main) {
  const root = join(import.meta.dirname ?? "", "..");
  const [
    object = join(root, ".build/bpf/datapath.bpf.o"),
    output = join(root, "shared/gen/abi.ts"),
  ] = Deno.args;
  const text = generateAbi(Deno.readFileSync(object));
  Deno.mkdirSync(join(output, ".."), { recursive: true });
  Deno.writeTextFileSync(output, text);
}
