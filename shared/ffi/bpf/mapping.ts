/** Memory that a map shares with this process. */
import { check } from "../errno.ts";
import { shim } from "../library.ts";

/** mmap(2): may be read. */
export const PROT_READ = 1;
/** mmap(2): may be written. */
export const PROT_WRITE = 2;
const MAP_SHARED = 1;

/** Mapped memory as an ArrayBuffer that is taken back before the memory goes. */
export class Mapping {
  /** The memory. */
  readonly buffer: ArrayBuffer;
  readonly #address: Deno.PointerObject;

  /** @param fd a map's; may be closed afterwards @throws SysError */
  constructor(fd: number, readonly size: number, protection: number, offset: number) {
    const out = new BigUint64Array(1);
    const result = shim().nv_mmap(fd, BigInt(size), protection, MAP_SHARED, BigInt(offset), out);
    check("mmap of a map", result);
    const address = Deno.UnsafePointer.create(out[0] ?? 0n);
    if (!address) throw new TypeError("mmap gave a null pointer");
    this.#address = address;
    this.buffer = Deno.UnsafePointerView.getArrayBuffer(address, size);
  }

  /** Gives the memory back. @throws SysError */
  unmap(): void {
    // Detaches every view: one that somebody kept throws instead of reading what is not there.
    this.buffer.transfer(0);
    check("munmap", shim().nv_munmap(this.#address, BigInt(this.size)));
  }
}
