import assert from "node:assert/strict";
import { UseAfterCloseError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { shim } from "./library.ts";
import { O_RDONLY, open } from "./sys.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

function isOpen(fd: number): boolean {
  try {
    Deno.lstatSync(`/proc/self/fd/${fd}`);
    return true;
  } catch {
    return false;
  }
}

Deno.test("a descriptor is closed once, and not used after that", () => {
  const owned = open("/dev/null", O_RDONLY);
  const { fd } = owned;
  assert(isOpen(fd));
  owned.close();
  owned.close();
  assert(owned.closed);
  assert(!isOpen(fd));
  assert.throws(() => owned.fd, (error) => {
    assert(error instanceof UseAfterCloseError);
    assert.equal(error.what, "/dev/null");
    return true;
  });
});

Deno.test("the end of a using block closes a descriptor", () => {
  let fd: number;
  {
    using owned = open("/dev/null", O_RDONLY);
    fd = owned.fd;
  }
  assert(!isOpen(fd));
});

Deno.test("a descriptor that was taken stays open and is the taker's", () => {
  const owned = open("/dev/null", O_RDONLY);
  const fd = owned.take();
  owned.close();
  assert(isOpen(fd));
  assert.throws(() => owned.take(), UseAfterCloseError);
  new Fd(fd).close();
  assert(!isOpen(fd));
});
