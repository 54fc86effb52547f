import assert from "node:assert/strict";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { LaterAttach } from "./later_attach.ts";

const NEVER_MS = 1_000_000;

Deno.test("what waits is moved one after the other once all is quiet", async () => {
  const moved: string[] = [];
  let atOnce = 0;
  await using later = new LaterAttach({
    quietMs: 5,
    attach: async (name) => {
      assert.equal(++atOnce, 1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      atOnce--;
      moved.push(name);
    },
  });
  const call = Promise.withResolvers<void>();
  const under = later.during(() => call.promise);
  for (const name of ["a", "b", "gone", "c"]) later.add(name);
  later.forget("gone");
  await later.during(() => Promise.resolve());
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual(moved, [], "a call is under way");
  call.resolve();
  await under;
  await eventually(() => moved.length === 3);
  assert.deepEqual(moved, ["a", "b", "c"]);
});

Deno.test("a failure is tried again after the others, a few times", async () => {
  const tried: string[] = [];
  await using later = new LaterAttach({
    quietMs: 1,
    attach: (name) => {
      tried.push(name);
      const once = name === "once" && tried.indexOf(name) === tried.length - 1;
      if (once || name === "never") return Promise.reject(new Error("injected"));
      if (name === "gone") return Promise.reject(new RpcError(RpcCode.NOT_FOUND, "injected"));
      return Promise.resolve();
    },
  });
  for (const name of ["once", "never", "gone", "fine"]) later.add(name);
  await eventually(() => tried.length === 9);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(tried, ["once", "never", "gone", "fine", "once", ...Array(4).fill("never")]);
});

Deno.test("the ones after one that goes before its turn are moved", async () => {
  const moved: string[] = [];
  await using later = new LaterAttach({
    quietMs: 5,
    attach: (name) => {
      moved.push(name);
      return Promise.resolve();
    },
  });
  later.add("gone");
  later.forget("gone");
  await new Promise((resolve) => setTimeout(resolve, 10));
  later.add("next");
  await eventually(() => moved.length === 1);
  assert.deepEqual(moved, ["next"]);
});

Deno.test("nothing waits for ever: calls that never end do not hold it up", async () => {
  const moved: string[] = [];
  await using later = new LaterAttach({
    mostMs: 10,
    attach: (name) => {
      moved.push(name);
      return Promise.resolve();
    },
  });
  const call = Promise.withResolvers<void>();
  const under = later.during(() => call.promise);
  later.add("a");
  await eventually(() => moved.length === 1);
  call.resolve();
  await under;
});

Deno.test("a call's result and its failure are the caller's", async () => {
  await using later = new LaterAttach({ quietMs: NEVER_MS, attach: () => Promise.resolve() });
  assert.equal(await later.during(() => Promise.resolve(7)), 7);
  await assert.rejects(later.during(() => Promise.reject(new Error("mine"))), /mine/);
});
