import assert from "node:assert/strict";
import { UseAfterCloseError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { shim } from "./library.ts";
import { O_RDONLY, open } from "./sys.ts";

// Before the tests, whose sanitizer would take a library that stays for a leak.
shim();

// A file of this run's own: another test of this process may get the number as soon as it is free.
const PATH = Deno.makeTempFileSync({ prefix: "nvt-fd-" });
globalThis.addEventListener("unload", () => Deno.removeSync(PATH));

function isOpen(fd: number): boolean {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`) === PATH;
  } catch {
    return false;
  }
}

Deno.test("a descriptor is closed once, and not used after that", () => {
  const owned = open(PATH, O_RDONLY);
  const { fd } = owned;
  assert(isOpen(fd));
  owned.close();
  owned.close();
  assert(owned.closed);
  assert(!isOpen(fd));
  assert.throws(() => owned.fd, (error) => {
    assert(error instanceof UseAfterCloseError);
    assert.equal(error.what, PATH);
    return true;
  });
});

Deno.test("the end of a using block closes a descriptor", () => {
  let fd: number;
  {
    using owned = open(PATH, O_RDONLY);
    fd = owned.fd;
  }
  assert(!isOpen(fd));
});

Deno.test("a descriptor that was taken stays open and is the taker's", () => {
  const owned = open(PATH, O_RDONLY);
  const fd = owned.take();
  owned.close();
  assert(isOpen(fd));
  assert.throws(() => owned.take(), UseAfterCloseError);
  new Fd(fd).close();
  assert(!isOpen(fd));
});
