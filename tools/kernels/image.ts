/** The kernel itself, uncompressed: under emulation it starts in seconds so, and in minutes as it is packed. */

import { Buffer } from "node:buffer";

/** How a kernel may be packed: by what the packed part begins with. */
const PACKERS = [
  { magic: Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), unpack: ["zstd", "-dcq"] },
  {
    magic: Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0),
    unpack: ["xz", "-dcq", "--single-stream"],
  },
  { magic: Uint8Array.of(0x1f, 0x8b, 0x08), unpack: ["gzip", "-dcq"] },
] as const;
const ELF = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46);

/**
 * Unpacks a bzImage.
 *
 * @param from such as boot/vmlinuz-6.1.0-47-amd64
 * @param to the ELF file
 */
export async function unpackKernel(from: string, to: string): Promise<void> {
  const packed = Buffer.from(await Deno.readFile(from));
  for (const { magic, unpack } of PACKERS) {
    for (let at = packed.indexOf(magic); at >= 0; at = packed.indexOf(magic, at + 1)) {
      const kernel = await filter(unpack, packed.subarray(at));
      if (!ELF.every((byte, index) => kernel[index] === byte)) continue;
      await Deno.writeFile(to, kernel);
      return;
    }
  }
  throw new Error(`${from}: no kernel found in it`);
}

/** What a program makes of its input; what follows the packed part makes it fail, which is no matter. */
async function filter(
  [program, ...args]: readonly [string, ...string[]],
  input: Uint8Array,
): Promise<Uint8Array> {
  const child = new Deno.Command(program, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  const written = writer.write(input).then(() => writer.close()).catch(() => {});
  const { stdout } = await child.output();
  await written;
  return stdout;
}
