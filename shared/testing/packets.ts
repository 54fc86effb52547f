/**
 * Whole packets for tests: `ethernet({src, dst}, ipv4({src, dst}, tcp({srcPort, dstPort, flags: "S"})))` and the like,
 * with right lengths and checksums unless a test asks for wrong ones; and a way to compare two of them.
 */
export * from "./packets/bytes.ts";
export * from "./packets/checksum.ts";
export * from "./packets/describe.ts";
export * from "./packets/ethernet.ts";
export * from "./packets/ipv4.ts";
export * from "./packets/transport.ts";
