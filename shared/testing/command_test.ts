import assert from "node:assert/strict";
import { RunningCommand } from "./command.ts";

Deno.test("a command can be killed before it leads a session of its own", async () => {
  for (let i = 0; i < 10; i++) {
    await using running = RunningCommand.start(["sleep", "100"]);
    const { code } = await running.kill();
    assert.equal(code, 137);
  }
});

Deno.test("killing a command that has ended changes nothing", async () => {
  await using running = RunningCommand.start(["true"]);
  assert.equal((await running.wait()).code, 0);
  assert.equal((await running.kill()).code, 0);
});
