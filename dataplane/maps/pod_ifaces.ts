/**
 * POD_IFACES and POD_IFACES_MORE: what the programs on a host veth know of its pod. An interface that is
 * in neither is closed.
 */

import type { BpfMap } from "../../shared/ffi/bpf.ts";
import {
  type PodIfaceValue,
  PodIfaceValueCodec,
  PodIfaceValueLayout,
} from "../../shared/gen/abi.ts";
import { u32Key } from "./bytes.ts";

/** The pod behind a host veth: its address, identity and MAC, and the MAC of the host's end. */
export type PodIface = PodIfaceValue;

/** An array by interface index modulo its size, and a hash for the interfaces that share a slot. */
export class PodIfacesMap {
  readonly #slots: BpfMap;
  readonly #more: BpfMap;

  /** @param slots POD_IFACES. @param more POD_IFACES_MORE. Both stay the caller's. */
  constructor(slots: BpfMap, more: BpfMap) {
    this.#slots = slots;
    this.#more = more;
  }

  /** Interfaces that may share their slot with another. */
  get overflowCapacity(): number {
    return this.#more.info().maxEntries;
  }

  /** All interfaces that are open. @throws SysError */
  *entries(): Generator<PodIface> {
    for (const map of [this.#slots, this.#more]) {
      for (const { values, count } of map.batches()) {
        const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
        // Tens of thousands of slots, nearly all empty: decoding them took longer than all else of a restart.
        for (let at = 0; at < count * map.valueBytes; at += map.valueBytes) {
          if (view.getUint32(at + PodIfaceValueLayout.ifindex, true) === 0) continue;
          yield PodIfaceValueCodec.read(view, at);
        }
      }
    }
  }

  /** What an interface has. @throws SysError */
  get(ifindex: number): PodIface | undefined {
    for (const [map, key] of [[this.#slots, this.#slot(ifindex)], [this.#more, ifindex]] as const) {
      const value = map.lookup(u32Key(key));
      if (value === undefined) continue;
      const iface = PodIfaceValueCodec.decode(value);
      if (iface.ifindex === ifindex) return iface;
    }
    return undefined;
  }

  /** Opens an interface, or replaces what it has. @throws SysError E2BIG when too many share slots */
  set(iface: PodIface): void {
    const slot = u32Key(this.#slot(iface.ifindex));
    const holder = this.#slots.lookup(slot);
    const holderIfindex = holder === undefined ? 0 : PodIfaceValueCodec.decode(holder).ifindex;
    if (holderIfindex === 0 || holderIfindex === iface.ifindex) {
      this.#slots.update(slot, PodIfaceValueCodec.encode(iface));
      this.#more.delete(u32Key(iface.ifindex));
    } else this.#more.update(u32Key(iface.ifindex), PodIfaceValueCodec.encode(iface));
  }

  /** Closes an interface, if it is open. @throws SysError */
  delete(ifindex: number): void {
    this.#more.delete(u32Key(ifindex));
    const slot = u32Key(this.#slot(ifindex));
    const holder = this.#slots.lookup(slot);
    if (holder === undefined || PodIfaceValueCodec.decode(holder).ifindex !== ifindex) return;
    this.#slots.update(slot, new Uint8Array(PodIfaceValueCodec.size));
  }

  #slot(ifindex: number): number {
    return ifindex % this.#slots.info().maxEntries;
  }
}
