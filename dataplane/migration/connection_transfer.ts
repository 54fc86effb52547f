/** Connections on their way from the table of an older layout, whatever kind of map that was. */

import { ConversionError, type Converter, converter } from "../../shared/btf/convert.ts";
import type { Shape } from "../../shared/btf/shape.ts";
import type { BpfProgram } from "../../shared/ffi/bpf.ts";
import { MapType } from "../../shared/ffi/bpf.ts";
import { SysError } from "../../shared/ffi/errno.ts";
import { ConnectionArgsLayout, ConnectionOperation } from "../../shared/gen/abi.ts";
import { viewOf } from "../maps/bytes.ts";
import {
  type LaidOutMap,
  MigrationError,
  type Transfer,
  type TransferCount,
} from "./map_transfer.ts";

type Struct = Extract<Shape, { kind: "struct" }>;

/** Counted by the old programs until their end, so that `drain` brings them, and `fill` does not. */
const COUNTERS: ReadonlySet<string> = new Set(["bytes", "packets"]);
const EEXIST = 17;
/** What a table says that has no room: a hash, and the groups of an array. */
const NO_ROOM: ReadonlySet<number> = new Set([7, 12, 16]);

/** From one map that holds connections into the table. Owns the old map's descriptor. */
export class ConnectionTransfer implements Transfer {
  readonly name: string;
  readonly role = "live";
  readonly #from: LaidOutMap;
  readonly #program: BpfProgram;
  readonly #copy: Reader;
  readonly #whole: Reader;

  /**
   * @param entry `struct conntrack_entry` of this program.
   * @param program `connection`; stays the caller's.
   * @throws MigrationError when a member has no place in the new layout
   */
  constructor(name: string, from: LaidOutMap, entry: Shape, program: BpfProgram) {
    this.name = name;
    this.#from = from;
    this.#program = program;
    try {
      this.#copy = readerOf(from, entry, COUNTERS);
      this.#whole = readerOf(from, entry, new Set());
    } catch (error) {
      if (!(error instanceof ConversionError)) throw error;
      throw new MigrationError(from.path, error.message, { cause: error });
    }
  }

  /** Copies the connections that the table has not. @throws SysError */
  fill(): TransferCount {
    return this.#all(this.#copy, ConnectionOperation.CONNECTION_COPY, false);
  }

  /** Brings what the old programs did since `fill`, and forgets it in the old map. @throws SysError */
  drain(): TransferCount {
    return this.#all(this.#whole, ConnectionOperation.CONNECTION_MERGE, true);
  }

  [Symbol.dispose](): void {
    this.#from.map.close();
  }

  #all(read: Reader, operation: number, forget: boolean): TransferCount {
    const { map, layout } = this.#from;
    const { keySize } = map.info();
    const isArray = layout.type === MapType.ARRAY;
    const free = new Uint8Array(map.valueBytes);
    const ctxIn = new Uint8Array(ConnectionArgsLayout.size);
    let moved = 0;
    let refused = 0;
    for (const { keys, values, count } of map.batches()) {
      const [keyView, valueView] = [viewOf(keys), viewOf(values)];
      for (let i = 0; i < count; i++) {
        ctxIn.fill(0);
        read(keyView, i * keySize, valueView, i * map.valueBytes, viewOf(ctxIn));
        // A free slot, or one that was being filled: the address of an end is never 0.
        if (viewOf(ctxIn).getUint32(ConnectionArgsLayout.entry, true) === 0) continue;
        viewOf(ctxIn).setUint32(ConnectionArgsLayout.operation, operation, true);
        if (this.#call(ctxIn)) moved++;
        else refused++;
        if (forget && isArray) map.update(keys.subarray(i * keySize, (i + 1) * keySize), free);
      }
      if (forget && !isArray) map.deleteBatch(keys, count);
    }
    return { moved, refused };
  }

  /** @returns false when there is no room @throws SysError */
  #call(ctxIn: Uint8Array<ArrayBuffer>): boolean {
    const error = -(this.#program.testRun({ ctxIn }).retval | 0);
    if (error === 0 || error === EEXIST) return true;
    if (NO_ROOM.has(error)) return false;
    throw new SysError("transfer of a connection", error);
  }
}

/** Writes the entry of one element to the begin of `to`. */
type Reader = (
  keys: DataView,
  keyAt: number,
  values: DataView,
  valueAt: number,
  to: DataView,
) => void;

/** The value is an entry or has one as its member; an entry without a key in it is that of the map's key. */
function readerOf({ layout, path }: LaidOutMap, entry: Shape, omit: ReadonlySet<string>): Reader {
  if (layout.key === undefined || layout.value === undefined) {
    throw new MigrationError(path, "it has no type information (BTF)");
  }
  const inner = memberOf(layout.value, "entry");
  const oldEntry = inner?.shape ?? layout.value;
  const offset = inner?.offset ?? 0;
  const convert = converter(oldEntry, entry, { omit });
  const convertKey = memberOf(oldEntry, "key") === undefined
    ? keyConverter(layout.key, entry)
    : undefined;
  return (keys, keyAt, values, valueAt, to) => {
    convert(values, valueAt + offset, to, ConnectionArgsLayout.entry);
    convertKey?.(keys, keyAt, to, ConnectionArgsLayout.entry);
  };
}

function keyConverter(oldKey: Shape, entry: Shape): Converter {
  const key = memberOf(entry, "key");
  if (key === undefined) throw new ConversionError("key", "has no place in an entry");
  const convert = converter(oldKey, key.shape, { isKey: true });
  return (from, fromAt, to, toAt) => convert(from, fromAt, to, toAt + key.offset);
}

function memberOf(shape: Shape, name: string): Struct["members"][number] | undefined {
  return shape.kind === "struct" ? shape.members.find((member) => member.name === name) : undefined;
}
