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
  write(Deno.stderr, output.stderr);
  write(Deno.stdout, output.stdout);
  // Without it the process waits for the connection to the agent to go idle.
  Deno.exit(output.exitCode);
}

function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += stream.writeSync(bytes.subarray(done));
}

// Not called from the module's own frame: gRPC takes a stack trace for each call, and V8 parses every function
// on the stack again to find line numbers. For the frame of a bundled module that is the whole bundle, 8 to 10 ms.
queueMicrotask(main);
