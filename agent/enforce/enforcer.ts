import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { RpcCode, type RpcError, toRpcError } from "../../shared/rpc/errors.ts";
import type { DataplaneCalls } from "../dataplane/calls.ts";
import type { DataplaneLink } from "../dataplane/link.ts";
import type { Labels } from "../identity/mod.ts";
import { HOST_IF_PREFIX } from "../pods/names.ts";
import type { PodRegistry } from "../pods/registry.ts";
import {
  type CompiledCidr,
  type DesiredPolicy,
  FIRST_CIDR_IDENTITY,
  type IdentityExplanation,
  type ManifestSnapshot,
  type PodObject,
  type PolicyEndpoint,
  PolicyIndex,
  RULE_ID,
  SelectorKeys,
  StableIds,
} from "../policy/mod.ts";
import { type Attachment, attachmentId, type Store } from "../state/mod.ts";
import { Coalesced } from "./coalesce.ts";
import { attachPrograms, type EndpointBook, forgetPrograms } from "./endpoint_book.ts";
import { PolicySender } from "./policy_sender.ts";
import { PodLabels, type PodName, policyLabels } from "./pod_labels.ts";

const log = getLogger("agent/policy");

/** A sentence has room for so many. */
const MAX_NAMED_PODS = 5;
const NOT_IN_FORCE = "the policy as a whole is not in force";
const REMEDY = "Use fewer rules, or start the dataplane anew with a larger table";

const NOTHING: ManifestSnapshot = {
  pods: new Map(),
  namespaces: new Map(),
  policies: new Map(),
  errors: [],
  warnings: [],
  held: [],
  missing: [],
};

/** What the labels of an attachment's identity come from, beside the filter. */
interface Labelled {
  readonly object: PodObject | undefined;
  readonly given: Labels;
}

/** What the enforcer works with. */
export interface EnforcerOptions {
  readonly store: Store;
  readonly registry: PodRegistry;
  readonly endpoints: EndpointBook;
  readonly link: DataplaneLink;
  /** Labels that take no part in identities. */
  readonly excludedLabels: readonly string[];
  /** Host interfaces without a known pod whose programs stay. */
  readonly untouchedLinks: () => ReadonlySet<string>;
  /** The dataplane's configuration, key to value. */
  readonly config: Readonly<Record<number, bigint>>;
}

/**
 * Keeps the dataplane's policy and endpoints in step with the objects in force and the pods of this
 * node. It never lets a packet through that both the old and the new state would stop.
 */
export class Enforcer {
  readonly #options: EnforcerOptions;
  readonly #rules: StableIds;
  readonly #index: PolicyIndex;
  readonly #apply = new Coalesced(() => this.#options.link.call((calls) => this.#pass(calls)));
  readonly #unattached = new Set<string>();
  /** Endpoints in the index: identity and ports by address. */
  readonly #indexed = new Map<number, string>();
  /** What each attachment's identity was worked out from the last time. */
  readonly #labelled = new Map<string, Labelled>();
  readonly #selectorKeys = new SelectorKeys();
  #snapshot: ManifestSnapshot = NOTHING;
  #labels: PodLabels;
  /** The registry's version that the index knows; undefined: the pods' labels are others now. */
  #refreshed: number | undefined;
  readonly #sender = new PolicySender(() => this.#index.desired());

