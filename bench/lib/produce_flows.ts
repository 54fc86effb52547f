/**
 * A process that lets the live datapath meet new flows at a steady rate, by BPF_PROG_TEST_RUN on its own program:
 *
 *     produce_flows.ts PROGRAM_PIN IFINDEX FRAME_HEX FIRST RATE SECONDS
 *
 * It runs in the node's network namespace, and prints how many there were and how many milliseconds it took.
 */
import { BpfProgram } from "../../shared/ffi/bpf.ts";
import { PacketLab } from "./packet_lab.ts";

/** Flows of one run in the kernel; nothing else of this thread goes on meanwhile. */
const MOST_AT_ONCE = 2000;
const TICK_MS = 5;

const [pin = "", ifindex, hex = "", first, rate, seconds] = Deno.args;
const frame = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
const packet = { frame, ifindex: Number(ifindex) };
const total = Number(rate) * Number(seconds);

using program = BpfProgram.openPinned(pin);
using lab = await PacketLab.create({ path: "/proc/self/ns/net" });
const started = performance.now();
for (let sent = 0; sent < total;) {
  const due = Math.min(total, Math.ceil((performance.now() - started) * Number(rate) / 1000));
  for (; sent < due; sent += Math.min(MOST_AT_ONCE, due - sent)) {
    lab.once(program, packet, Number(first) + sent, Math.min(MOST_AT_ONCE, due - sent));
  }
  await new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
console.log(JSON.stringify({ flows: total, milliseconds: performance.now() - started }));
