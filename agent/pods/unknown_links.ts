import type { EndpointInfo } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import { type Link, RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import type { DataplaneCalls } from "../dataplane/calls.ts";
import type { Labels } from "../identity/mod.ts";
import { type Attachment, type AttachmentKey, isAdopted } from "../state/mod.ts";
import { findPeer, type Peer } from "./find_peer.ts";
import { hostIfNames } from "./names.ts";
import type { PodNetwork } from "./network.ts";
import type { PodRegistry } from "./registry.ts";

const log = getLogger("agent/pods");

/** What {@linkcode UnknownLinks} works with. */
export interface UnknownLinksOptions {
  readonly registry: PodRegistry;
  readonly network: PodNetwork;
  /** The label set of a pod's identity. */
  readonly identityLabels: (
    pod: { readonly podNamespace: string; readonly podName: string; readonly labels: Labels },
  ) => Labels;
}

/** An interface that stays though nobody knows whose it is. */
interface Kept {
  readonly link: Link;
  /** Addresses that the host routes to it. */
  readonly ips: readonly Ipv4[];
  readonly why: string;
}

/**
 * Host interfaces that an agent of this node made and that the database does not know: it was lost, or
 * is another one. They carry running pods. What kernel and dataplane tell of them is enough to take most into
 * the database; the others are left alone, with their addresses, until they are deleted by container id.
 */
export class UnknownLinks implements Disposable {
  readonly #options: UnknownLinksOptions;
  readonly #host = RtnetlinkSocket.openIn();
  #kept: readonly Kept[] = [];

  /** @throws {SysError} */
  constructor(options: UnknownLinksOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#host.close();
  }

  /** Addresses of interfaces that are left alone, as numbers. */
  get ips(): ReadonlySet<number> {
    return new Set(this.#present().flatMap(({ ips }) => ips.map(({ value }) => value)));
  }

  /** Names of interfaces that are left alone. */
  get names(): ReadonlySet<string> {
    return new Set(this.#present().map(({ link }) => link.name));
  }

  /** What an administrator should know, one sentence each. */
  get warnings(): string[] {
    const adopted = this.#options.registry.list().filter(isAdopted);
    const names = adopted.map(({ podNamespace, podName }) => `${podNamespace}/${podName}`);
    const summary = `the database did not know ${names.length} running pods, which were taken ` +
      "over from kernel and dataplane without the labels that AddPod gave them " +
      `(their Pod objects' labels count): ${names.sort().join(", ")}`;
    return [
      ...names.length > 0 ? [summary] : [],
      ...this.#present().map(({ link, ips, why }) =>
        `interface ${link.name} (${ips.join(", ") || "no address"}) belongs to no known pod and ` +
        `is left alone until its container is deleted: ${why}`
      ),
    ];
  }

  /**
   * Looks what is there: takes it over, or notes that it stays. Call before the dataplane's endpoints and
   * programs are brought in line with the registry.
   * @throws {RpcError | NetlinkError}
   */
  async adopt(calls: DataplaneCalls): Promise<void> {
    if (this.#find().length === 0) {
      this.#kept = [];
      return;
    }
    const { endpoints } = await calls.ext.listEndpoints({});
    this.#kept = this.#find().flatMap((link) => {
      const why = this.#adopt(link, endpoints.find(({ ifindex }) => ifindex === link.index));
      if (why === undefined) return [];
      log.warn("leaving an interface alone that belongs to no known pod", { link: link.name, why });
      return [{ link, ips: this.#routed(link), why }];
    });
  }

  /** Removes what an unknown attachment can have left. @returns whether there was something */
  async remove(key: AttachmentKey): Promise<boolean> {
    const unknown = this.#find();
    const [preferred, hashed] = hostIfNames(key);
    const found = unknown.find(({ name }) => name === hashed) ??
      unknown.find(({ name }) => name === preferred);
    if (found === undefined) return false;
    log.info("deleting an interface of a pod that was not known", { link: found.name });
    await this.#options.network.removeLink(found.index);
    this.#kept = this.#kept.filter(({ link }) => link.index !== found.index);
    return true;
  }

  /** Removes those that no attachment of these can have. */
  async collectGarbage(valid: readonly AttachmentKey[]): Promise<void> {
    const names = new Set(valid.flatMap(hostIfNames));
    for (const link of this.#find().filter(({ name }) => !names.has(name))) {
      log.info("deleting an interface of a pod that is gone", { link: link.name });
      await this.#options.network.removeLink(link.index);
    }
    this.#kept = this.#kept.filter(({ link }) => names.has(link.name));
  }

  /** Removes those that have lost their other end: no pod has anything of them. */
  async removeBroken(): Promise<void> {
    for (const link of this.#find()) {
      if (link.linkIndex !== 0) continue;
      log.warn("removing an interface whose pod is gone", { link: link.name });
      await this.#options.network.removeLink(link.index);
    }
  }

  /** Those that did not go with their pod meanwhile. */
  #present(): readonly Kept[] {
    if (this.#kept.length === 0) return [];
    return this.#kept = this.#kept.filter(({ link: { index, name } }) =>
      this.#host.linkFind(index)?.name === name
    );
  }

  #find(): Link[] {
    const { registry, network } = this.#options;
    const known = new Set(registry.list().map(({ hostIfName }) => hostIfName));
    return network.ownHostLinks(registry.gateway).filter(({ name }) => !known.has(name));
  }

  /** @returns why it cannot be taken over, undefined when it was */
  #adopt(link: Link, endpoint: EndpointInfo | undefined): string | undefined {
    const { registry } = this.#options;
    if (endpoint === undefined) return "the dataplane has no endpoint for it";
    const [ip, mac] = [Ipv4.fromU32(endpoint.ip), Mac.fromBytes(endpoint.mac)];
    if (endpoint.podName === "") return `endpoint ${ip} has no pod's name`;
    if (registry.byIp(ip.value) !== undefined) return `address ${ip} is another pod's`;
    const peer = findPeer(link, { ip, mac });
    if (peer === undefined) return `the network namespace with ${ip} was not found`;
    const pod = registry.adopt(this.#attachment(link, endpoint, peer));
    log.warn("took over a pod that the database did not know", {
      pod: `${pod.podNamespace}/${pod.podName}`,
      ip: ip.toString(),
      link: link.name,
    });
    return undefined;
  }

  #attachment(
    link: Link,
    { ip, mac, podName, namespace }: EndpointInfo,
    peer: Peer,
  ): Omit<Attachment, "containerId" | "gateway" | "state" | "createdUnixMs"> {
    const pod = { podNamespace: namespace, podName, labels: {} };
    return {
      ...pod,
      ...peer,
      ip: Ipv4.fromU32(ip),
      mac: Mac.fromBytes(mac),
      hostIfName: link.name,
      hostIfindex: link.index,
      identityLabels: this.#options.identityLabels(pod),
    };
  }

  #routed({ index }: Link): Ipv4[] {
    return this.#host.routeList({ oif: index })
      .filter(({ destination }) => destination.prefixLen === 32)
      .map(({ destination }) => destination.address);
  }
}
