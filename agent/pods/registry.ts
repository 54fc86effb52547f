import { AddressPool } from "../ipam/address_pool.ts";
import { type Identity, type IdentityChange, IdentityTable, type Labels } from "../identity/mod.ts";
import { type Cidr, type Ipv4, Mac } from "../../shared/net/mod.ts";
import {
  adoptedContainerId,
  type Attachment,
  attachmentId,
  type AttachmentKey,
  isAdopted,
  type Store,
} from "../state/mod.ts";
import { HOST_IF_PREFIX, hostIfNames } from "./names.ts";

/** A pod interface that does not exist yet. */
export interface NewAttachment extends AttachmentKey {
  readonly podNamespace: string;
  readonly podName: string;
  readonly netns: string;
  readonly netnsId: string;
  /** As AddPod gave them. */
  readonly labels: Labels;
  readonly identityLabels: Labels;
  /** The address asked for, undefined for any. */
  readonly requestedIp: Ipv4 | undefined;
  /** In bytes. */
  readonly mtu: number;
}

/** What the registry needs to know of the node. */
export interface RegistryOptions {
  readonly podCidr: Cidr;
  /** How long a released address rests, in milliseconds. */
  readonly restMs: number;
  /** Says of an address that the host itself has it. */
  readonly isHostAddress: (ip: number) => boolean;
  /** Says whether a host interface of that name exists. */
  readonly hostIfExists: (name: string) => boolean;
  /** The time, Unix, milliseconds. */
  readonly now: () => number;
}

/**
 * The pods of this node: what the database holds, in memory for reading. Every change is stored
 * before its method returns; one that cannot be stored changes nothing.
 */
export class PodRegistry {
  readonly #store: Store;
  readonly #options: RegistryOptions;
  readonly #byId = new Map<string, Attachment>();
  readonly #byIp = new Map<number, Attachment>();
  readonly #identities = new IdentityTable();
  readonly #pool: AddressPool;
  #version = 0;

