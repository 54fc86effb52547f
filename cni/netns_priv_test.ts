import assert from "node:assert/strict";
import { netnsFault } from "./netns.ts";

Deno.test("another network namespace is fine", async () => {
  const name = `nvt-${Deno.pid}-cni`;
  const ip = (...args: string[]) =>
    new Deno.Command("ip", { args: ["netns", ...args, name] }).output();
  assert.ok((await ip("add")).success);
  try {
    assert.equal(netnsFault(`/run/netns/${name}`), undefined);
  } finally {
    await ip("del");
  }
});
