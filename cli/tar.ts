const BLOCK_BYTES = 512;

/** One file of an archive. */
export interface TarFile {
  /** Relative path, at most 100 bytes, or 155 bytes of folders and 100 after a `/`. */
  readonly name: string;
  readonly data: Uint8Array;
}

/**
 * A tar archive (POSIX.1-1988 ustar): files of root, 0600.
 *
 * @param modified time of all files.
 * @throws {RangeError} for a name that does not fit.
 */
export function tar(files: readonly TarFile[], modified: Date): Blob {
  const parts: BlobPart[] = [];
  for (const { name, data } of files) {
    parts.push(header(name, data.length, modified), data.slice(), padding(data.length));
  }
  // Two empty blocks are the end.
  return new Blob([...parts, new Uint8Array(2 * BLOCK_BYTES)]);
}

function header(name: string, size: number, modified: Date): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK_BYTES);
  const [prefix, last] = splitName(name);
  put(block, 0, last);
  put(block, 100, "0000600\0");
  put(block, 108, "0000000\0");
  put(block, 116, "0000000\0");
  put(block, 124, octal(size));
  put(block, 136, octal(Math.floor(modified.getTime() / 1000)));
  put(block, 148, " ".repeat(8));
  put(block, 156, "0");
  put(block, 257, "ustar\x0000");
  put(block, 265, "root");
  put(block, 297, "root");
  put(block, 345, prefix);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(block, 148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

function splitName(name: string): [string, string] {
  if (byteLength(name) <= 100) return ["", name];
  for (let slash = name.indexOf("/"); slash !== -1; slash = name.indexOf("/", slash + 1)) {
    const parts: [string, string] = [name.slice(0, slash), name.slice(slash + 1)];
    if (byteLength(parts[0]) <= 155 && byteLength(parts[1]) <= 100) return parts;
  }
  throw new RangeError(`Cannot put ${JSON.stringify(name)} into a tar: the name is too long`);
}

function octal(number: number): string {
  return `${number.toString(8).padStart(11, "0")}\0`;
}

function put(block: Uint8Array, at: number, text: string): void {
  block.set(new TextEncoder().encode(text), at);
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

function padding(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES);
}
