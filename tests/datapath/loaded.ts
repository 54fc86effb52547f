/** The shipped object in the kernel. Loading it takes most of a packet table's time, so it is used again, emptied. */
import { readAsset } from "../../shared/ffi/assets.ts";
import {
  type BpfMap,
  BpfObject,
  type BpfProgram,
  MapType,
  RingBuffer,
} from "../../shared/ffi/bpf.ts";

const SIZES = { CONNTRACK: 4096, CONNTRACK_MORE: 1024 };
const ARRAYS: ReadonlySet<number> = new Set([MapType.ARRAY, MapType.PERCPU_ARRAY]);

/** Maps and programs of one load, by their names. */
export class LoadedObject implements Disposable {
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  readonly ring: RingBuffer;
  readonly #resources: DisposableStack;

  /** @throws {SysError} */
  constructor(sizes: Readonly<Record<string, number>>) {
    using stack = new DisposableStack();
    using object = BpfObject.open(readAsset("datapath.bpf.o"));
    for (const [map, entries] of Object.entries({ ...SIZES, ...sizes })) {
      object.setMaxEntries(map, entries);
    }
    object.load();
    this.maps = new Map(object.maps().map((name) => [name, stack.use(object.map(name))]));
    this.programs = new Map(
      object.programs().map((name) => [name, stack.use(object.program(name))]),
    );
    this.ring = stack.use(new RingBuffer(this.maps.get("FLOW_EVENTS") as BpfMap));
    this.#resources = stack.move();
  }

  /** Makes all maps as they were when they were new. @throws {SysError} */
  empty(): void {
    this.ring.consume(() => {});
    for (const map of this.maps.values()) {
      const { type, maxEntries } = map.info();
      if (type === MapType.RINGBUF) continue;
      if (ARRAYS.has(type)) zero(map, maxEntries);
      else for (const key of [...map.keys()]) map.delete(key);
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

function zero(map: BpfMap, entries: number): void {
  const keys = Uint32Array.from({ length: entries }, (_, index) => index);
  const values = new Uint8Array(entries * map.valueBytes);
  map.updateBatch(new Uint8Array(keys.buffer), values, entries);
}

let kept: LoadedObject | undefined;

/** An empty object with these sizes of maps, for `release`. @throws {SysError} */
export function acquire(sizes: Readonly<Record<string, number>>): LoadedObject {
  if (Object.keys(sizes).length > 0 || kept === undefined) return new LoadedObject(sizes);
  const object = kept;
  kept = undefined;
  return object;
}

/** Keeps the object for the next test of the file, if that can use it. @throws {SysError} */
export function release(object: LoadedObject, sizes: Readonly<Record<string, number>>): void {
  if (Object.keys(sizes).length > 0 || kept !== undefined) return object[Symbol.dispose]();
  object.empty();
  kept = object;
}
