/** Loaded eBPF programs by descriptor. */
import { check, SysError } from "../errno.ts";
import { Fd } from "../fd.ts";
import { shim } from "../library.ts";
import { type Bytes, cString, fromCString, lend } from "../memory.ts";
import { dup } from "../sys.ts";

/** Program types (enum bpf_prog_type of linux/bpf.h) that NovaNet uses. */
export const ProgramType = { SCHED_CLS: 3, SYSCALL: 31 } as const;

const INFO_SIZE = 72;
// What a program may add to a packet before the answer no longer fits.
const DATA_OUT_ROOM = 256;

/** What the kernel knows of a program. */
export interface ProgramInfo {
  readonly id: number;
  /** At most 15 characters. */
  readonly name: string;
  /** A hash of its instructions, 16 hexadecimal digits. */
  readonly tag: string;
  /** One of ProgramType. */
  readonly type: number;
  /** Instructions that the verifier looked at. */
  readonly verifiedInsns: number;
  /** Bytes of machine code. */
  readonly jitedBytes: number;
  /** Bytes of eBPF code. */
  readonly xlatedBytes: number;
  /** Time spent in it, ns; counted while kernel.bpf_stats_enabled is 1. */
  readonly runTimeNs: bigint;
  /** Runs; counted while kernel.bpf_stats_enabled is 1. */
  readonly runCount: bigint;
  /** When it was loaded, ns of CLOCK_BOOTTIME. */
  readonly loadTimeNs: bigint;
}

/** One BPF_PROG_TEST_RUN. */
export interface TestRun {
  /** The packet, from its Ethernet header. */
  readonly dataIn?: Uint8Array;
  /** The context: struct __sk_buff, or the argument of a syscall program. */
  readonly ctxIn?: Uint8Array;
  /** How often (default once); durationNs is the mean. */
  readonly repeat?: number;
  /** Room for the packet after it; 256 bytes more than dataIn by default. */
  readonly dataOutSize?: number;
  /** Room for the context after it; as much as ctxIn by default. */
  readonly ctxOutSize?: number;
}

/** What came of it. */
export interface TestRunResult {
  /** What the program returned. */
  readonly retval: number;
  /** The packet after it. */
  readonly dataOut: Bytes;
  /** The context after it. */
  readonly ctxOut: Bytes;
  /** Mean time of one run, ns (0 for a syscall program). */
  readonly durationNs: number;
}

type TestRunArguments = Parameters<ReturnType<typeof shim>["nv_prog_test_run"]>;

function readInfo(fd: number): ProgramInfo {
  const bytes = new Uint8Array(INFO_SIZE);
  check("program info", shim().nv_prog_info(fd, bytes));
  const view = new DataView(bytes.buffer);
  return {
    name: fromCString(bytes.subarray(0, 16)),
    tag: bytes.subarray(16, 24).toHex(),
    runTimeNs: view.getBigUint64(24, true),
    runCount: view.getBigUint64(32, true),
    loadTimeNs: view.getBigUint64(40, true),
    id: view.getUint32(48, true),
    type: view.getUint32(52, true),
    verifiedInsns: view.getUint32(56, true),
    jitedBytes: view.getUint32(60, true),
    xlatedBytes: view.getUint32(64, true),
  };
}

/** A program; owns one descriptor of it. */
export class BpfProgram implements Disposable {
  readonly #fd: Fd;
  /** At most 15 characters, as the kernel keeps it. */
  readonly name: string;
  /** One of ProgramType. */
  readonly type: number;

  /** @param fd belongs to the program from here on, also when this throws @throws SysError */
  constructor(fd: Fd) {
    try {
      const { name, type } = readInfo(fd.fd);
      this.name = name;
      this.type = type;
    } catch (error) {
      fd.close();
      throw error;
    }
    this.#fd = fd;
  }

  /** @throws SysError ENOENT when nothing is pinned there */
  static openPinned(path: string): BpfProgram {
    const fd = check(`open ${path}`, shim().nv_open_pinned(cString(path)));
    return new BpfProgram(new Fd(fd, `program ${path}`));
  }

  /** @throws SysError ENOENT when there is no program of this id */
  static byId(id: number): BpfProgram {
    const fd = check(`program ${id}`, shim().nv_prog_by_id(id));
    return new BpfProgram(new Fd(fd, `program ${id}`));
  }

  /** @throws UseAfterCloseError */
  get fd(): number {
    return this.#fd.fd;
  }

  /** Asks the kernel. @throws SysError */
  info(): ProgramInfo {
    return readInfo(this.fd);
  }

  /** The ids of the maps it uses. @throws SysError */
  mapIds(): number[] {
    const ids = new Uint32Array(64);
    const count = new Uint32Array([ids.length]);
    check(`maps of ${this.name}`, shim().nv_prog_map_ids(this.fd, ids, count));
    return [...ids.subarray(0, count[0])];
  }

  /** Another descriptor of the same program. @throws SysError */
  dup(): BpfProgram {
    return new BpfProgram(dup(this.fd, `program ${this.name}`));
  }

  /** Runs it in the kernel, on nothing that is real. @throws SysError */
  testRun(run: TestRun): TestRunResult {
    const { args, result } = this.#prepare(run);
    return result(shim().nv_prog_test_run(...args));
  }

  /** As testRun(), on a thread of its own: for runs that take long. @throws SysError */
  async testRunAsync(run: TestRun): Promise<TestRunResult> {
    const { args, result } = this.#prepare(run);
    // The program must not be closed while it runs, and args keeps the buffers alive until then.
    using held = this.dup();
    args[0] = held.fd;
    return result(await shim().prog_test_run_async(...args));
  }

  #prepare(
    run: TestRun,
  ): { args: TestRunArguments; result: (status: number) => TestRunResult } {
    const { dataIn, ctxIn, repeat = 0 } = run;
    // A syscall program takes nothing but its context, and changes it where it is.
    const inPlace = this.type === ProgramType.SYSCALL;
    const dataOut = new Uint8Array(
      inPlace ? 0 : run.dataOutSize ?? (dataIn ? dataIn.byteLength + DATA_OUT_ROOM : 0),
    );
    const context = ctxIn ? new Uint8Array(ctxIn) : null;
    const ctxOut = new Uint8Array(inPlace ? 0 : run.ctxOutSize ?? ctxIn?.byteLength ?? 0);
    const out = new Uint32Array(4);
    const args: TestRunArguments = [
      this.fd,
      dataIn ? lend(dataIn) : null,
      dataIn?.byteLength ?? 0,
      dataOut.byteLength ? dataOut : null,
      dataOut.byteLength,
      context,
      context?.byteLength ?? 0,
      ctxOut.byteLength ? ctxOut : null,
      ctxOut.byteLength,
      repeat,
      0,
      out,
    ];
    const result = (status: number): TestRunResult => {
      if (status < 0) throw new SysError(`test run of ${this.name}`, -status);
      const [retval = 0, dataSize = 0, ctxSize = 0, durationNs = 0] = out;
      return {
        retval,
        dataOut: dataOut.subarray(0, dataSize),
        ctxOut: inPlace && context ? context : ctxOut.subarray(0, ctxSize),
        durationNs,
      };
    };
    return { args, result };
  }

  /** Keeps the program alive at a path of a bpffs. @throws SysError EEXIST when something is there */
  pin(path: string): void {
    check(`pin ${path}`, shim().nv_pin(this.fd, cString(path)));
  }

  /** Closes the descriptor; the kernel frees the program with its last user. */
  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
