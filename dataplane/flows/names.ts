/** Names of pods and rules, joined to flow events. Pure. */

/** A pod's name. */
export interface PodName {
  readonly podName: string;
  readonly namespace: string;
}

interface NamedEndpoint extends PodName {
  readonly identity: number;
}

/** Endpoints that left and whose last events may still come. */
const MOST_DEPARTED = 4096;

/** Pod names by address. Of an endpoint that has left, the name stays for its last events. */
export class PodNames {
  readonly #present = new Map<number, NamedEndpoint>();
  readonly #departed = new Map<number, NamedEndpoint>();

  /** Takes the name of the pod at an address. */
  set(ip: number, identity: number, name: PodName): void {
    const before = this.#present.get(ip);
    if (before !== undefined && before.identity !== identity) this.#depart(ip, before);
    this.#present.set(ip, { podName: name.podName, namespace: name.namespace, identity });
  }

  /** The pod at an address is gone. */
  delete(ip: number): void {
    const before = this.#present.get(ip);
    if (before === undefined) return;
    this.#present.delete(ip);
    this.#depart(ip, before);
  }

  /** The name of the pod at an address now. */
  get(ip: number): PodName | undefined {
    return this.#present.get(ip);
  }

  /** The name of the pod that had this identity at this address when an event was made. */
  find(ip: number, identity: number): PodName | undefined {
    const present = this.#present.get(ip);
    if (present?.identity === identity) return present;
    const departed = this.#departed.get(ip);
    return departed?.identity === identity ? departed : present;
  }

  #depart(ip: number, endpoint: NamedEndpoint): void {
    this.#departed.delete(ip);
    this.#departed.set(ip, endpoint);
    if (this.#departed.size <= MOST_DEPARTED) return;
    for (const oldest of this.#departed.keys()) {
      this.#departed.delete(oldest);
      return;
    }
  }
}

/** Rules that left and whose last events may still come. */
const MOST_FORMER = 4096;

/** Names of rules by id. Of a rule that has left, the name stays for its last events. */
export class RuleNames {
  readonly #present = new Map<number, string>();
  readonly #former = new Map<number, string>();

  /** Replaces all names. */
  replace(names: ReadonlyMap<number, string>): void {
    for (const id of [...this.#present.keys()]) if (!names.has(id)) this.delete(id);
    for (const [id, name] of names) this.set(id, name);
  }

  /** Adds or replaces one name. */
  set(ruleId: number, name: string): void {
    this.#former.delete(ruleId);
    this.#present.set(ruleId, name);
  }

  /** A rule is gone. */
  delete(ruleId: number): void {
    const name = this.#present.get(ruleId);
    if (name === undefined) return;
    this.#present.delete(ruleId);
    this.#former.set(ruleId, name);
    if (this.#former.size <= MOST_FORMER) return;
    const [oldest] = this.#former.keys();
    if (oldest !== undefined) this.#former.delete(oldest);
  }

  /** The name of a rule, or "" when nobody said it. */
  get(ruleId: number): string {
    return this.#present.get(ruleId) ?? this.#former.get(ruleId) ?? RESERVED.get(ruleId) ?? "";
  }

  /** The present names. */
  get all(): ReadonlyMap<number, string> {
    return this.#present;
  }
}

/** `enum reserved_rule` of bpf/lib/policy.h. */
const RESERVED: ReadonlyMap<number, string> = new Map([
  [1, "default-deny"],
  [2, "default-allow"],
]);
