/** eBPF maps by descriptor: elements, batches, pins. */
import { check, isErrno, SysError } from "../errno.ts";
import { Fd } from "../fd.ts";
import { shim } from "../library.ts";
import { type Bytes, cString, exactly, fromCString } from "../memory.ts";
import { dup } from "../sys.ts";

/** update: create or replace. */
export const BPF_ANY = 0;
/** update: create only, else EEXIST. */
export const BPF_NOEXIST = 1;
/** update: replace only, else ENOENT. */
export const BPF_EXIST = 2;
/** update, lookup: hold the element's bpf_spin_lock. */
export const BPF_F_LOCK = 4;

/** Map types (enum bpf_map_type of linux/bpf.h) that NovaNet uses. */
export const MapType = {
  HASH: 1,
  ARRAY: 2,
  PROG_ARRAY: 3,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  LRU_HASH: 9,
  LRU_PERCPU_HASH: 10,
  LPM_TRIE: 11,
  ARRAY_OF_MAPS: 12,
  HASH_OF_MAPS: 13,
  RINGBUF: 27,
} as const;

const PER_CPU: ReadonlySet<number> = new Set([
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_PERCPU_HASH,
]);

const BATCH_ENTRIES = 4096;
const INFO_SIZE = 52;

/** What the kernel knows of a map. */
export interface MapInfo {
  readonly id: number;
  /** At most 15 characters. */
  readonly name: string;
  /** One of MapType. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Types that the map was made with (`readBtf`); undefined: without. */
  readonly btf: MapBtf | undefined;
}

/** Which types a map's elements have. */
export interface MapBtf {
  readonly id: number;
  /** 0: not told, as in a ring buffer. */
  readonly keyTypeId: number;
  readonly valueTypeId: number;
}

/** The shape of a map to be made. */
export interface MapShape extends Omit<MapInfo, "id" | "flags" | "btf"> {
  readonly flags?: number;
  /** For a map-in-map: a map of the shape that the values have. */
  readonly innerMapFd?: number;
}

/** Some elements of a map. */
export interface Batch {
  /** Keys, one after the other. */
  readonly keys: Bytes;
  /** Values, one after the other, each valueBytes long. */
  readonly values: Bytes;
  /** How many of each. */
  readonly count: number;
  /** For the next call; undefined: that was all. */
  readonly cursor: Bytes | undefined;
}

/** A batch that stopped at one element. */
export class BatchError extends SysError {
  /** @param done how many elements were done before the one that failed */
  constructor(op: string, errno: number, readonly done: number) {
    super(op, errno, `after ${done} elements`);
  }
}

/** How many values an element of a per-CPU map has. */
export function possibleCpus(): number {
  return check("possible CPUs", shim().nv_possible_cpus());
}

function readInfo(fd: number): MapInfo {
  const bytes = new Uint8Array(INFO_SIZE);
  check("map info", shim().nv_map_info(fd, bytes));
  const word = (index: number) => new DataView(bytes.buffer).getUint32(16 + 4 * index, true);
  return {
    name: fromCString(bytes.subarray(0, 16)),
    id: word(0),
    type: word(1),
    keySize: word(2),
    valueSize: word(3),
    maxEntries: word(4),
    flags: word(5),
    btf: word(6) === 0 ? undefined : { id: word(6), keyTypeId: word(7), valueTypeId: word(8) },
  };
}

/** The types (Documentation/bpf/btf.rst of Linux) that the kernel keeps under an id. @throws SysError */
export function readBtf(id: number): Bytes {
  const op = `types ${id}`;
  const size = check(op, shim().nv_btf_data(id, new Uint8Array(0), 0));
  const bytes = new Uint8Array(size);
  check(op, shim().nv_btf_data(id, bytes, size));
  return bytes;
}

/** A map; owns one descriptor of it. */
export class BpfMap implements Disposable {
  readonly #fd: Fd;
  readonly #info: MapInfo;
  /** Bytes of a value as user space sees it: in a per-CPU map those of all CPUs, each rounded up to 8. */
  readonly valueBytes: number;