  constructor(options: EnforcerOptions) {
    this.#options = options;
    this.#rules = new StableIds({
      first: RULE_ID.first,
      known: options.store.rules().map(([id, name]) => [name, id]),
      onAssigned: (name, id) => options.store.saveRule(id, name),
      onForgotten: (name) => options.store.forgetRule(name),
    });
    this.#index = new PolicyIndex({
      rules: this.#rules,
      cidrs: new StableIds({ first: FIRST_CIDR_IDENTITY }),
    }, { defaultDeny: options.config[ConfigKey.DEFAULT_DENY] === 1n });
    this.#labels = new PodLabels(NOTHING.pods, options.excludedLabels, this.#selectorKeys);
  }

  /** The objects in force and what is wrong with their files. */
  get snapshot(): ManifestSnapshot {
    return this.#snapshot;
  }

  /** The compiled set that the dataplane has, or will have in a moment; put together for this call. */
  get desired(): DesiredPolicy {
    return this.#index.desired();
  }

  /** How many entries that set has. */
  get entryCount(): number {
    return this.#index.entryCount;
  }

  /** How many identities are closed because there is no room for their rules. */
  get closedIdentities(): number {
    return this.#sender.refused?.closed?.size ?? 0;
  }

  /** What of the policy is not in force, one sentence each. */
  get warnings(): string[] {
    const { refused } = this.#sender;
    if (refused === undefined) return [];
    const { why, closed } = refused;
    if (closed === undefined) {
      return [`${NOT_IN_FORCE}: ${why}; that of before still is. ${REMEDY}`];
    }
    const names = this.#options.registry.list()
      .filter((pod) => closed.has(this.#options.registry.identityId(pod)))
      .map(({ podNamespace, podName }) => `${podNamespace}/${podName}`);
    const more = names.length > MAX_NAMED_PODS ? ` and ${names.length - MAX_NAMED_PODS} more` : "";
    const list = names.slice(0, MAX_NAMED_PODS).join(", ") || "none";
    return [`${NOT_IN_FORCE}: ${why}; pods that are closed instead: ${list}${more}. ${REMEDY}`];
  }

  /** The CIDRs that policies name, with their identities. */
  get cidrIdentities(): Iterable<CompiledCidr> {
    return this.#index.cidrIdentities;
  }

  /** The name of a rule in force. */
  ruleName(id: number): string | undefined {
    return this.#index.ruleName(id);
  }

  /** Host interfaces that the dataplane would not take at the last connection. */
  get unattached(): ReadonlySet<string> {
    return this.#unattached;
  }

  /** The number of a policy rule that has one. */
  ruleNumber(name: string): number | undefined {
    return this.#rules.get(name);
  }

  /** The configuration that the dataplane should have, key to value. */
  get config(): Readonly<Record<number, bigint>> {
    return this.#options.config;
  }

  /**
   * Sends the whole policy, whatever the dataplane is believed to have.
   * @throws {RpcError} UNAVAILABLE when the dataplane does not answer
   */
  async sendAgain(): Promise<void> {
    this.#sender.forgetBase();
    await this.apply();
  }

  /** The label set that a pod's identity stands for. */
  identityLabels(pod: PodName): Labels {
    return this.#labels.identityLabels(pod);
  }

  /** The rules in force for the pods of an identity, and where they are written. */
  explain(identity: number): IdentityExplanation {
    return this.#index.explain(identity);
  }

  /** Takes new objects in force; {@linkcode apply} makes them effective. */
  setSnapshot(snapshot: ManifestSnapshot): void {
    this.#snapshot = snapshot;
    const { pods, policies } = this.#index.applySnapshot(snapshot);
    const otherKeys = this.#selectorKeys.update(policies);
    if (otherKeys) this.#labelled.clear();
    if (!otherKeys && pods.upserted.length + pods.removed.length === 0) return;
    const { excludedLabels } = this.#options;
    this.#labels = new PodLabels(snapshot.pods, excludedLabels, this.#selectorKeys);
    this.#refreshed = undefined;
  }

  /**
   * Makes everything effective that is known when it is called.
   * @throws {RpcError} UNAVAILABLE when the dataplane does not answer
   */
  apply(): Promise<void> {
    return this.#apply.run();
  }

  /** The same, when nobody waits for it: a dataplane that is away gets all when it is back. */
  applyInBackground(): void {
    if (!this.#options.link.connected) {
      this.#refresh();
      return;
    }
    this.apply().catch((error) =>
      log.warn("not applied yet", { error: toRpcError(error).message })
    );
  }

  /** Brings a dataplane that has just connected up to date, by difference. */
  async resync(calls: DataplaneCalls): Promise<void> {
    const { endpoints } = this.#options;
    await calls.control.updateConfig({ entries: { ...this.#options.config } });
    const { endpoints: found } = await calls.ext.listEndpoints({});
    endpoints.adopt(found);
    this.#sender.forgetBase();
    await this.#pass(calls);
    await this.#syncPrograms(calls);
    const changed = await endpoints.sync(calls, found);
    // What came meanwhile was left to this: nobody else sends before the dataplane is up to date.
    await this.#pass(calls);
    log.info("dataplane is up to date", { endpointsChanged: changed });
  }

  /** Puts programs on what lacks them, and lets go of those of pods that left. */
  async #syncPrograms(calls: DataplaneCalls): Promise<void> {
    const pods = this.#options.registry.list();
    const { programs } = await calls.control.getDataplaneStatus({});
    const known = new Set(pods.map(({ hostIfName }) => hostIfName));
    const gone = new Set(programs.map(({ interfaceName }) => interfaceName))
      .difference(known).difference(this.#options.untouchedLinks());
    for (const name of gone) if (name.startsWith(HOST_IF_PREFIX)) await forgetPrograms(calls, name);
    this.#unattached.clear();
    for (const { hostIfName } of pods.filter(({ state }) => state === "ready")) {
      await attachPrograms(calls, hostIfName).catch((error) => {
        this.#unattached.add(hostIfName);
        log.error("cannot attach", { link: hostIfName, error: toRpcError(error).message });
      });
    }
  }

  /** Tells the dataplane what it does not have. */
  async #pass(calls: DataplaneCalls): Promise<void> {
    this.#refresh();
    const stale = this.#options.endpoints.stale();
    if (this.#sender.upToDate && stale.length === 0) return;
    if (stale.length === 0) await this.#sender.send(calls);
    else if (stale.some((pod) => this.#options.endpoints.isReused(pod))) {
      await this.#moveClosed(calls, stale);
    } else await this.#moveOpen(calls, stale);
  }

  /** Endpoints go over while the union of both sets is in force: nothing is interrupted. */
  async #moveOpen(calls: DataplaneCalls, stale: Attachment[]): Promise<void> {
    try {
      await this.#sender.sendAdditions(calls);
    } catch (error) {
      if (toRpcError(error).code !== RpcCode.RESOURCE_EXHAUSTED) throw error;
      // No room for both sets at once, as there may be for one of them.
      await this.#moveClosed(calls, stale);
      return;
    }
    for (const pod of stale) await this.#upsert(calls, pod);
    await this.#sender.send(calls);
  }

  /** An identity means something else now: its endpoints are closed until the new set is in force. */
  async #moveClosed(calls: DataplaneCalls, stale: Attachment[]): Promise<void> {
    for (const pod of stale) await this.#options.endpoints.remove(calls, pod.ip);
    const refusal = await this.#sendOrClose(calls);
    for (const pod of stale) await this.#upsert(calls, pod);
    if (refusal !== undefined) throw refusal;
  }

  /** @returns why the set is not in force; what it would change is closed then @throws {RpcError} when it is not */
  async #sendOrClose(calls: DataplaneCalls): Promise<RpcError | undefined> {
    try {
      await this.#sender.send(calls);
      return undefined;
    } catch (error) {
      const refusal = toRpcError(error);
      const isClosed = refusal.code === RpcCode.RESOURCE_EXHAUSTED &&
        this.#sender.refused?.closed !== undefined;
      if (isClosed) return refusal;
      throw error;
    }
  }

  async #upsert(calls: DataplaneCalls, pod: Attachment): Promise<void> {
    const { endpoints, registry } = this.#options;
    const now = registry.get(pod);
    if (now?.state === "ready") await endpoints.upsert(calls, endpoints.endpointOf(now));
  }

  /** Works out identities and the compiled set from the pods as they are now. */
  #refresh(): void {
    const { registry } = this.#options;
    if (this.#refreshed !== registry.version) {
      this.#relabel();
      this.#indexEndpoints();
      this.#refreshed = registry.version;
    }
    this.#sender.note(this.#index.takeChanges());
  }

  #relabel(): void {
    const { registry } = this.#options;
    const pods = registry.list();
    for (const pod of pods) {
      const id = attachmentId(pod);
      const from = { object: this.#labels.object(pod), given: pod.labels };
      const before = this.#labelled.get(id);
      if (before?.object === from.object && before?.given === from.given) continue;
      registry.relabel(pod, this.#labels.identityLabels(pod));
      this.#labelled.set(id, from);
    }
    if (this.#labelled.size === pods.length) return;
    const present = new Set(pods.map(attachmentId));
    for (const id of this.#labelled.keys()) if (!present.has(id)) this.#labelled.delete(id);
  }

  #indexEndpoints(): void {
    const { registry } = this.#options;
    const wanted = registry.list().filter(({ state }) => state !== "deleting");
    const byIp = new Map(wanted.map((pod) => [pod.ip.value, pod]));
    for (const [ip, mark] of this.#indexed) {
      const pod = byIp.get(ip);
      if (pod !== undefined && this.#mark(pod) === mark) byIp.delete(ip);
      else this.#drop(ip);
    }
    for (const pod of byIp.values()) {
      this.#index.upsertEndpoint(this.#policyEndpoint(pod));
      this.#indexed.set(pod.ip.value, this.#mark(pod));
    }
  }

  #drop(ip: number): void {
    this.#index.removeEndpoint(Ipv4.fromU32(ip));
    this.#indexed.delete(ip);
  }

  #mark(pod: Attachment): string {
    return `${this.#options.registry.identityId(pod)} ${attachmentId(pod)}`;
  }

  #policyEndpoint(pod: Attachment): PolicyEndpoint {
    return {
      namespace: pod.podNamespace,
      name: pod.podName,
      identity: this.#options.registry.identityId(pod),
      labels: policyLabels(pod.identityLabels),
      namedPorts: this.#labels.namedPorts(pod),
      ip: pod.ip,
    };
  }
}
