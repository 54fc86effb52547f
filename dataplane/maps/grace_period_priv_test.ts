import { shim } from "../../shared/ffi/library.ts";
import { gracePeriod, waitByMapInMap } from "./grace_period.ts";

// Loaded here and not within a test, whose sanitizer would take a library that stays for a leak.
shim();

Deno.test("both ways to wait come to an end", async () => {
  await gracePeriod();
  waitByMapInMap();
});