  /** @param fd belongs to the map from here on, also when this throws @throws SysError */
  constructor(fd: Fd) {
    try {
      this.#info = readInfo(fd.fd);
    } catch (error) {
      fd.close();
      throw error;
    }
    this.#fd = fd;
    this.valueBytes = PER_CPU.has(this.#info.type)
      ? Math.ceil(this.#info.valueSize / 8) * 8 * possibleCpus()
      : this.#info.valueSize;
  }

  /** Makes a map. @throws SysError */
  static create(shape: MapShape): BpfMap {
    const { type, name, keySize, valueSize, maxEntries, flags = 0, innerMapFd = -1 } = shape;
    const fd = shim().nv_map_create(
      type,
      cString(name),
      keySize,
      valueSize,
      maxEntries,
      flags,
      innerMapFd,
    );
    return new BpfMap(new Fd(check(`create map ${name}`, fd), `map ${name}`));
  }

  /** @throws SysError ENOENT when nothing is pinned there */
  static openPinned(path: string): BpfMap {
    const fd = check(`open ${path}`, shim().nv_open_pinned(cString(path)));
    return new BpfMap(new Fd(fd, `map ${path}`));
  }

  /** @throws SysError ENOENT when there is no map of this id */
  static byId(id: number): BpfMap {
    return new BpfMap(new Fd(check(`map ${id}`, shim().nv_map_by_id(id)), `map ${id}`));
  }

  /** @throws UseAfterCloseError */
  get fd(): number {
    return this.#fd.fd;
  }

  /** At most 15 characters, as the kernel keeps it. */
  get name(): string {
    return this.#info.name;
  }

  /** What the kernel said of the map when it was opened: none of it changes. */
  info(): MapInfo {
    return this.#info;
  }

  /** Another descriptor of the same map. @throws SysError */
  dup(): BpfMap {
    return new BpfMap(dup(this.fd, `map ${this.name}`));
  }

  /**
   * @param flags BPF_F_LOCK reads the value under its spin lock
   * @returns the value (of all CPUs in a per-CPU map), undefined when there is no such key
   * @throws SysError
   */
  lookup(key: Uint8Array, flags = 0): Bytes | undefined {
    const value = new Uint8Array(this.valueBytes);
    return this.lookupInto(key, value, flags) ? value : undefined;
  }

  /** As lookup(), into a buffer of valueBytes. @returns whether the key is there @throws SysError */
  lookupInto(key: Uint8Array, value: Uint8Array, flags = 0): boolean {
    const result = shim().nv_map_lookup(
      this.fd,
      exactly("key", key, this.#info.keySize),
      exactly("value", value, this.valueBytes),
      flags,
    );
    if (result === 0) return true;
    const error = new SysError(`lookup in ${this.name}`, -result);
    if (error.code === "ENOENT") return false;
    throw error;
  }

  /**
   * @param flags BPF_ANY, BPF_NOEXIST or BPF_EXIST, or-ed with BPF_F_LOCK
   * @throws SysError E2BIG when the map is full, EEXIST, ENOENT
   */
  update(key: Uint8Array, value: Uint8Array, flags = BPF_ANY): void {
    const result = shim().nv_map_update(
      this.fd,
      exactly("key", key, this.#info.keySize),
      exactly("value", value, this.valueBytes),
      flags,
    );
    if (result !== 0) throw new SysError(`update of ${this.name}`, -result);
  }

  /** @returns whether the key was there @throws SysError */
  delete(key: Uint8Array): boolean {
    const result = shim().nv_map_delete(this.fd, exactly("key", key, this.#info.keySize));
    if (result === 0) return true;
    const error = new SysError(`delete in ${this.name}`, -result);
    if (error.code === "ENOENT") return false;
    throw error;
  }

  /**
   * Reads some elements.
   * @param cursor of the batch before; undefined begins
   * @param count at most so many; a bucket of a hash that has more gives ENOSPC
   * @throws SysError ENOTSUPP for map types without batches
   */
  lookupBatch(cursor: Bytes | undefined, count: number, flags = 0): Batch {
    const keys = new Uint8Array(count * this.#info.keySize);
    const values = new Uint8Array(count * this.valueBytes);
    const next = new Uint8Array(Math.max(8, this.#info.keySize));
    const size = new Uint32Array([count]);
    const result = shim().nv_map_lookup_batch(
      this.fd,
      cursor ?? null,
      next,
      keys,
      values,
      size,
      flags,
    );
    const error = result === 0 ? undefined : new SysError(`batch of ${this.name}`, -result);
    if (error && error.code !== "ENOENT") throw error;
    const got = size[0] ?? 0;
    return {
      keys: keys.subarray(0, got * this.#info.keySize),
      values: values.subarray(0, got * this.valueBytes),
      count: got,
      cursor: error ? undefined : next,
    };
  }

  /**
   * Writes count elements in one system call.
   * @returns count
   * @throws BatchError: the elements before error.done are written
   */
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number, elemFlags = BPF_ANY): number {
    if (count === 0) return 0;
    const size = new Uint32Array([count]);
    const result = shim().nv_map_update_batch(
      this.fd,
      exactly("keys", keys, count * this.#info.keySize),
      exactly("values", values, count * this.valueBytes),
      size,
      elemFlags,
    );
    if (result === 0) return count;
    throw new BatchError(`batch update of ${this.name}`, -result, size[0] ?? 0);
  }

  /** Deletes elements; keys that are not there are passed over. @returns how many were @throws BatchError */
  deleteBatch(keys: Uint8Array, count: number): number {
    const { keySize } = this.#info;
    const all = exactly("keys", keys, count * keySize);
    let deleted = 0;
    for (let at = 0; at < count;) {
      const size = new Uint32Array([count - at]);
      const result = shim().nv_map_delete_batch(this.fd, all.subarray(at * keySize), size);
      const done = size[0] ?? 0;
      deleted += done;
      if (result === 0) return deleted;
      const error = new BatchError(`batch delete in ${this.name}`, -result, at + done);
      if (error.code !== "ENOENT") throw error;
      at += done + 1;
    }
    return deleted;
  }

  /**
   * All keys and values. In a map that changes meanwhile an element may be missed or come twice.
   * @throws SysError
   */
  *entries(): Generator<readonly [key: Bytes, value: Bytes]> {
    const { keySize } = this.#info;
    for (const { keys, values, count } of this.batches()) {
      for (let i = 0; i < count; i++) {
        yield [
          keys.subarray(i * keySize, (i + 1) * keySize),
          values.subarray(i * this.valueBytes, (i + 1) * this.valueBytes),
        ];
      }
    }
  }

  /** All keys, as entries() finds them. @throws SysError */
  *keys(): Generator<Bytes> {
    for (const [key] of this.entries()) yield key;
  }

  /** All elements, in few system calls. @throws SysError */
  *batches(): Generator<Batch> {
    let cursor: Bytes | undefined;
    for (let room = BATCH_ENTRIES;;) {
      try {
        const batch = this.lookupBatch(cursor, room);
        yield batch;
        cursor = batch.cursor;
        if (!cursor) return;
      } catch (error) {
        // A bucket with more elements than there is room for.
        if (!isErrno(error, "ENOSPC") || room > this.#info.maxEntries) throw error;
        room *= 2;
      }
    }
  }

  /** Keeps the map alive at a path of a bpffs. @throws SysError EEXIST when something is there */
  pin(path: string): void {
    check(`pin ${path}`, shim().nv_pin(this.fd, cString(path)));
  }

  /** User space can change the map no more. @throws SysError */
  freeze(): void {
    check(`freeze ${this.name}`, shim().nv_map_freeze(this.fd));
  }

  /** Closes the descriptor; the kernel frees the map with its last user. */
  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
