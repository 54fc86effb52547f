import type { CommandOutput } from "./command_line.ts";
import { netnsFault } from "./netns.ts";
import type { PluginOutput } from "./plugin.ts";
import { runPlugin } from "./plugin.ts";
import { readAll } from "./stdin.ts";

async function callPlugin(): Promise<PluginOutput> {
  return await runPlugin({
    getEnv: (name) => Deno.env.get(name),
    readStdin: () => readAll(Deno.stdin),
    connect: async (socketPath) => (await import("./agent_rpc.ts")).connectAgent(socketPath),
    netnsFault,
    now: () => new Date(),
  });
}

async function main(): Promise<void> {
  const output = Deno.args.length === 0
    ? await callPlugin()
    : await (await import("./command_line.ts")).runCommandLine(Deno.args);
  // Without it the process waits until the connection to the agent is closed.
  Deno.exit(print(output));
}

/** @returns the exit code: a result that nobody gets is a failure */
function print({ exitCode, stdout, stderr }: PluginOutput | CommandOutput): number {
  write(Deno.stderr, stderr);
  try {
    write(Deno.stdout, stdout);
    return exitCode;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    write(Deno.stderr, `novanet-cni: cannot write to stdout: ${why}\n`);
    return 1;
  }
}

function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += stream.writeSync(bytes.subarray(done));
}

await main();
