/**
 * `./run soak bounds [--minutes N]`: the load of limits.ts for ten minutes. The exit code is 0 only if nothing went beyond the
 * bounds of docs/limits.md.
 */
import { parseArgs } from "node:util";
import { soakBounds } from "./scenario.ts";

const DEFAULT_MINUTES = "10";

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { minutes: { type: "string", default: DEFAULT_MINUTES } },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) {
    console.error("usage: ./run soak bounds [--minutes N]");
    return 2;
  }
  if (Deno.uid() !== 0) {
    console.error("soak: root is needed: it makes network namespaces and loads BPF programs");
    return 1;
  }
  console.log(`soak: bounds, ${minutes} minutes`);
  const problems = await soakBounds({ seconds: minutes * 60, note: (text) => console.log(text) });
  for (const problem of problems) console.log(`PROBLEM ${problem}`);
  console.log(problems.length === 0 ? "soak: passed" : `soak: ${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
}

Deno.exit(await main());
