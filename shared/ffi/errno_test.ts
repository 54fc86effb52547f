import assert from "node:assert/strict";
import { check, errnoName, isErrno, SysError } from "./errno.ts";

Deno.test("a result of the shim is a value or a SysError", () => {
  assert.equal(check("x", 0), 0);
  assert.equal(check("x", 7), 7);
  assert.throws(() => check("open /x", -2), (error) => {
    assert(error instanceof SysError);
    const { op, errno, code, message } = error;
    assert.deepEqual({ op, errno, code, message }, {
      op: "open /x",
      errno: 2,
      code: "ENOENT",
      message: "open /x: ENOENT",
    });
    return true;
  });
});

Deno.test("the detail of a SysError stands in its message", () => {
  assert.equal(new SysError("load", 22, "unknown opcode").message, "load: EINVAL: unknown opcode");
});

Deno.test("isErrno looks at the class and the number, not at the text", () => {
  assert.equal(isErrno(new SysError("x", 17), "EEXIST"), true);
  assert.equal(isErrno(new SysError("x", 17), "ENOENT"), false);
  assert.equal(isErrno(new Error("x: EEXIST"), "EEXIST"), false);
});

Deno.test("an unknown error number is still named", () => {
  assert.equal(errnoName(4000), "errno 4000");
});
