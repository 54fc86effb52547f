import { labelKey, type Labels, NAMESPACE_LABEL } from "../identity/mod.ts";
import { PORTS_LABEL } from "../policy/mod.ts";

/** A set of labels that pods have, and the namespace that they are in. */
export interface LabelSetEntry {
  readonly id: number;
  readonly namespace: string;
  /** All of an identity's labels. */
  readonly all: Labels;
  /** Those that the pods themselves carry. */
  readonly own: Labels;
}

/** Numbers for the label sets of identities, which stay the same while identities come and go, and are given once. */
export class LabelSets {
  readonly #most: number;
  readonly #byKey = new Map<string, LabelSetEntry>();
  #nextId = 0;

  /** @param most sets that are kept */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whether there is no room for a new one. */
  get isFull(): boolean {
    return this.#byKey.size >= this.#most;
  }

  /** The entry of a label set that is kept. */
  find(labels: Labels): LabelSetEntry | undefined {
    return this.#byKey.get(labelKey(labels));
  }

  /** The entry of a label set; undefined when it is new and there is no room. */
  of(labels: Labels): LabelSetEntry | undefined {
    const key = labelKey(labels);
    return this.#byKey.get(key) ?? this.#add(key, labels);
  }

  /** Forgets all but these. */
  keepOnly(used: ReadonlySet<LabelSetEntry>): void {
    for (const [key, entry] of this.#byKey) if (!used.has(entry)) this.#byKey.delete(key);
  }

  #add(key: string, labels: Labels): LabelSetEntry | undefined {
    if (this.isFull) return undefined;
    const namespace = labels[NAMESPACE_LABEL] ?? "";
    const entry = { id: this.#nextId++, namespace, all: labels, own: ownLabels(labels) };
    this.#byKey.set(key, entry);
    return entry;
  }
}

/** The labels of an identity less those that no pod carries. */
export function ownLabels(labels: Labels): Labels {
  const { [NAMESPACE_LABEL]: _namespace, [PORTS_LABEL]: _ports, ...own } = labels;
  return own;
}
