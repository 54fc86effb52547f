import type { CapturedPacket } from "../shared/gen/novanet/ext/v1/ext_pb.ts";

/** pcap with nanoseconds (libpcap, "pcap-savefile(5)"); numbers are little-endian. */
const MAGIC_NS = 0xa1b23c4d;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;

/** @returns what a pcap file begins with. @param snaplen the most bytes of a packet. */
export function pcapHeader(snaplen: number): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC_NS, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, snaplen, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return bytes;
}

/** @returns a packet with its header. */
export function pcapPacket(packet: CapturedPacket): Uint8Array {
  const { timestampNs, originalLen, data } = packet;
  const bytes = new Uint8Array(PACKET_HEADER_BYTES + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Number(timestampNs / 1_000_000_000n), true);
  view.setUint32(4, Number(timestampNs % 1_000_000_000n), true);
  view.setUint32(8, data.length, true);
  view.setUint32(12, Math.max(originalLen, data.length), true);
  bytes.set(data, PACKET_HEADER_BYTES);
  return bytes;
}
