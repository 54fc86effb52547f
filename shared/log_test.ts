import assert from "node:assert/strict";
import { configureLogging, getLogger, type LogLevel } from "./log.ts";

function capture(level: LogLevel, format: "text" | "json", use: () => void): string[] {
  const lines: string[] = [];
  configureLogging({ level, format, write: (line) => lines.push(line) });
  use();
  return lines;
}

Deno.test("a text line holds time, level, area, message and fields", () => {
  const lines = capture("info", "text", () =>
    getLogger("dataplane/policy").info("synced {all}", {
      added: 3,
      generation: 7n,
      name: "a b",
      pod: "ns/x",
    }));
  assert.equal(lines.length, 1);
  assert.match(
    lines[0] ?? "",
    /^\d{4}-\d\d-\d\dT[\d:.]+Z info {2}dataplane\/policy: synced \{all\} added=3 generation="?7"? name="a b" pod=ns\/x\n$/,
  );
});

Deno.test("a JSON line parses and holds the same", () => {
  const lines = capture("debug", "json", () =>
    getLogger("agent").error("it broke", {
      error: new TypeError("bad", { cause: new Error("why") }),
    }));
  const record = JSON.parse(lines[0] ?? "");
  assert.equal(record.level, "error");
  assert.equal(record.area, "agent");
  assert.equal(record.message, "it broke");
  assert.equal(record.error, "TypeError: bad (cause: Error: why)");
});

Deno.test("records below the level are left out", () => {
  const order: LogLevel[] = ["debug", "info", "warn", "error"];
  for (const [index, level] of order.entries()) {
    const lines = capture(level, "text", () => {
      const log = getLogger("x");
      for (const name of order) log[name](name);
    });
    assert.equal(lines.length, order.length - index, level);
  }
});

Deno.test("secret fields are masked, nested too", () => {
  const fields = { password: "p4ss", nested: { api_token: "t0ken", user: "u" }, privateKey: "k3y" };
  for (const format of ["text", "json"] as const) {
    const line = capture("info", format, () => getLogger("x").info("m", fields)).join("");
    assert.doesNotMatch(line, /p4ss|t0ken|k3y/, format);
    assert.match(line, /secret/, format);
  }
});

Deno.test("a message with line breaks stays one line", () => {
  const lines = capture("info", "text", () => getLogger("x").info("a\nb", { c: "d\ne" }));
  assert.equal(lines.join("").split("\n").length, 2);
});
