/** Test objects, compiled as the datapath is. */

const HERE = import.meta.dirname ?? "";
const ROOT = `${HERE}/../../../..`;

/**
 * Compiles a C file of this folder.
 * @returns the object
 * @throws Error with what clang said
 */
export async function compileBpf(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return await compileC(await Deno.readTextFile(`${HERE}/${name}`), ["-nostdinc"]);
}

/** Compiles C text to an eBPF object with BTF. @throws Error with what clang said */
export async function compileC(
  text: string,
  flags: readonly string[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const out = await Deno.makeTempFile({ suffix: ".bpf.o" });
  try {
    // deno-fmt-ignore
    const child = new Deno.Command("clang", {
      args: [
        "-target", "bpf", "-g", "-O2", "-mcpu=v3", "-Wall", "-Wextra", "-Werror", ...flags,
        "-isystem", `${ROOT}/.build/include`, `-I${ROOT}/bpf`, "-x", "c", "-c", "-", "-o", out,
      ],
      stdin: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    const { success, stderr } = await child.output();
    if (!success) throw new Error(`clang: ${new TextDecoder().decode(stderr)}`);
    return await Deno.readFile(out);
  } finally {
    // clang takes away what it could not make.
    await Deno.remove(out).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}
