/**
 * Taking over the maps of an older layout while packets flow.
 *
 * 1. Maps whose layout is the same are pinned under the new version too: old and new programs share them. The others are
 *    made anew, and filled from the old ones. Killed here, the next start throws the new maps away and begins again.
 * 2. Connections and counters are copied last, and the new version is sealed: from here on it goes forward only.
 * 3. The programs on all hooks are changed over. No hook is without one at any time, and each looks at a whole policy.
 * 4. When no old program runs any more, what they did since the copy is brought over, and the old maps are removed.
 *
 * So a connection that stood before is in both tables while hooks change over, and what the old programs did to it is
 * not lost. One that begins in these milliseconds between a pod whose hook has changed and one whose hook has not is
 * known to one of them alone: its first answer may drop, and comes again as after any lost packet.
 *
 * @module
 */

import { BPF_ANY, BPF_NOEXIST } from "../../shared/ffi/bpf.ts";
import { exists, mkdir, rmdir, unlink } from "../../shared/ffi/files.ts";
import { getLogger } from "../../shared/log.ts";
import { gracePeriod } from "../maps/grace_period.ts";
import { LAYOUT_VERSION, listPins, sealPath } from "../programs/pins.ts";
import type { Transfer, TransferCount } from "./map_transfer.ts";

const log = getLogger("dataplane/migration");

/** Options of {@linkcode Migration}. */
export interface MigrationOptions {
  readonly pinDir: string;
  /** Whether an earlier process sealed the new version already. */
  readonly sealed: boolean;
  /** Newest first. */
  readonly transfers: readonly Transfer[];
}

/** The steps from older maps to those of this program. Owns the transfers. */
export class Migration implements Disposable {
  readonly #options: MigrationOptions;

  constructor(options: MigrationOptions) {
    this.#options = options;
  }

  /** Step 1: what user space owns. The new maps are used by nobody yet. @throws SysError */
  fillOwned(): void {
    if (this.#options.sealed) return;
    // Only those of the version that holds the truth are here: see KernelObjects.
    for (const transfer of this.#of("owned")) transfer.fill(BPF_ANY);
  }

  /** Step 2. @throws SysError */
  seal(): void {
    const { pinDir } = this.#options;
    const begun = new Set<string>();
    for (const transfer of this.#of("live")) {
      // What is from a newer table stands, and so does what a process before this one copied: it may be in use.
      const isEmpty = !this.#options.sealed && !begun.has(transfer.name);
      begun.add(transfer.name);
      report("copied", transfer, transfer.fill(isEmpty ? BPF_ANY : BPF_NOEXIST));
    }
    if (this.#options.sealed) return;
    for (const transfer of this.#of("counters")) transfer.fill(BPF_ANY);
    mkdir(sealPath(pinDir, LAYOUT_VERSION), 0o700);
  }

  /** Step 4, after the last hook has changed over. @throws SysError */
  async finish(): Promise<void> {
    await gracePeriod();
    for (const transfer of this.#of("live")) {
      report("brought over", transfer, transfer.drain());
    }
    removeOlder(this.#options.pinDir);
  }

  [Symbol.dispose](): void {
    for (const transfer of this.#options.transfers) transfer[Symbol.dispose]();
  }

  #of(role: Transfer["role"]): Transfer[] {
    return this.#options.transfers.filter((transfer) => transfer.role === role);
  }
}

/** Removes what an interrupted migration made and nobody uses. @throws SysError */
export function removeScratch(pinDir: string, files: readonly { readonly file: string }[]): void {
  if (files.length === 0) return;
  log.info("begins a migration again that was interrupted", { maps: files.length });
  for (const { file } of files) unlink(`${pinDir}/${file}`);
}

/** The seal goes last: with it, a process that dies before that is followed by one that goes on here. */
function removeOlder(pinDir: string): void {
  const { maps, seals } = listPins(pinDir);
  const older = maps.filter(({ version }) => version < LAYOUT_VERSION);
  for (const { file } of older) unlink(`${pinDir}/${file}`);
  for (const { file } of seals) if (exists(`${pinDir}/${file}`)) rmdir(`${pinDir}/${file}`);
  log.info("migrated", {
    from: [...new Set(older.map(({ version }) => version))],
    to: LAYOUT_VERSION,
    maps: older.length,
  });
}

function report(what: string, { name }: Transfer, { moved, refused }: TransferCount): void {
  log.info(what, { map: name, entries: moved });
  if (refused > 0) log.warn("entries found no room in the new map", { map: name, refused });
}
