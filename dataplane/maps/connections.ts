/** The table of connections: CONNTRACK and CONNTRACK_MORE, as bpf/lib/conntrack_table.h keeps them. */

import type { BpfMap, BpfProgram } from "../../shared/ffi/bpf.ts";
import { SysError } from "../../shared/ffi/errno.ts";
import {
  ConnectionArgsCodec,
  ConnectionArgsLayout,
  ConnectionOperation,
  type ConntrackEntry,
  ConntrackEntryCodec,
  ConntrackEntryLayout,
  ConntrackGroup,
  type ConntrackKey,
  ConntrackKeyCodec,
} from "../../shared/gen/abi.ts";
import { u32Key, viewOf } from "./bytes.ts";

const ENOENT = 2;

/** How many slots each of the two maps has, for so many connections in all. */
export interface ConnectionSizes {
  /** CONNTRACK: a whole number of groups. */
  readonly slots: number;
  /** CONNTRACK_MORE: connections whose group is full. */
  readonly more: number;
}

/**
 * Three quarters of the connections are in groups; with those full to nine tenths, a quarter of all had to go
 * elsewhere. Pure.
 */
export function connectionSizes(connections: number): ConnectionSizes {
  const { CONNTRACK_WAYS } = ConntrackGroup;
  const slots = Math.max(1, Math.floor(connections * 3 / 4 / CONNTRACK_WAYS)) * CONNTRACK_WAYS;
  return { slots, more: Math.max(1, connections - slots) };
}

/** Reads the table. The program `connection` searches it, and nothing is kept here. */
export class Connections {
  readonly #slots: BpfMap;
  readonly #more: BpfMap;
  readonly #moreCount: BpfMap;
  readonly #program: BpfProgram;
  /** Connections that the table has room for, if they share their groups evenly. */
  readonly capacity: number;

  /** @param map gives a map by its name in maps.h @param program `connection`; all stay the caller's */
  constructor(map: (name: string) => BpfMap, program: BpfProgram) {
    this.#slots = map("CONNTRACK");
    this.#more = map("CONNTRACK_MORE");
    this.#moreCount = map("CONNTRACK_MORE_COUNT");
    this.#program = program;
    this.capacity = this.#slots.info().maxEntries + this.#more.info().maxEntries;
  }

  /** Whether a new connection whose group is full is refused. @throws SysError */
  get isFull(): boolean {
    const count = this.#moreCount.lookup(u32Key(0));
    return count !== undefined &&
      viewOf(count).getBigUint64(0, true) >= this.#more.info().maxEntries;
  }

  /** @throws SysError */
  find(key: ConntrackKey): ConntrackEntry | undefined {
    const ctxIn = new Uint8Array(ConnectionArgsLayout.size);
    ctxIn.set(ConntrackKeyCodec.encode(key), ConnectionArgsLayout.entry);
    viewOf(ctxIn).setUint32(
      ConnectionArgsLayout.operation,
      ConnectionOperation.CONNECTION_FIND,
      true,
    );
    const { retval, ctxOut } = this.#program.testRun({ ctxIn });
    const error = -(retval | 0);
    if (error === ENOENT) return undefined;
    if (error !== 0) throw new SysError("search for a connection", error);
    return ConnectionArgsCodec.decode(ctxOut).entry;
  }

  /** All connections, in slices, so that a large table does not keep others waiting. @throws SysError */
  *slices(): Generator<Generator<ConntrackEntry>> {
    for (const map of [this.#slots, this.#more]) {
      for (const { values, count } of map.batches()) {
        yield entriesOf(viewOf(values), count, map.valueBytes);
      }
    }
  }
}

function* entriesOf(values: DataView, count: number, size: number): Generator<ConntrackEntry> {
  for (let at = 0; at < count * size; at += size) {
    // Free, or being filled. Both maps' values begin with the entry.
    if (values.getUint32(at + ConntrackEntryLayout.key, true) === 0) continue;
    yield ConntrackEntryCodec.read(values, at);
  }
}
