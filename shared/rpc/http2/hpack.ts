/** Header compression of HTTP/2 (RFC 7541). */
import { Http2Code, Http2Error } from "./error.ts";
import { decodeHuffman } from "./huffman.ts";

/** One header, its name in lower case; every char is one byte. */
export type Header = readonly [name: string, value: string];

/** Appendix A. */
const STATIC_TABLE: readonly Header[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...[
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
  ].map((name): Header => [name, ""]),
];

const INDEXED = 0x80;
const LITERAL_INDEXED = 0x40;
const TABLE_SIZE = 0x20;
const HUFFMAN = 0x80;
/** What an entry costs beside its characters (section 4.1). */
const ENTRY_OVERHEAD = 32;
const DEFAULT_TABLE_BYTES = 4096;

const staticIndex = new Map(STATIC_TABLE.map((header, at) => [header.join("\0"), at + 1]));

function encodeInteger(first: number, prefixBits: number, value: number, into: number[]): void {
  const limit = 2 ** prefixBits - 1;
  if (value < limit) {
    into.push(first | value);
    return;
  }
  into.push(first | limit);
  let rest = value - limit;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into.push((rest & 0x7f) | 0x80);
  into.push(rest);
}

function encodeString(text: string, into: number[]): void {
  encodeInteger(0, 7, text.length, into);
  for (let at = 0; at < text.length; at++) into.push(text.charCodeAt(at) & 0xff);
}

/** A header block; it uses nothing that the peer would have to remember. */
export function encodeHeaders(headers: readonly Header[]): Uint8Array {
  const bytes: number[] = [];
  for (const header of headers) {
    const index = staticIndex.get(header.join("\0"));
    if (index !== undefined) {
      encodeInteger(INDEXED, 7, index, bytes);
    } else {
      bytes.push(0);
      encodeString(header[0], bytes);
      encodeString(header[1], bytes);
    }
  }
  return Uint8Array.from(bytes);
}

function compressionError(why: string): Http2Error {
  return new Http2Error(Http2Code.COMPRESSION_ERROR, why);
}

/** Reads one header block from its begin to its end. */
class BlockReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  peek(): number {
    return this.#bytes[this.#at]!;
  }

  integer(prefixBits: number): number {
    const limit = 2 ** prefixBits - 1;
    let value = this.#byte() & limit;
    if (value < limit) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw compressionError("a header has a number that is too long");
  }

  string(): string {
    const huffman = !this.done && (this.peek() & HUFFMAN) !== 0;
    const length = this.integer(7);
    const end = this.#at + length;
    if (end > this.#bytes.length) throw compressionError("a header is cut off");
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return huffman ? decodeHuffman(bytes) : String.fromCharCode(...bytes);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw compressionError("a header is cut off");
    return byte;
  }
}

/** Decodes the header blocks of one direction of a connection, in order. */
export class HeaderDecoder {
  readonly #maxBytes: number;
  readonly #allowedTableBytes: number;
  #table: Header[] = [];
  #tableBytes = 0;
  #maxTableBytes: number;

  /**
   * @param maxBytes the longest list of headers, counted as the table counts
   * @param tableBytes the table size that our settings allow the peer
   */
  constructor(maxBytes: number, tableBytes = DEFAULT_TABLE_BYTES) {
    this.#maxBytes = maxBytes;
    this.#allowedTableBytes = this.#maxTableBytes = tableBytes;
  }

  /**
   * @returns the headers, in order
   * @throws {Http2Error} after which the connection can't go on
   */
  decode(block: Uint8Array): Header[] {
    const reader = new BlockReader(block);
    const headers: Header[] = [];
    let bytes = 0;
    while (!reader.done) {
      const header = this.#next(reader);
      if (header === undefined) continue;
      bytes += sizeOf(header);
      if (bytes > this.#maxBytes) {
        throw new Http2Error(Http2Code.ENHANCE_YOUR_CALM, "there are too many headers");
      }
      headers.push(header);
    }
    return headers;
  }

  /** The next header; undefined for a change of the table's size. */
  #next(reader: BlockReader): Header | undefined {
    const first = reader.peek();
    if (first & INDEXED) return this.#entry(reader.integer(7));
    if (first & LITERAL_INDEXED) {
      const header = this.#literal(reader, 6);
      this.#insert(header);
      return header;
    }
    if (first & TABLE_SIZE) {
      this.#resize(reader.integer(5));
      return undefined;
    }
    return this.#literal(reader, 4);
  }

  #literal(reader: BlockReader, prefixBits: number): Header {
    const index = reader.integer(prefixBits);
    const name = index === 0 ? reader.string() : this.#entry(index)[0];
    return [name, reader.string()];
  }

  #entry(index: number): Header {
    const header = index <= STATIC_TABLE.length
      ? STATIC_TABLE[index - 1]
      : this.#table[index - STATIC_TABLE.length - 1];
    if (header === undefined) throw compressionError(`a header has the index ${index}`);
    return header;
  }

  #insert(header: Header): void {
    this.#table.unshift(header);
    this.#tableBytes += sizeOf(header);
    this.#evict();
  }

  #resize(bytes: number): void {
    if (bytes > this.#allowedTableBytes) throw compressionError(`a header table of ${bytes} bytes`);
    this.#maxTableBytes = bytes;
    this.#evict();
  }

  #evict(): void {
    while (this.#tableBytes > this.#maxTableBytes) this.#tableBytes -= sizeOf(this.#table.pop()!);
  }
}

function sizeOf([name, value]: Header): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}
