import type { Fault } from "../../shared/doctor/fault.ts";
import type { Spool } from "../pods/spool.ts";

/** A deletion takes seconds at most, and writing it down much less. */
const LONG_MS = 10_000;

/** Files in the spool that nobody works off any more, and deletions that do not succeed. */
export function spoolFaults(spool: Spool): Fault[] {
  return [...Deno.readDirSync(spool.dir)].flatMap(({ name }) => {
    const path = `${spool.dir}/${name}`;
    const waits = spool.isWaiting(name);
    const fresh = ageMs(path) < LONG_MS && (waits || name.endsWith(".tmp"));
    return fresh ? [] : [waits ? stuck(spool, path) : stray(path)];
  });
}

function stuck(spool: Spool, path: string): Fault {
  return {
    kind: "spool",
    object: path,
    expected: "worked off",
    found: "a deletion that does not succeed: the agent's log says why",
    remedy: "--fix tries it again now",
    repair: () => spool.scan(),
  };
}

function stray(path: string): Fault {
  return {
    kind: "spool",
    object: path,
    expected: "no such file",
    found: "no deferred deletion that can be read",
    remedy: "--fix removes the file",
    repair: () => Deno.removeSync(path),
  };
}

function ageMs(path: string): number {
  try {
    return Date.now() - (Deno.statSync(path).mtime?.getTime() ?? 0);
  } catch (error) {
    // Worked off just now.
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
