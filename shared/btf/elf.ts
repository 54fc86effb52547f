/** Just enough of ELF64 little-endian (the System V ABI) to find a section. */

/** A file that is not what it should be. */
export class ObjectFormatError extends Error {
  override readonly name = "ObjectFormatError";
}

const MAGIC = 0x464c457f;
const CLASS_64_LITTLE_ENDIAN = 0x0201;

/**
 * The bytes of the section of that name.
 * @throws ObjectFormatError when the file is no such ELF file or has no such section
 */
export function elfSection(elf: Uint8Array, name: string): Uint8Array {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  if (
    elf.byteLength < 64 || view.getUint32(0, true) !== MAGIC ||
    view.getUint16(4) !== CLASS_64_LITTLE_ENDIAN
  ) {
    throw new ObjectFormatError("not a little-endian ELF64 file");
  }
  const table = Number(view.getBigUint64(0x28, true));
  const entrySize = view.getUint16(0x3a, true);
  const section = (index: number) => {
    const at = table + index * entrySize;
    const offset = Number(view.getBigUint64(at + 24, true));
    const size = Number(view.getBigUint64(at + 32, true));
    return { name: view.getUint32(at, true), bytes: elf.subarray(offset, offset + size) };
  };
  const names = section(view.getUint16(0x3e, true)).bytes;
  for (let i = 0; i < view.getUint16(0x3c, true); i++) {
    const found = section(i);
    if (textAt(names, found.name) === name) return found.bytes;
  }
  throw new ObjectFormatError(`no section ${name}`);
}

/** The NUL-terminated text at an offset. */
export function textAt(bytes: Uint8Array, offset: number): string {
  return new TextDecoder().decode(bytes.subarray(offset, bytes.indexOf(0, offset)));
}
