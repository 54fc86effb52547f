/** eBPF objects, maps, programs, links and ring buffers. */
export * from "./clsact.ts";
export * from "./link.ts";
export * from "./map.ts";
export { takeLog, verboseLog } from "./message.ts";
export * from "./object.ts";
export * from "./program.ts";
export * from "./ring_buffer.ts";
