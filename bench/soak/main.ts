/**
 * `./run soak [SCENARIO] [OPTION...]`: the long-lasting load tests, one after the other, or the named one with its options.
 *
 *     churn    pods that come and go while the daemons are killed (bench/soak.ts)
 *     bounds   memory and time stay within bounds under load (bench/soak/bounds/main.ts)
 *
 * Options alone are those of the churn. The exit code is 0 only if all of them pass.
 */
import { join } from "node:path";

const HERE = import.meta.dirname ?? ".";
const SCENARIOS: ReadonlyMap<string, string> = new Map([
  ["churn", join(HERE, "..", "soak.ts")],
  ["bounds", join(HERE, "bounds", "main.ts")],
]);

async function run(path: string, options: readonly string[]): Promise<number> {
  const command = new Deno.Command(Deno.execPath(), { args: ["run", "-A", path, ...options] });
  const { code } = await command.spawn().status;
  return code;
}

async function main(args: readonly string[]): Promise<number> {
  const [first = "", ...options] = args[0]?.startsWith("-") ? ["churn", ...args] : args;
  const path = SCENARIOS.get(first);
  if (path !== undefined) return await run(path, options);
  if (first !== "") {
    console.error(`usage: ./run soak [${[...SCENARIOS.keys()].join("|")} [OPTION...]]`);
    return 2;
  }
  let failed = 0;
  for (const each of SCENARIOS.values()) if (await run(each, []) !== 0) failed++;
  return failed === 0 ? 0 : 1;
}

Deno.exit(await main(Deno.args));
