import { NetParseError, type ParseOptions } from "./net_parse_error.ts";

const PORT_BITS = 16;

/** The ports whose leading `prefixLen` bits are those of `port`. */
export interface PortPrefix {
  /** The lowest of them; bits beyond the prefix are zero. */
  readonly port: number;
  /** 0 (all ports) to 16 (this port alone). */
  readonly prefixLen: number;
}

/**
 * The fewest prefixes that cover a range of ports exactly, in rising order; 30 at most.
 * @param from first port, 0 to 65535.
 * @param to last port, included; not below `from`.
 * @throws {NetParseError} when the range is not one.
 */
export function portRangeToPrefixes(
  from: number,
  to: number,
  options: ParseOptions = {},
): PortPrefix[] {
  checkRange(from, to, options);
  const prefixes: PortPrefix[] = [];
  for (let port = from; port <= to;) {
    let bits = PORT_BITS;
    // The largest aligned block that starts here and does not go past the end.
    while (port % 2 ** bits !== 0 || port + 2 ** bits - 1 > to) bits--;
    prefixes.push({ port, prefixLen: PORT_BITS - bits });
    port += 2 ** bits;
  }
  return prefixes;
}

function checkRange(from: number, to: number, options: ParseOptions): void {
  const text = `${from}-${to}`;
  for (const port of [from, to]) {
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
      throw new NetParseError("port range", text, `${port} is not a port (0 to 65535)`, options);
    }
  }
  if (from > to) throw new NetParseError("port range", text, "it ends before it starts", options);
}
