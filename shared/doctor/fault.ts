/** A part of the node that an inspection found wrong. */
export interface Fault {
  /** What kind of thing: `veth`, `route`, `policy map`. */
  readonly kind: string;
  /** Which one. */
  readonly object: string;
  /** What should be there. */
  readonly expected: string;
  /** What is there. */
  readonly found: string;
  /** What to do about it. */
  readonly remedy: string;
  /** It may be meant to be so. */
  readonly warning?: boolean;
  /**
   * Repairs it, safely and so that it may be done again; absent when a person must. Faults that one repair
   * mends share one function, which runs once.
   */
  readonly repair?: (() => void | Promise<void>) | undefined;
}

/** A fault, and what became of it. */
export interface Finding extends Omit<Fault, "repair" | "warning"> {
  readonly repairable: boolean;
  readonly warning: boolean;
  /** It is not there any more. */
  readonly repaired: boolean;
  /** Why its repair failed; empty when it did not or was not tried. */
  readonly repairError: string;
}

const NO_USE = "nothing changed; the daemon's log may say why";

/** Looks once. */
export type Look = () => Fault[] | Promise<Fault[]>;

/** Between two looks: what is under way has moved on by then. */
const PAUSE_MS = 150;
/** One repair may bring another fault to light. */
const MOST_ROUNDS = 3;
/** Of one kind; what more there is, is counted. */
const MOST_OF_A_KIND = 100;

/**
 * Looks for faults, and repairs them if asked to. On a living node things change between two questions, so that
 * only what two looks find alike is a fault.
 * @param pauseMs between the two; `once`: the caller looks again itself
 * @throws what the look throws; what a repair throws becomes part of its finding
 */
export async function inspect(
  look: Look,
  { repair, pauseMs = PAUSE_MS }: { readonly repair: boolean; readonly pauseMs?: number | "once" },
): Promise<Finding[]> {
  let faults = await lookTwice(look, pauseMs);
  const findings = new Map(faults.map((fault) => [keyOf(fault), toFinding(fault)]));
  if (!repair) return bounded(findings.values());
  for (let round = 0; round < MOST_ROUNDS && faults.some((fault) => fault.repair); round++) {
    const errors = await repairAll(faults);
    const tried = new Set(faults.filter((fault) => fault.repair !== undefined).map(keyOf));
    faults = await lookTwice(look, pauseMs);
    const left = new Set(faults.map(keyOf));
    for (const fault of faults) {
      if (!findings.has(keyOf(fault))) findings.set(keyOf(fault), toFinding(fault));
    }
    for (const [key, finding] of findings) {
      const repaired = !left.has(key);
      findings.set(key, {
        ...finding,
        repaired,
        repairError: repaired ? "" : errors.get(key) ?? (tried.has(key) ? NO_USE : ""),
      });
    }
  }
  return bounded(findings.values());
}

function bounded(findings: Iterable<Finding>): Finding[] {
  const kinds = Map.groupBy(findings, ({ kind }) => kind);
  return [...kinds.values()].flatMap((all) => {
    const [shown, more] = [all.slice(0, MOST_OF_A_KIND), all.slice(MOST_OF_A_KIND)];
    const [first] = more;
    if (first === undefined) return shown;
    const repaired = more.every((finding) => finding.repaired);
    return [...shown, {
      ...first,
      object: `${more.length} more`,
      expected: "",
      found: "",
      repaired,
    }];
  });
}

async function lookTwice(look: Look, pauseMs: number | "once"): Promise<Fault[]> {
  const first = await look();
  if (first.length === 0 || pauseMs === "once") return first;
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  const again = new Map((await look()).map((fault) => [keyOf(fault), fault]));
  const seen = new Set(first.map(keyOf));
  return [...again].filter(([key]) => seen.has(key)).map(([, fault]) => fault);
}

/** @returns why repairs failed, by fault */
async function repairAll(faults: readonly Fault[]): Promise<Map<string, string>> {
  const errors = new Map<string, string>();
  for (const [repair, mended] of Map.groupBy(faults, ({ repair }) => repair)) {
    if (repair === undefined) continue;
    try {
      await repair();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      for (const fault of mended) errors.set(keyOf(fault), why);
    }
  }
  return errors;
}

function keyOf({ kind, object, expected, found }: Omit<Fault, "repair">): string {
  return [kind, object, expected, found].join("\0");
}

function toFinding({ repair, warning = false, ...fault }: Fault): Finding {
  return {
    ...fault,
    warning,
    repairable: repair !== undefined,
    repaired: false,
    repairError: "",
  };
}
