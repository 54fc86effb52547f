import type { Benchmark } from "../lib/benchmark.ts";
import { cni } from "./cni.ts";
import { latency } from "./latency.ts";
import { packets } from "./packets.ts";
import { throughput } from "./throughput.ts";
import { verifier } from "./verifier.ts";

/** All benchmarks, in the order of docs/performance.md. */
export const BENCHMARKS: readonly Benchmark[] = [throughput, latency, packets, verifier, cni];