  /** Loads what the store holds. */
  constructor(store: Store, options: RegistryOptions) {
    this.#store = store;
    this.#options = options;
    store.forgetRested(options.now() - options.restMs);
    for (const attachment of store.attachments()) {
      this.#remember(attachment);
      this.#identities.acquire(attachment.identityLabels, attachmentId(attachment));
    }
    store.forgetUnusedIdentities();
    this.#pool = new AddressPool(options.podCidr, options.restMs, {
      used: this.#byIp.keys(),
      resting: store.restingAddresses(),
    }, options.isHostAddress);
  }

  /** Another one with every change of an attachment or an identity's number. */
  get version(): number {
    return this.#version;
  }

  /** The pods' default gateway. */
  get gateway(): Ipv4 {
    return this.#pool.gateway;
  }

  /** Addresses of the pod CIDR: how many are in use, and of how many; and how many of other CIDRs are. */
  get addresses(): { readonly used: number; readonly total: number; readonly outside: number } {
    const { used, total, outside } = this.#pool;
    return { used, total, outside };
  }

  /** All attachments, in the order in which they came. */
  list(): Attachment[] {
    return [...this.#byId.values()];
  }

  /** One attachment; one that was taken over is found by what its host interface's name says. */
  get(key: AttachmentKey): Attachment | undefined {
    return this.#byId.get(attachmentId(key)) ?? this.#adoptedBy(key);
  }

  /** The attachment that has an address. */
  byIp(ip: number): Attachment | undefined {
    return this.#byIp.get(ip);
  }

  /** All attachments of a container; of one that was taken over only the name's beginning is known. */
  ofContainer(containerId: string): Attachment[] {
    return this.list().filter((pod) =>
      pod.containerId === containerId ||
      this.#adoptedBy({ containerId, ifName: pod.ifName })?.hostIfName === pod.hostIfName
    );
  }

  /** All attachments of a pod. */
  byPod(namespace: string, name: string): Attachment[] {
    return this.list().filter((a) => a.podNamespace === namespace && a.podName === name);
  }

  /** Identities in use, by number. */
  identities(): Identity[] {
    return this.#identities.list();
  }

  /** An attachment's identity; 0 when it is not known. */
  identityId(key: AttachmentKey): number {
    return this.#identities.idOfHolder(attachmentId(key)) ?? 0;
  }

  /**
   * Takes address and identity for a new pod interface and stores it in state `adding`.
   * @throws {AddressError} when there is no address, or not the one asked for
   * @throws {Error} when the attachment exists or cannot be stored
   */
  begin(spec: NewAttachment): Attachment {
    if (this.get(spec) !== undefined) {
      throw new Error(`Cannot add attachment ${attachmentId(spec)}: it exists`);
    }
    // Asks the kernel, so it may fail: nothing is taken before.
    const hostIfName = this.#hostIfName(spec);
    const ip = this.#takeAddress(spec.requestedIp);
    const holder = attachmentId(spec);
    const change = this.#identities.acquire(spec.identityLabels, holder);
    const { requestedIp: _, ...rest } = spec;
    const attachment: Attachment = {
      ...rest,
      ip,
      mac: Mac.forPod(ip),
      gateway: this.gateway,
      prefixLen: this.#options.podCidr.prefixLen,
      hostIfName,
      hostIfindex: 0,
      state: "adding",
      createdUnixMs: this.#options.now(),
    };
    try {
      this.#store.transaction(() => {
        this.#store.insertAttachment(attachment, change.id);
        this.#storeIdentities(change);
      });
    } catch (error) {
      this.#pool.cancel(ip);
      this.#identities.release(holder);
      throw error;
    }
    this.#remember(attachment);
    return attachment;
  }

  /**
   * Takes in, as ready, an interface that is at work already and whose container id is not known.
   * @throws {Error} when it cannot be stored, as when its address is another one's
   */
  adopt(
    found: Omit<Attachment, "containerId" | "gateway" | "state" | "createdUnixMs">,
  ): Attachment {
    const attachment: Attachment = {
      ...found,
      containerId: adoptedContainerId(found.hostIfName.slice(HOST_IF_PREFIX.length)),
      gateway: this.gateway,
      state: "ready",
      createdUnixMs: this.#options.now(),
    };
    const holder = attachmentId(attachment);
    const change = this.#identities.acquire(attachment.identityLabels, holder);
    try {
      this.#store.transaction(() => {
        this.#store.insertAttachment(attachment, change.id);
        this.#storeIdentities(change);
      });
    } catch (error) {
      this.#identities.release(holder);
      throw error;
    }
    this.#pool.reserve(attachment.ip);
    this.#remember(attachment);
    return attachment;
  }

  /** Changes what of an attachment can change; the rest stays as it is now, not as the caller knew it. */
  update(
    attachment: Attachment,
    change: Partial<Pick<Attachment, "state" | "hostIfindex" | "netns" | "netnsId">>,
  ): Attachment {
    const changed = { ...(this.get(attachment) ?? attachment), ...change };
    this.#store.updateAttachment(changed);
    this.#remember(changed);
    return changed;
  }

  /**
   * Gives an attachment the identity of other labels.
   * @returns undefined when it had them already
   */
  relabel(attachment: Attachment, identityLabels: Labels): Attachment | undefined {
    const holder = attachmentId(attachment);
    const before = this.#identities.idOf(attachment.identityLabels);
    if (before !== undefined && before === this.#identities.idOf(identityLabels)) return undefined;
    const change = this.#identities.acquire(identityLabels, holder);
    const changed = { ...attachment, identityLabels };
    try {
      this.#store.transaction(() => {
        this.#store.saveIdentity(identityLabels, change.id);
        this.#store.updateAttachment(changed);
        this.#storeIdentities(change);
        this.#store.forgetUnusedIdentities();
      });
    } catch (error) {
      this.#identities.acquire(attachment.identityLabels, holder);
      throw error;
    }
    this.#remember(changed);
    return changed;
  }

  /**
   * Forgets an attachment and gives address and identity back.
   * @param rest whether the address was ever in use, so that it has to rest
   */
  remove(attachment: Attachment, rest: boolean): void {
    const released = rest ? this.#options.now() : undefined;
    const holder = attachmentId(attachment);
    const change = this.#identities.release(holder);
    try {
      this.#store.transaction(() => {
        this.#store.deleteAttachment(attachment, attachment.ip, released);
        if (change?.setChanged) {
          this.#storeIdentities(change);
          this.#store.forgetUnusedIdentities();
        }
      });
    } catch (error) {
      this.#identities.acquire(attachment.identityLabels, holder);
      throw error;
    }
    this.#version++;
    this.#byId.delete(holder);
    this.#byIp.delete(attachment.ip.value);
    if (released === undefined) this.#pool.cancel(attachment.ip);
    else this.#pool.release(attachment.ip, released);
  }

  #remember(attachment: Attachment): void {
    this.#version++;
    this.#byId.set(attachmentId(attachment), attachment);
    this.#byIp.set(attachment.ip.value, attachment);
  }

  #adoptedBy(key: AttachmentKey): Attachment | undefined {
    if (isAdopted(key)) return undefined;
    const adopted = this.list().filter((pod) => isAdopted(pod) && pod.ifName === key.ifName);
    const [preferred, hashed] = hostIfNames(key);
    return adopted.find(({ hostIfName }) => hostIfName === hashed) ??
      adopted.find(({ hostIfName }) => hostIfName === preferred);
  }

  #takeAddress(requested: Ipv4 | undefined): Ipv4 {
    if (requested === undefined) return this.#pool.allocate(this.#options.now());
    this.#pool.allocateRequested(requested);
    return requested;
  }

  #storeIdentities(change: IdentityChange): void {
    if (change.renumbered.length === 0) return;
    for (const { id, labels } of this.#identities.list()) this.#store.saveIdentity(labels, id);
  }

  #hostIfName(key: AttachmentKey): string {
    const [preferred, hashed] = hostIfNames(key);
    const taken = this.list().some((other) => other.hostIfName === preferred) ||
      this.#options.hostIfExists(preferred);
    return taken ? hashed : preferred;
  }
}
