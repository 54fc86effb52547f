import type { ListPolicyEntriesResponse } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import {
  PolicyAction,
  PolicyDirection,
  type PolicyEntry,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { RpcCode, toRpcError } from "../../shared/rpc/errors.ts";
import type { DataplaneCalls } from "../dataplane/calls.ts";
import {
  ACTION,
  type CompiledEntry,
  type DesiredPolicy,
  DIRECTION,
  type PolicyChanges,
} from "../policy/mod.ts";
import { fitPolicy } from "./fit_policy.ts";
import { PendingChanges, type PolicyPatch } from "./pending_changes.ts";
import { unionPolicy } from "./union.ts";

const log = getLogger("agent/policy");

/** The dataplane has no room for our set. */
export interface Refusal {
  /** What it said. */
  readonly why: string;
  /**
   * Identities whose rules are not in force, and nothing that these would allow. Undefined: not even for that there was
   * room, and what was in force still is.
   */
  readonly closed: ReadonlySet<number> | undefined;
}

/**
 * Makes the dataplane's policy set equal to ours: by what has changed since it was, or by all of it when it is
 * not known what the dataplane has. One send at a time.
 */
export class PolicySender {
  readonly #desired: () => DesiredPolicy;
  /** What has changed since the dataplane had `#base`. */
  readonly #pending = new PendingChanges();
  /** The version under which the dataplane has our set; undefined: that is not known. */
  #base: bigint | undefined;
  #sending = false;
  #refused: Refusal | undefined;
  #last: Promise<void> = Promise.resolve();

  /** @param desired the set as it is now; every change of it is noted, before or after */
  constructor(desired: () => DesiredPolicy) {
    this.#desired = desired;
  }

  /** Whether the dataplane has our set, as far as we know. */
  get upToDate(): boolean {
    return this.#base !== undefined && this.#pending.empty;
  }

  /** Why our set is not in force, and what is instead; undefined when it is, as far as we know. */
  get refused(): Refusal | undefined {
    return this.#refused;
  }

  /** Notes that our set has changed. */
  note(changes: PolicyChanges): void {
    // Without a base all of the set is sent, and so nothing needs to be remembered.
    if (this.#base !== undefined || this.#sending) this.#pending.add(changes);
  }

  /** The dataplane may have anything: it is another process now. */
  forgetBase(): void {
    this.#base = undefined;
  }

  /**
   * Makes the dataplane have our set.
   * @throws {RpcError} then all of it is sent the next time. RESOURCE_EXHAUSTED: there is no room for it; what it
   *   would change is closed then, see {@linkcode fitPolicy}
   */
  send(calls: DataplaneCalls): Promise<void> {
    return this.#exclusively(async (base) => {
      try {
        await this.#sendAll(calls, base);
        this.#refused = undefined;
      } catch (error) {
        const { code, message } = toRpcError(error);
        if (code === RpcCode.RESOURCE_EXHAUSTED) await this.#close(calls, message);
        throw error;
      }
    });
  }

  async #sendAll(calls: DataplaneCalls, base: bigint | undefined): Promise<void> {
    if (await this.#patch(calls, base, () => this.#pending.takeAll())) return;
    const desired = this.#desired();
    this.#pending.clear();
    await this.#replace(calls, desired);
    this.#base = await versionOf(calls);
  }

  async #close(calls: DataplaneCalls, why: string): Promise<void> {
    const found = toDesired(await calls.ext.listPolicyEntries({}));
    const { policy, closed } = fitPolicy(found, this.#desired());
    if (this.#refused === undefined) {
      log.error("no room for the policy", { why, closed: closed.size });
    }
    this.#refused = { why, closed: undefined };
    await this.#replace(calls, policy);
    this.#refused = { why, closed };
  }

  /**
   * Makes the dataplane have a set that holds all that it had and all that ours has, for the moment in which
   * endpoints go from the identities of one to those of the other. Where both say something about the same
   * packets, ours counts. {@linkcode send} takes away the rest.
   * @throws {RpcError} then all of it is sent the next time
   */
  sendAdditions(calls: DataplaneCalls): Promise<void> {
    return this.#exclusively(async (base) => {
      if (await this.#patch(calls, base, () => this.#pending.takeAdditions())) return;
      const found = toDesired(await calls.ext.listPolicyEntries({}));
      await this.#replace(calls, unionPolicy(found, this.#desired()));
    });
  }

  /** One after the other: a send to a dataplane that went away may end after the first to its successor began. */
  #exclusively(work: (base: bigint | undefined) => Promise<void>): Promise<void> {
    const done = this.#last.then(() => this.#run(work));
    this.#last = done.catch(() => {});
    return done;
  }

  async #run(work: (base: bigint | undefined) => Promise<void>): Promise<void> {
    const base = this.#base;
    this.#base = undefined;
    this.#sending = true;
    try {
      await work(base);
    } finally {
      this.#sending = false;
      if (this.#base === undefined) this.#pending.clear();
    }
  }

  /** @returns false when it is not known what the dataplane has, or it has something else */
  async #patch(
    calls: DataplaneCalls,
    base: bigint | undefined,
    take: () => PolicyPatch,
  ): Promise<boolean> {
    if (base === undefined) return false;
    if (this.#pending.empty) {
      this.#base = base;
      return true;
    }
    const patch = take();
    try {
      const answer = await calls.ext.patchPolicies({ ...patch, baseVersion: base });
      this.#base = answer.version;
      const { added, removed, updated } = answer;
      log.debug("policy changes sent", { added, removed, updated });
      return true;
    } catch (error) {
      const { code } = toRpcError(error);
      if (code === RpcCode.UNIMPLEMENTED) return false;
      if (code !== RpcCode.FAILED_PRECONDITION) throw error;
      log.info("the dataplane has another policy set than expected; sending all of it");
      return false;
    }
  }

  async #replace(calls: DataplaneCalls, policy: DesiredPolicy): Promise<void> {
    const { added, removed, updated } = await calls.control.syncPolicies({
      policies: [...policy.policies],
      cidrIdentities: [...policy.cidrIdentities],
      ruleNames: { ...policy.ruleNames },
    });
    log.debug("policies sent", { added, removed, updated });
  }
}

/** An empty patch says which version the dataplane has; an older one knows no patches and gets whole sets. */
async function versionOf(calls: DataplaneCalls): Promise<bigint> {
  try {
    return (await calls.ext.patchPolicies({})).version;
  } catch (error) {
    if (toRpcError(error).code === RpcCode.UNIMPLEMENTED) return 0n;
    throw error;
  }
}

function toDesired(
  { policies, cidrIdentities, ruleNames }: ListPolicyEntriesResponse,
): DesiredPolicy {
  return { policies: policies.map(compiledEntry), cidrIdentities, ruleNames };
}

const ACTIONS: ReadonlyMap<PolicyAction, CompiledEntry["action"]> = new Map([
  [PolicyAction.ALLOW, ACTION.allow],
  [PolicyAction.DENY, ACTION.deny],
  [PolicyAction.AUDIT, ACTION.audit],
]);

/** The dataplane was filled by an agent: actions and directions other than ours do not occur. */
function compiledEntry(entry: PolicyEntry): CompiledEntry {
  return {
    ...entry,
    action: ACTIONS.get(entry.action) ?? ACTION.deny,
    direction: entry.direction === PolicyDirection.EGRESS ? DIRECTION.egress : DIRECTION.ingress,
  };
}
