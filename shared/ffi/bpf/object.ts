/** A compiled eBPF object on its way into the kernel. */
import { SysError, UseAfterCloseError } from "../errno.ts";
import { shim } from "../library.ts";
import { cString, exactly, fromCString, lend } from "../memory.ts";
import { dup } from "../sys.ts";
import { BpfMap } from "./map.ts";
import { checkLibbpf, takeLog } from "./message.ts";
import { BpfProgram } from "./program.ts";

const MAP_SPEC_SIZE = 88;
const NAME_SIZE = 64;
const LOG_MARK = "PROG LOAD LOG";

/** The verifier refused a program. */
export class VerifierError extends SysError {
  /** @param log what libbpf and the verifier wrote, the end of it when it is long */
  constructor(object: string, errno: number, readonly log: string) {
    super(`load ${object}`, errno, log);
  }
}

/** A map as an object describes it. */
export interface MapSpec {
  readonly name: string;
  /** One of MapType. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** An object opened by libbpf; owns the programs and maps that load() makes until they are taken out. */
export class BpfObject implements Disposable {
  #handle: Deno.PointerObject | null;
  readonly #name: string;

  private constructor(handle: Deno.PointerObject, name: string) {
    this.#handle = handle;
    this.#name = name;
  }

  /**
   * Reads an object; nothing of it is in the kernel yet.
   * @param elf copied
   * @throws SysError when it is no eBPF object
   */
  static open(elf: Uint8Array, { name = "novanet" }: { name?: string } = {}): BpfObject {
    const out = new BigUint64Array(1);
    const result = shim().nv_object_open(lend(elf), elf.byteLength, cString(name), out);
    checkLibbpf(`open object ${name}`, result);
    const handle = Deno.UnsafePointer.create(out[0] ?? 0n);
    if (!handle) throw new SysError(`open object ${name}`, 22);
    return new BpfObject(handle, name);
  }

  get #object(): Deno.PointerObject {
    if (!this.#handle) throw new UseAfterCloseError(`object ${this.#name}`);
    return this.#handle;
  }

  /** The names of the maps, those of global data included. */
  maps(): string[] {
    return this.#specs().map(({ name }) => name);
  }

  /** The names of the programs. */
  programs(): string[] {
    const names: string[] = [];
    const name = new Uint8Array(NAME_SIZE);
    while (shim().nv_object_program_at(this.#object, names.length, name) === 0) {
      names.push(fromCString(name));
    }
    return names;
  }

  /** @throws SysError ENOENT when there is no such map */
  mapSpec(name: string): MapSpec {
    return this.#spec(name);
  }

  /** Changes a map's size before load(). @throws SysError */
  setMaxEntries(name: string, maxEntries: number): void {
    const result = shim().nv_object_set_max_entries(this.#object, cString(name), maxEntries);
    checkLibbpf(`size of map ${name}`, result);
  }

  /**
   * Has load() take an existing map instead of making one.
   * @param fd stays the caller's
   * @throws SysError
   */
  reuseMap(name: string, fd: number): void {
    checkLibbpf(
      `reuse map ${name}`,
      shim().nv_object_reuse_map(this.#object, cString(name), fd),
    );
  }

  /** The first contents of a global data section, such as `.rodata`. @throws SysError */
  initialValue(name: string): Uint8Array<ArrayBuffer> {
    const get = shim().nv_object_get_initial;
    const op = `contents of ${name}`;
    const size = checkLibbpf(op, get(this.#object, cString(name), new Uint8Array(0), 0));
    const bytes = new Uint8Array(size);
    checkLibbpf(op, get(this.#object, cString(name), bytes, size));
    return bytes;
  }

  /** Sets the first contents of a global data section before load(). @throws SysError, RangeError */
  setInitialValue(name: string, data: Uint8Array): void {
    const size = this.initialValue(name).byteLength;
    const bytes = exactly(`contents of ${name}`, data, size);
    const result = shim().nv_object_set_initial(this.#object, cString(name), bytes, size);
    checkLibbpf(`contents of ${name}`, result);
  }

  /** Whether load() loads this program; by default it loads all. @throws SysError */
  setAutoload(program: string, on: boolean): void {
    const result = shim().nv_object_set_autoload(this.#object, cString(program), on ? 1 : 0);
    checkLibbpf(`autoload of ${program}`, result);
  }

  /**
   * Makes the maps and loads the programs.
   * @throws VerifierError when the verifier refuses a program
   * @throws SysError when something else fails
   */
  load(): void {
    const result = shim().nv_object_load(this.#object);
    const log = takeLog();
    if (result >= 0) return;
    if (log.includes(LOG_MARK)) throw new VerifierError(this.#name, -result, log);
    throw new SysError(`load object ${this.#name}`, -result, log);
  }

  /** A loaded map, which outlives the object; the caller closes it. @throws SysError */
  map(name: string): BpfMap {
    return new BpfMap(dup(this.#spec(name).fd, `map ${name}`));
  }

  /** A loaded program, which outlives the object; the caller closes it. @throws SysError */
  program(name: string): BpfProgram {
    const fd = shim().nv_object_program_fd(this.#object, cString(name));
    return new BpfProgram(dup(checkLibbpf(`program ${name}`, fd), `program ${name}`));
  }

  #spec(name: string): MapSpec & { readonly fd: number } {
    const found = this.#specs().find((spec) => spec.name === name);
    if (found) return found;
    throw new SysError(`map ${name} of ${this.#name}`, 2);
  }

  #specs(): (MapSpec & { readonly fd: number })[] {
    const specs = [];
    const bytes = new Uint8Array(MAP_SPEC_SIZE);
    const view = new DataView(bytes.buffer);
    while (shim().nv_object_map_at(this.#object, specs.length, bytes) === 0) {
      specs.push({
        name: fromCString(bytes.subarray(0, NAME_SIZE)),
        type: view.getUint32(64, true),
        keySize: view.getUint32(68, true),
        valueSize: view.getUint32(72, true),
        maxEntries: view.getUint32(76, true),
        flags: view.getUint32(80, true),
        fd: view.getInt32(84, true),
      });
    }
    return specs;
  }

  /** Frees libbpf's memory and closes its descriptors; a second call does nothing. */
  close(): void {
    if (!this.#handle) return;
    shim().nv_object_close(this.#handle);
    this.#handle = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
