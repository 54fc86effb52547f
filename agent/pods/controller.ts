import { getLogger } from "../../shared/log.ts";
import { failedPrecondition, toRpcError } from "../../shared/rpc/errors.ts";
import type { DataplaneCalls } from "../dataplane/calls.ts";
import type { DataplaneLink } from "../dataplane/link.ts";
import { attachPrograms, type EndpointBook } from "../enforce/endpoint_book.ts";
import type { Enforcer } from "../enforce/enforcer.ts";
import { allSettled } from "../enforce/settled.ts";
import { type Attachment, attachmentId, type AttachmentKey } from "../state/mod.ts";
import { KeyedLock } from "./keyed_lock.ts";
import type { LaterAttach } from "./later_attach.ts";
import type { PodNetwork } from "./network.ts";
import type { PodRegistry } from "./registry.ts";
import { type AddPodSpec, netnsIdentityIfThere } from "./requests.ts";
import type { UnknownLinks } from "./unknown_links.ts";

const log = getLogger("agent/pods");
/** The kernel may take up to one second over a veth whose ends have the same index. */
const RUNNING_TIMEOUT_MS = 1500;

/** What the controller works with. */
export interface PodControllerOptions {
  readonly registry: PodRegistry;
  readonly network: PodNetwork;
  readonly link: DataplaneLink;
  readonly endpoints: EndpointBook;
  readonly enforcer: Enforcer;
  /** Host interfaces that the registry does not know. */
  readonly unknown: UnknownLinks;
  /** Moves programs to TCX when nobody waits. */
  readonly later: LaterAttach;
  /** MTU of a new pod, in bytes. */
  readonly podMtu: () => number;
}

/**
 * Adds and deletes pod interfaces. Calls for one attachment run one after the other, those for
 * different ones at once. What fails is undone whole; what is done is stored before it is answered.
 */
export class PodController {
  readonly #options: PodControllerOptions;
  readonly #lock = new KeyedLock();
  /** Attachments whose interface was made anew and waits, down, for its programs and its policy. */
  readonly #closed = new Set<string>();

  constructor(options: PodControllerOptions) {
    this.#options = options;
  }

