import { join } from "node:path";
import { command, firstLine, ROOT } from "./command.ts";
import { filesUnder } from "./files.ts";
import type { Step } from "./step.ts";
import type { Target } from "./target.ts";

/** libbpf's own headers for BPF programs; nothing else of /usr/include is seen. */
const LIBBPF_HEADERS = [
  "bpf_helpers.h",
  "bpf_helper_defs.h",
  "bpf_endian.h",
  "bpf_core_read.h",
  "bpf_tracing.h",
];
const LIBBPF_FOLDER = "/usr/include/bpf";

const BPF_FLAGS = [
  "-g",
  "-O2",
  "-mcpu=v3",
  "-std=gnu11",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-nostdinc",
];

/** bpf/datapath.bpf.c -> the CO-RE object with BTF and without DWARF. */
export function bpfStep(target: Target): Step {
  const include = `${target.work}/include`;
  const object = `${target.work}/bpf/datapath.bpf.o`;
  return {
    name: "bpf",
    after: ["enums"],
    inputs: () => filesUnder("bpf", (path) => /\.[ch]$/.test(path)),
    values: async () => [await firstLine(["clang", "--version"]), target.bpfArch, ...BPF_FLAGS],
    outputs: () => [object],
    async run() {
      Deno.mkdirSync(join(ROOT, include, "bpf"), { recursive: true });
      for (const header of LIBBPF_HEADERS) {
        Deno.copyFileSync(join(LIBBPF_FOLDER, header), join(ROOT, include, "bpf", header));
      }
      // deno-fmt-ignore
      await command([
        "clang", "-target", "bpf", ...BPF_FLAGS, `-D__TARGET_ARCH_${target.bpfArch}`,
        "-isystem", include, "-Ibpf", `-ffile-prefix-map=${ROOT}=.`, `-fdebug-compilation-dir=.`,
        "-c", "bpf/datapath.bpf.c", "-o", object,
      ]);
      await command(["llvm-strip", "-g", object]);
    },
  };
}

// deno-fmt-ignore
const SHIM_FLAGS = [
  "-shared", "-fPIC", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
  "-ffunction-sections", "-fdata-sections",
];
// No symbol of the static libraries leaves the shim, none stays open, and the debugging ones are gone.
// deno-fmt-ignore
const SHIM_LINK_FLAGS = [
  "-Wl,--start-group", "-l:libbpf.a", "-l:libelf.a", "-l:libz.a", "-Wl,--end-group",
  "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections", "-Wl,-z,defs", "-Wl,-z,now", "-Wl,-z,relro", "-Wl,-s",
];

/** native/*.c -> libnovanet.so, with libbpf, libelf and zlib inside. */
export function shimStep(target: Target): Step {
  const shim = `${target.work}/native/libnovanet.so`;
  const sources = () => filesUnder("native", (path) => path.endsWith(".c"));
  return {
    name: "shim",
    inputs: () => filesUnder("native", (path) => /\.[ch]$/.test(path)),
    values: async () => [
      await firstLine([target.cc, "--version"]),
      ...SHIM_FLAGS,
      ...SHIM_LINK_FLAGS,
    ],
    outputs: () => [shim],
    run: async () =>
      void await command([
        target.cc,
        ...SHIM_FLAGS,
        `-ffile-prefix-map=${ROOT}=.`,
        ...sources(),
        "-o",
        shim,
        ...SHIM_LINK_FLAGS,
      ]),
  };
}
