import assert from "node:assert/strict";
import { netnsFault } from "./netns.ts";

const CASES = [
  { path: "/proc/self/ns/net", says: /is the node's own namespace/ },
  { path: `/proc/${Deno.pid}/ns/net`, says: /is the node's own namespace/ },
  { path: "/nonexistent/netns", says: /"\/nonexistent\/netns" does not exist/ },
  { path: "/etc/passwd", says: /is no network namespace/ },
];

for (const { path, says } of CASES) {
  Deno.test(`${path.replace(String(Deno.pid), "PID")} is refused`, () => {
    assert.match(netnsFault(path) ?? "", says);
  });
}
