/** What a map is made of: as an object describes it, and as the kernel keeps it of a pinned one. */

import { type BpfMap, type MapSpec, MapType, readBtf } from "../../shared/ffi/bpf.ts";
import { Btf } from "../../shared/btf/btf.ts";
import { type Shape, shapeOf, shapeText } from "../../shared/btf/shape.ts";

/** Everything of a map that its contents depend on. */
export interface MapLayout {
  /** One of MapType. */
  readonly type: number;
  readonly flags: number;
  /** Undefined where neither the map nor the object says: in a ring buffer. */
  readonly key: Shape | undefined;
  /** Of a ring buffer: its records. */
  readonly value: Shape | undefined;
  /** Of an array that has one size; other maps are sized by flags. */
  readonly slots: number | undefined;
}

/** Structs that no map's value names: what the records of a ring buffer are. */
const RECORDS: Readonly<Record<string, string>> = { FLOW_EVENTS: "flow_event" };

/** The layouts of the maps of an object, of pinned ones, and of those that are pinned beside them. */
export class MapLayouts {
  readonly #object: Btf;
  readonly #kernel = new Map<number, Btf>();

  /** @param elf The object. @throws ObjectFormatError */
  constructor(elf: Uint8Array) {
    this.#object = Btf.ofObject(elf);
  }

  /** As the object has it. @throws ObjectFormatError */
  ofObject(spec: MapSpec): MapLayout {
    const members = this.#members(spec.name);
    const shape = (part: string) => {
      const found = members.find(({ name }) => name === part);
      const pointer = found && this.#object.resolve(found.typeId);
      return pointer?.kind === "pointer" ? shapeOf(this.#object, pointer.typeId) : undefined;
    };
    return {
      type: spec.type,
      flags: spec.flags,
      key: shape("key"),
      value: shape("value") ?? recordOf(this.#object, spec.name),
      slots: slotsOf(spec.name, spec.type, spec.maxEntries),
    };
  }

  /**
   * As the kernel has it.
   *
   * @param name In maps.h.
   * @param neighbours Maps of the same layout version, whose types are the ring buffer's too.
   * @throws SysError, ObjectFormatError
   */
  ofPinned(name: string, map: BpfMap, neighbours: Iterable<BpfMap>): MapLayout {
    const { type, flags, maxEntries, btf } = map.info();
    const types = btf && this.#types(btf.id);
    const shape = (id: number) => types && id !== 0 ? shapeOf(types, id) : undefined;
    return {
      type,
      flags,
      key: shape(btf?.keyTypeId ?? 0),
      value: shape(btf?.valueTypeId ?? 0) ?? this.#pinnedRecord(name, neighbours),
      slots: slotsOf(name, type, maxEntries),
    };
  }

  #pinnedRecord(name: string, neighbours: Iterable<BpfMap>): Shape | undefined {
    if (RECORDS[name] === undefined) return undefined;
    for (const neighbour of neighbours) {
      const id = neighbour.info().btf?.id;
      if (id !== undefined) return recordOf(this.#types(id), name);
    }
    return undefined;
  }

  #types(id: number): Btf {
    let types = this.#kernel.get(id);
    if (types === undefined) this.#kernel.set(id, types = new Btf(readBtf(id)));
    return types;
  }

  #members(map: string) {
    for (const { typeId } of this.#object.section(".maps")) {
      const variable = this.#object.type(typeId);
      if (variable.kind !== "variable" || variable.name !== map) continue;
      const struct = this.#object.resolve(variable.typeId);
      if (struct.kind === "struct") return struct.members;
    }
    return [];
  }
}

/** The same text for the same layout, and no other. Pure. */
export function layoutText({ type, flags, key, value, slots }: MapLayout): string {
  const parts = [key, value].map((shape) => shape === undefined ? "unknown" : shapeText(shape));
  const size = slots === undefined ? "" : `, ${slots} slots`;
  return `type ${type}, flags ${flags}, key ${parts[0]}, value ${parts[1]}${size}`;
}

function recordOf(types: Btf, map: string): Shape | undefined {
  const struct = RECORDS[map];
  const typeId = types.types.findIndex((type) => type.kind === "struct" && type.name === struct);
  return struct === undefined || typeId < 0 ? undefined : shapeOf(types, typeId);
}

function slotsOf(name: string, type: number, maxEntries: number): number | undefined {
  const isArray = type === MapType.ARRAY || type === MapType.PERCPU_ARRAY;
  return isArray && name !== "CONNTRACK" ? maxEntries : undefined;
}
