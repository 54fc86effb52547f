/** Which types of an object user space needs. */
import type { Btf, BtfComposite, BtfEnum, BtfMember } from "../../shared/btf/btf.ts";

type Struct = BtfComposite<"struct">;

/** The section of the variable whose members are types that no map names. */
export const TYPES_SECTION = "novanet_types";

/** Structs and enums, each sorted by name: compilers differ in the order of their types. */
export interface Selection {
  readonly structs: readonly Struct[];
  readonly enums: readonly BtfEnum[];
}

/**
 * Selects what is a map's key or value, what stands in the TYPES_SECTION, and what these hold.
 */
export function select(btf: Btf): Selection {
  const structs = new Map<string, Struct>();
  const enums = new Map<string, BtfEnum>();

  const add = (typeId: number): void => {
    const type = btf.resolve(typeId);
    if (type.kind === "array") return add(type.typeId);
    if (type.kind === "enum" && type.name) enums.set(type.name, type);
    if (type.kind !== "struct" || structs.has(type.name) || type.name === "bpf_spin_lock") return;
    for (const member of type.members) add(member.typeId);
    if (type.name) structs.set(type.name, type);
  };

  for (const { typeId } of btf.section(".maps")) {
    for (const part of members(btf, typeId)) {
      if (part.name !== "key" && part.name !== "value") continue;
      const pointer = btf.resolve(part.typeId);
      if (pointer.kind === "pointer") add(pointer.typeId);
    }
  }
  for (const { typeId } of btf.section(TYPES_SECTION)) {
    for (const member of members(btf, typeId)) add(member.typeId);
  }
  return { structs: byName(structs), enums: byName(enums) };
}

/** The members of a section variable's struct. */
function members(btf: Btf, variableId: number): readonly BtfMember[] {
  const variable = btf.type(variableId);
  if (variable.kind !== "variable") return [];
  const struct = btf.resolve(variable.typeId);
  return struct.kind === "struct" ? struct.members : [];
}

function byName<T>(types: ReadonlyMap<string, T>): T[] {
  return [...types.keys()].sort().flatMap((name) => types.get(name) ?? []);
}
