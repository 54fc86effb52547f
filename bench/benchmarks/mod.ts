import type { Benchmark } from "../lib/benchmark.ts";
import { cni } from "./cni.ts";
import { flows } from "./flows.ts";
import { latency } from "./latency.ts";
import { memory } from "./memory.ts";
import { packets } from "./packets.ts";
import { policies } from "./policies.ts";
import { reaction } from "./reaction.ts";
import { rpc } from "./rpc.ts";
import { start } from "./start.ts";
import { throughput } from "./throughput.ts";
import { verifier } from "./verifier.ts";

/** All benchmarks, in the order of docs/performance.md. */
export const BENCHMARKS: readonly Benchmark[] = [
  throughput,
  latency,
  packets,
  verifier,
  cni,
  policies,
  reaction,
  flows,
  start,
  memory,
  rpc,
];
