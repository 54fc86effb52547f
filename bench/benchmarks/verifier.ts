import { readAsset } from "../../shared/ffi/assets.ts";
import { BpfObject } from "../../shared/ffi/bpf.ts";
import { type BenchContext, type Benchmark, type Row, row } from "../lib/benchmark.ts";

/** What the verifier looks at before it gives a program up (BPF_COMPLEXITY_LIMIT_INSNS). */
const KERNEL_LIMIT = 1_000_000;

function run(_: BenchContext): Promise<Row[]> {
  using object = BpfObject.open(readAsset("datapath.bpf.o"));
  object.load();
  return Promise.resolve(
    object.programs().map((name) => {
      using program = object.program(name);
      return row({
        what: name,
        unit: "instructions",
        ours: [program.info().verifiedInsns],
        mark: { of: "value", atMost: KERNEL_LIMIT },
      });
    }),
  );
}

/** Instructions that the verifier looked at. */
export const verifier: Benchmark = {
  name: "verifier",
  title: "Verifier",
  method:
    "Instructions that the kernel's verifier looked at (verified_insns); its limit is one million.",
  run,
};
