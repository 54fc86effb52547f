import assert from "node:assert/strict";
import { flowEvent, KEEPS_SHIM, type TestAgent, withAgent } from "./testing.ts";

const MAIN = new URL("./main.ts", import.meta.url).pathname;

/** An agent that sends events for as long as somebody listens. */
function talking(pauseMs: number): TestAgent {
  return {
    control: {
      async *streamAgentFlows(_request, { signal }) {
        while (!signal.aborted) {
          yield flowEvent();
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
      },
    },
  };
}

function start(args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function stderrOf(child: Deno.ChildProcess): Promise<string> {
  return await new Response(child.stderr).text();
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} ends a stream with 0`, KEEPS_SHIM, async () => {
    await withAgent(talking(5), async (socketPath) => {
      const child = start(["flows", "--agent-socket", socketPath]);
      const reader = child.stdout.getReader();
      await reader.read();
      child.kill(signal);
      while (!(await reader.read()).done);
      assert.equal(await stderrOf(child), "");
      assert.equal((await child.status).code, 0);
    });
  });
}

Deno.test("a pipe whose reader has gone ends a stream with 0", KEEPS_SHIM, async () => {
  await withAgent(talking(1), async (socketPath) => {
    const child = start(["flows", "--agent-socket", socketPath]);
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    assert.equal(await stderrOf(child), "");
    assert.equal((await child.status).code, 0);
  });
});

Deno.test("a failure is one line on stderr and nothing on stdout", async () => {
  const child = start(["status", "--agent-socket", "/nonexistent/novanet.sock"]);
  const { code, stdout, stderr } = await child.output();
  assert.equal(new TextDecoder().decode(stdout), "");
  assert.match(new TextDecoder().decode(stderr), /^Error: [^\n]+\n$/);
  assert.equal(code, 3);
});
