import { AF_INET } from "../../ffi/sys.ts";
import { Ipv4 } from "../../net/ipv4.ts";

/** An IPv4 address, dotted, and a port. */
export interface SocketAddress {
  readonly ip: string;
  readonly port: number;
}

const SIZE = 16;

/** @returns the address as a struct sockaddr_in. @throws {NetParseError} */
export function encodeAddress({ ip, port }: SocketAddress): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  view.setUint32(4, Ipv4.parse(ip).value);
  return bytes;
}

/** @returns what a struct sockaddr_in says. */
export function decodeAddress(bytes: Uint8Array): SocketAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { ip: Ipv4.fromU32(view.getUint32(4)).toString(), port: view.getUint16(2) };
}
