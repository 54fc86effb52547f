/** What an executable is built for. */
export interface Target {
  /** As Deno.build.arch and the kernel name it. */
  readonly arch: "x86_64" | "aarch64";
  /** For `deno compile --target`. */
  readonly triple: string;
  /** The C compiler that makes the shim. */
  readonly cc: string;
  /** What libbpf's headers call the architecture. */
  readonly bpfArch: string;
  /** Folder of what is made on the way, relative to the checkout. */
  readonly work: string;
  /** Folder of the executables, relative to the checkout. */
  readonly dist: string;
}

const BPF_ARCH = { x86_64: "x86", aarch64: "arm64" } as const;

/**
 * The target with a name.
 *
 * @param arch such as `x86_64`; default: this machine's. Another than this machine's needs a C cross compiler with the
 * static libraries of that architecture, and DENORT_BIN naming a denort for it; results go to folders of their own.
 * @throws {RangeError} for one that Deno does not know on Linux
 */
export function targetOf(arch: string = Deno.build.arch): Target {
  if (arch !== "x86_64" && arch !== "aarch64") {
    throw new RangeError(
      `Cannot build for --target ${JSON.stringify(arch)}: x86_64 and aarch64 are known`,
    );
  }
  const native = arch === Deno.build.arch;
  return {
    arch,
    triple: `${arch}-unknown-linux-gnu`,
    cc: native ? "cc" : `${arch}-linux-gnu-gcc`,
    bpfArch: BPF_ARCH[arch],
    work: native ? ".build" : `.build/${arch}`,
    dist: native ? "dist" : `dist/${arch}`,
  };
}
