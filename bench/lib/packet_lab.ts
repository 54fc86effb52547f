import { type BpfMap, BpfObject, type BpfProgram } from "../../shared/ffi/bpf.ts";
import { inNetns } from "../../shared/netns/mod.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { bpfObject } from "./tools.ts";

const CTX_SIZE = 192;
const CTX_INGRESS_IFINDEX = 36;
const CTX_IFINDEX = 40;
/** Offsets in struct vary_settings of bench/bpf/vary.bpf.c. */
const SETTINGS = { order: 0, flows: 4, next: 8, ttlProtocol: 12, addresses: 16, size: 28 } as const;

/** How the flows of a run's packets follow each other. */
export type FlowOrder =
  | { readonly kind: "random"; readonly flows: number }
  | { readonly kind: "sequence"; readonly first: number };

/** A packet, and where it is seen. */
export interface SeenPacket {
  /** IPv4 without options, with ports; both ports are set anew for each run. */
  readonly frame: Uint8Array;
  readonly ifindex: number;
  readonly ingressIfindex?: number;
}

/** Runs a program of the datapath on many packets in the kernel, by bench/bpf/vary.bpf.c. */
export class PacketLab implements Disposable {
  readonly #netns: Pick<LabNetns, "path">;
  readonly #stack: DisposableStack;
  readonly #vary: BpfProgram;
  readonly #empty: BpfProgram;
  readonly #target: BpfMap;
  readonly #settings: BpfMap;

  private constructor(netns: Pick<LabNetns, "path">, elf: Uint8Array) {
    using stack = new DisposableStack();
    using object = BpfObject.open(elf);
    object.load();
    this.#vary = stack.use(object.program("vary"));
    this.#empty = stack.use(object.program("empty"));
    this.#target = stack.use(object.map("TARGET"));
    this.#settings = stack.use(object.map("SETTINGS"));
    this.#netns = netns;
    this.#stack = stack.move();
  }

  /** @param netns where the interfaces are that packets are seen on @throws {SysError} */
  static async create(netns: Pick<LabNetns, "path">): Promise<PacketLab> {
    return new PacketLab(netns, await bpfObject("vary"));
  }

  /** Nanoseconds that an empty tc program takes. */
  emptyNs({ frame }: SeenPacket, repeat: number): number {
    return this.#empty.testRun({ dataIn: frame, repeat }).durationNs;
  }

  /**
   * Nanoseconds that a program takes on packets of many flows, of which each comes whole: what making them takes is
   * measured with the empty program in its place and taken off.
   * @returns nanoseconds, and what the program returned last
   */
  programNs(
    program: BpfProgram,
    packet: SeenPacket,
    order: FlowOrder,
    repeat: number,
  ): { ns: number; retval: number } {
    const base = this.#run(this.#empty, packet, order, repeat);
    const { durationNs, retval } = this.#run(program, packet, order, repeat);
    return { ns: durationNs - base.durationNs + this.emptyNs(packet, repeat), retval };
  }

  /** Sends one packet of each flow from `first` on through a program. @returns what it returned last */
  once(program: BpfProgram, packet: SeenPacket, first: number, flows: number): number {
    return this.#run(program, packet, { kind: "sequence", first }, flows).retval;
  }

  #run(program: BpfProgram, packet: SeenPacket, order: FlowOrder, repeat: number) {
    this.#target.update(new Uint8Array(4), new Uint8Array(new Int32Array([program.fd]).buffer));
    this.#settings.update(new Uint8Array(4), settings(packet.frame, order));
    const ctxIn = new Uint8Array(CTX_SIZE);
    const view = new DataView(ctxIn.buffer);
    view.setUint32(CTX_IFINDEX, packet.ifindex, true);
    view.setUint32(CTX_INGRESS_IFINDEX, packet.ingressIfindex ?? 0, true);
    return inNetns(
      this.#netns.path,
      () => this.#vary.testRun({ dataIn: packet.frame, ctxIn, repeat }),
    );
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

function settings(frame: Uint8Array, order: FlowOrder): Uint8Array {
  const bytes = new Uint8Array(SETTINGS.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(SETTINGS.order, order.kind === "random" ? 0 : 1, true);
  if (order.kind === "random") view.setUint32(SETTINGS.flows, order.flows, true);
  else view.setUint32(SETTINGS.next, order.first, true);
  bytes.set(frame.subarray(22, 26), SETTINGS.ttlProtocol);
  bytes.set(frame.subarray(0, 12), SETTINGS.addresses);
  return bytes;
}

const CLEARED_AT_ONCE = 65_536;

/** Forgets all connections. @param map gives a map by its name in maps.h */
export function clearConnections(map: (name: string) => BpfMap): void {
  const slots = map("CONNTRACK");
  const { maxEntries, valueSize } = slots.info();
  const free = new Uint8Array(CLEARED_AT_ONCE * valueSize);
  for (let first = 0; first < maxEntries; first += CLEARED_AT_ONCE) {
    const count = Math.min(CLEARED_AT_ONCE, maxEntries - first);
    const keys = Uint32Array.from({ length: count }, (_, index) => first + index);
    slots.updateBatch(new Uint8Array(keys.buffer), free.subarray(0, count * valueSize), count);
  }
  const more = map("CONNTRACK_MORE");
  for (;;) {
    const { keys, count } = more.lookupBatch(undefined, CLEARED_AT_ONCE);
    if (count === 0) break;
    more.deleteBatch(keys, count);
  }
  map("CONNTRACK_MORE_COUNT").update(new Uint8Array(4), new Uint8Array(8));
}