  /**
   * Adds a pod's interface; one that is there and whole is returned as it is.
   * @throws {RpcError | AddressError | NetlinkError | SysError}
   */
  add(spec: AddPodSpec): Promise<Attachment> {
    return this.#run(spec, async () => {
      const known = this.#options.registry.get(spec);
      if (known !== undefined) {
        if (this.#isSame(known, spec)) return await this.#keep(known, spec.quickAttach);
        await this.#remove(known);
      }
      return await this.#create(spec);
    });
  }

  /**
   * Deletes a pod's interface, whatever is left of it; an unknown one is no error.
   * @returns whether it was known
   */
  delete(key: AttachmentKey): Promise<boolean> {
    const { registry, unknown } = this.#options;
    return this.#run(key, async () => {
      const removed = registry.get(key) === undefined && await unknown.remove(key);
      // It may have become known meanwhile.
      const known = registry.get(key);
      if (known === undefined) return removed;
      await this.#remove(known);
      return true;
    });
  }

  /** Deletes all interfaces of a container; none is no error. */
  async deleteContainer(containerId: string): Promise<void> {
    const { registry, unknown } = this.#options;
    const known = registry.ofContainer(containerId);
    await Promise.all(known.map((pod) => this.delete(pod)));
    if (known.length === 0) await unknown.remove({ containerId, ifName: "" });
  }

  /** Deletes all that are not listed. @returns those that were deleted */
  async collectGarbage(valid: Iterable<AttachmentKey>): Promise<AttachmentKey[]> {
    const { registry } = this.#options;
    const kept = [...valid];
    const keep = new Set(kept.map((key) => attachmentId(registry.get(key) ?? key)));
    const known = registry.list();
    const garbage = known.filter((pod) => !keep.has(attachmentId(pod)) && pod.state !== "adding");
    await Promise.all(garbage.map((pod) => this.delete(pod)));
    await this.#options.unknown.collectGarbage(kept);
    return garbage;
  }

  /**
   * Repairs what can be of a ready pod: interface, programs, endpoint. One that is gone meanwhile is no error.
   * @throws {RpcError | NetlinkError | SysError}
   */
  async repair(key: AttachmentKey): Promise<void> {
    const { registry, network, link } = this.#options;
    await this.#lock.run(this.#lockKey(key), async () => {
      const known = registry.get(key);
      if (known?.state !== "ready") return;
      // What #mend does not look at.
      if (network.isWhole(known)) network.repair(known);
      if (link.connected) await this.#keep(known, false);
      else await this.#mend(known);
    });
  }

  /** Whether a call for an attachment is under way. */
  isBusy(key: AttachmentKey): boolean {
    return this.#lock.isHeld(this.#lockKey(key));
  }

  /** Brings what the database holds and what the kernel has together, once at start. */
  async reconcile(): Promise<void> {
    const { registry, unknown } = this.#options;
    for (const pod of registry.list()) {
      const alive = netnsIdentityIfThere(pod.netns) === pod.netnsId;
      if (pod.state === "ready" && alive) await this.#mend(pod);
      else {
        log.info("freeing what is left of a pod", { ...podFields(pod), state: pod.state, alive });
        await this.#remove(pod);
      }
    }
    await unknown.removeBroken();
  }

  /** Opens what was made anew: called when the dataplane has programs, endpoints and policy in place. */
  openRecreated(): void {
    const { registry, network, enforcer } = this.#options;
    for (const pod of registry.list()) {
      if (enforcer.unattached.has(pod.hostIfName)) continue;
      if (this.#closed.delete(attachmentId(pod))) network.activate(pod);
    }
  }

  /** Runs a call when earlier ones for the same attachment are done. */
  #run<T>(key: AttachmentKey, call: () => Promise<T>): Promise<T> {
    return this.#options.later.during(() => this.#lock.run(this.#lockKey(key), call));
  }

  /** One lock for all names of an attachment. */
  #lockKey(key: AttachmentKey): string {
    return attachmentId(this.#options.registry.get(key) ?? key);
  }

  /** Whether a known attachment is the one asked for, and still in the namespace asked for. */
  #isSame(known: Attachment, spec: AddPodSpec): boolean {
    return known.state === "ready" && known.netnsId === spec.netnsId &&
      known.podName === spec.podName && known.podNamespace === spec.podNamespace &&
      (spec.requestedIp === undefined || spec.requestedIp.equals(known.ip));
  }

  async #keep(known: Attachment, quick: boolean): Promise<Attachment> {
    const pod = await this.#mend(known);
    const { link, endpoints, network, later } = this.#options;
    await link.call(async (calls) => {
      await attachPrograms(calls, pod.hostIfName, quick);
      await endpoints.upsert(calls, endpoints.endpointOf(pod));
    });
    if (this.#closed.delete(attachmentId(pod))) network.activate(pod);
    await this.#untilRunning(pod);
    if (quick) later.add(pod.hostIfName);
    return pod;
  }

  /** Repairs a living pod's interface; one that is gone is made anew, and stays closed. */
  async #mend(pod: Attachment): Promise<Attachment> {
    const { network } = this.#options;
    try {
      const whole = network.isWhole(pod);
      const faults = whole ? network.check(pod) : ["the interface is not there"];
      if (faults.length === 0) return pod;
      log.warn("repairing a pod's interface", { ...podFields(pod), faults: faults.join("; ") });
      if (!whole) return await this.#recreate(pod);
      network.repair(pod);
    } catch (error) {
      log.error("cannot repair a pod's interface", { ...podFields(pod), error });
    }
    return pod;
  }

  async #recreate(pod: Attachment): Promise<Attachment> {
    const { network, registry } = this.#options;
    await network.remove(pod);
    this.#closed.add(attachmentId(pod));
    return registry.update(pod, { hostIfindex: network.create(pod) });
  }

  /** Another's interface in the pod is not ours to take away. */
  #checkFree({ netns, netnsId, ifName }: Omit<AddPodSpec, "quickAttach">): void {
    const { registry, network } = this.#options;
    if (!network.hasLink(netns, ifName)) return;
    const owner = registry.list().find((pod) => pod.netnsId === netnsId && pod.ifName === ifName);
    const remedy = owner === undefined
      ? "remove that interface, or ask for another if_name"
      : `it belongs to container ${owner.containerId}: delete that first (CNI DEL)`;
    throw failedPrecondition(`netns ${netns} has an interface ${ifName} already; ${remedy}`);
  }

  async #create({ quickAttach, ...spec }: AddPodSpec): Promise<Attachment> {
    const { registry, network, link, endpoints, enforcer, later } = this.#options;
    await network.untilFree();
    this.#checkFree(spec);
    await link.call(() => Promise.resolve());
    await using undo = new AsyncDisposableStack();
    const identityLabels = enforcer.identityLabels(spec);
    let pod = registry.begin({ ...spec, identityLabels, mtu: this.#options.podMtu() });
    let rest = false;
    undo.defer(() => {
      registry.remove(registry.get(pod) ?? pod, rest);
      enforcer.applyInBackground();
    });
    undo.defer(() => network.remove(pod));
    const hostIfindex = network.create(pod);
    await allSettled([
      enforcer.apply(),
      link.call((calls) => attachPrograms(calls, pod.hostIfName, quickAttach)),
    ]);
    undo.defer(() => link.callIfConnected((calls) => endpoints.remove(calls, pod.ip)));
    do {
      pod = { ...(registry.get(pod) ?? pod), hostIfindex };
      await link.call((calls) => endpoints.upsert(calls, endpoints.endpointOf(pod)));
      // Labels that changed meanwhile are another identity: its policy comes first.
    } while (endpoints.isStale(pod) && await enforcer.apply().then(() => true));
    rest = true;
    network.activate(pod);
    pod = registry.update(pod, { state: "ready", hostIfindex });
    undo.move();
    await this.#untilRunning(pod);
    if (quickAttach) later.add(pod.hostIfName);
    log.info("pod added", { ...podFields(pod), identity: registry.identityId(pod) });
    return pod;
  }

  /** A pod whose first packets may be lost is better than none: this never fails. */
  async #untilRunning(pod: Attachment): Promise<void> {
    try {
      const late = await this.#options.network.untilRunning(pod, RUNNING_TIMEOUT_MS);
      if (late.length > 0) log.warn("not running yet", { ...podFields(pod), links: late.join() });
    } catch (error) {
      log.warn("cannot see whether the interface runs", { ...podFields(pod), error });
    }
  }

  /** Closes the pod first, then takes everything away, then forgets it. */
  async #remove(known: Attachment): Promise<void> {
    const { registry, network, endpoints, enforcer } = this.#options;
    const pod = registry.update(known, { state: "deleting" });
    this.#closed.delete(attachmentId(pod));
    this.#options.later.forget(pod.hostIfName);
    await this.#tell(pod, (calls) => endpoints.remove(calls, pod.ip));
    await network.remove(pod);
    registry.remove(pod, true);
    enforcer.applyInBackground();
    log.info("pod deleted", podFields(pod));
  }

  /** The pod must go even when the dataplane does not take it: the next resync tells it again. */
  async #tell(pod: Attachment, work: (calls: DataplaneCalls) => Promise<void>): Promise<void> {
    try {
      await this.#options.link.callIfConnected(work);
    } catch (error) {
      const why = toRpcError(error).message;
      log.warn("cannot tell the dataplane", { ...podFields(pod), error: why });
    }
  }
}

function podFields(pod: Attachment) {
  return {
    pod: `${pod.podNamespace}/${pod.podName}`,
    ip: pod.ip.toString(),
    link: pod.hostIfName,
  };
}
