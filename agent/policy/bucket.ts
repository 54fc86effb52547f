import { ACTION, type CompiledEntry, DIRECTION, type Direction } from "./entries.ts";
import { ALL_PORTS, type PortKey, unpackPortKey, widerKeys } from "./port_keys.ts";
import type { Origin } from "./rule_state.ts";

/** Receives the entries that a bucket puts out and takes back. */
export interface EntrySink {
  put(entry: CompiledEntry): void;
  remove(entry: CompiledEntry): void;
}

/** What is allowed between a selected identity and one peer. */
interface Cell {
  /** Every allowed combination with all the origins that allow it. */
  readonly allowed: Map<PortKey, Set<Origin>>;
  /** Those of them that no wider one makes superfluous. */
  readonly emitted: Map<PortKey, CompiledEntry>;
}

const ANY_PEER = 0;

/**
 * The allowed combinations of one selected identity in one direction. Policies only ever allow, so a
 * combination that a wider one covers needs no entry of its own; it gets it back when the wider one
 * goes.
 */
export class Bucket {
  readonly direction: Direction;
  /** The selected identity. */
  readonly selected: number;
  readonly #cells = new Map<number, Cell>();
  readonly #dirty = new Set<number>();
  /** Whether its entries are out. */
  #active = false;

  constructor(direction: Direction, selected: number) {
    this.direction = direction;
    this.selected = selected;
  }

  /** Adds an origin to combinations with a peer (0 = any). */
  allow(peer: number, ports: readonly PortKey[], origin: Origin): void {
    if (ports.length === 0) return;
    const cell = this.#cell(peer);
    for (const port of ports) {
      const origins = cell.allowed.get(port);
      if (origins === undefined) cell.allowed.set(port, new Set([origin]));
      else origins.add(origin);
    }
    this.#dirty.add(peer);
  }

  /** Takes an origin from combinations with a peer. */
  withdraw(peer: number, ports: readonly PortKey[], origin: Origin): void {
    const cell = this.#cells.get(peer);
    if (cell === undefined) return;
    for (const port of ports) {
      const origins = cell.allowed.get(port);
      if (origins?.delete(origin) && origins.size === 0) cell.allowed.delete(port);
    }
    this.#dirty.add(peer);
  }

  /** Puts the entries out, or brings them up to date. */
  flush(sink: EntrySink): void {
    // What any peer may do decides what is superfluous at each peer.
    const all = !this.#active || this.#dirty.has(ANY_PEER);
    const touched = all ? [...this.#cells.keys()] : [...this.#dirty];
    this.#active = true;
    for (const peer of touched) {
      const cell = this.#cells.get(peer);
      if (cell === undefined) continue;
      this.#emit(peer, cell, sink);
      if (cell.allowed.size === 0) this.#cells.delete(peer);
    }
    this.#dirty.clear();
  }

  /** Takes all entries back until the next flush. */
  retract(sink: EntrySink): void {
    if (!this.#active) return;
    this.#active = false;
    for (const [peer, { allowed, emitted }] of this.#cells) {
      for (const entry of emitted.values()) sink.remove(entry);
      emitted.clear();
      if (allowed.size === 0) this.#cells.delete(peer);
    }
    this.#dirty.clear();
  }

  /** Every combination, with its origins; `effective` when it has an entry of its own. */
  *combinations(): Generator<
    { peer: number; port: PortKey; origins: ReadonlySet<Origin>; effective: boolean }
  > {
    for (const [peer, cell] of this.#cells) {
      for (const [port, origins] of cell.allowed) {
        yield { peer, port, origins, effective: cell.emitted.has(port) };
      }
    }
  }

  #cell(peer: number): Cell {
    const existing = this.#cells.get(peer);
    if (existing !== undefined) return existing;
    const cell: Cell = { allowed: new Map(), emitted: new Map() };
    this.#cells.set(peer, cell);
    return cell;
  }

  #emit(peer: number, cell: Cell, sink: EntrySink): void {
    const any = peer === ANY_PEER ? undefined : this.#cells.get(ANY_PEER)?.allowed;
    for (const [port, entry] of cell.emitted) {
      if (cell.allowed.has(port) && !isCovered(port, cell.allowed, any)) continue;
      cell.emitted.delete(port);
      sink.remove(entry);
    }
    for (const [port, origins] of cell.allowed) {
      if (isCovered(port, cell.allowed, any)) continue;
      const before = cell.emitted.get(port);
      const ruleId = firstRule(origins);
      if (before?.ruleId === ruleId) continue;
      const entry = this.#entry(peer, port, ruleId);
      cell.emitted.set(port, entry);
      sink.put(entry);
    }
  }

  #entry(peer: number, key: PortKey, ruleId: number): CompiledEntry {
    const { protocol, port, prefixLen } = unpackPortKey(key);
    const ingress = this.direction === "ingress";
    return Object.freeze({
      srcIdentity: ingress ? peer : this.selected,
      dstIdentity: ingress ? this.selected : peer,
      protocol,
      dstPort: port,
      portPrefixLen: prefixLen === 16 ? 0 : prefixLen,
      action: ACTION.allow,
      direction: DIRECTION[this.direction],
      isolation: false,
      ruleId,
    });
  }
}

function isCovered(
  port: PortKey,
  own: ReadonlyMap<PortKey, unknown>,
  any: ReadonlyMap<PortKey, unknown> | undefined,
): boolean {
  if (any?.has(port)) return true;
  if (port === ALL_PORTS || (own.size === 1 && any === undefined)) return false;
  return widerKeys(port).some((wider) => own.has(wider) || any?.has(wider) === true);
}

/** The entry is named after one rule; by name, so that the order of changes does not matter. */
function firstRule(origins: ReadonlySet<Origin>): number {
  let first: Origin | undefined;
  for (const origin of origins) {
    if (first === undefined || origin.rule.name < first.rule.name) first = origin;
  }
  return first?.rule.id ?? 0;
}
