/** Which of the pinned layouts holds the truth, and what is to be done about the others. Pure. */

import type { MapPin, PinListing } from "../programs/pins.ts";

/** The maps are of a newer layout than this program knows; nothing was changed. */
export class NewerLayoutError extends Error {
  override readonly name = "NewerLayoutError";

  /**
   * @param pinDir Where the maps are pinned.
   * @param pins Those that are newer.
   * @param known The newest version that this program knows.
   */
  constructor(readonly pinDir: string, readonly pins: readonly MapPin[], readonly known: number) {
    const [first] = pins.toSorted((a, b) => a.file < b.file ? -1 : 1);
    const others = pins.length > 1 ? ` and ${pins.length - 1} more` : "";
    super(
      `the maps in ${pinDir} are of layout version ${first?.version} (${first?.file}${others}), and ` +
        `this novanet-dataplane knows versions up to ${known}: it leaves everything as it is, and pods ` +
        "keep their connections and policies. Start the novanet-dataplane that made them, or a newer " +
        'one; to go back to this one, remove them with "novanet-dataplane --cleanup" first',
    );
  }
}

/** The maps that are pinned, sorted by what they are good for. */
export interface Layouts {
  /** The version that holds the truth; undefined when nothing is pinned. */
  readonly truth: number | undefined;
  /** Of versions before the known one: to be taken over and removed, newest first. */
  readonly older: readonly MapPin[];
  /** What an interrupted migration had begun and nobody uses. */
  readonly scratch: readonly MapPin[];
  /** Whether there is something to take over, or to finish. */
  readonly migrates: boolean;
}

/**
 * A migration makes and fills the maps of the new version, seals it, has the programs use them, and removes those of
 * the older versions, then the seal. So with a seal its version holds the truth, else the oldest one that is there:
 * nobody served with another.
 *
 * @param known The version of this program.
 * @throws NewerLayoutError
 */
export function sortLayouts(
  pinDir: string,
  { maps, seals }: Pick<PinListing, "maps" | "seals">,
  known: number,
): Layouts {
  if (maps.length === 0) return { truth: undefined, older: [], scratch: [], migrates: false };
  const truth = seals.length > 0
    ? Math.max(...seals.map(({ version }) => version))
    : Math.min(...maps.map(({ version }) => version));
  if (truth > known) {
    throw new NewerLayoutError(pinDir, maps.filter(({ version }) => version > known), known);
  }
  const older = maps.filter(({ version }) => version <= truth && version < known)
    .sort((a, b) => b.version - a.version);
  return {
    truth,
    older,
    scratch: maps.filter(({ version }) => version > truth),
    migrates: older.length > 0 || seals.length > 0,
  };
}
