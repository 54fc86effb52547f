/** eBPF objects, maps, programs, links and ring buffers. */
export * from "./bpf/clsact.ts";
export * from "./bpf/link.ts";
export * from "./bpf/map.ts";
export * from "./bpf/mapped_array.ts";
export { takeLog, verboseLog } from "./bpf/message.ts";
export * from "./bpf/object.ts";
export * from "./bpf/program.ts";
export * from "./bpf/ring_buffer.ts";
