import type { EndpointInfo } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AttachType } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { type Ipv4, Mac } from "../../shared/net/mod.ts";
import type { DataplaneCalls } from "../dataplane/calls.ts";
import {
  diffEndpoints,
  type Endpoint,
  type EndpointDiff,
  endpointMessage,
} from "../dataplane/endpoint.ts";
import { labelKey } from "../identity/mod.ts";
import type { PodRegistry } from "../pods/registry.ts";
import type { Attachment } from "../state/mod.ts";
import { allSettled } from "./settled.ts";

/** novanet.v1.ReservedIdentity RESERVED_IDENTITY_HOST. */
const HOST_IDENTITY = 1;

/** What the book draws on. */
export interface EndpointSources {
  readonly registry: PodRegistry;
  readonly nodeIp: Ipv4;
  /** The host's own addresses now. */
  readonly hostAddresses: () => readonly Ipv4[];
  /** Addresses, as numbers, whose endpoints stay as the dataplane has them. */
  readonly untouched: () => ReadonlySet<number>;
}

interface SentEndpoint {
  readonly identityId: number;
  /** What the identity stood for then; undefined when an earlier agent sent it. */
  readonly labels: string | undefined;
}

/**
 * The endpoints that the dataplane should have, and which identity it has of each. Pods' interfaces and
 * the host's own addresses are endpoints.
 */
export class EndpointBook {
  readonly #sources: EndpointSources;
  /** By address, what the dataplane has. */
  readonly #sent = new Map<number, SentEndpoint>();
  /** The registry's version of which nothing was stale; undefined: that is to be found out. */
  #cleanAt: number | undefined;

  constructor(sources: EndpointSources) {
    this.#sources = sources;
  }

  /** A pod's endpoint. */
  endpointOf(pod: Attachment): Endpoint {
    return {
      ip: pod.ip,
      ifindex: pod.hostIfindex,
      mac: pod.mac,
      identityId: this.#sources.registry.identityId(pod),
      podName: pod.podName,
      namespace: pod.podNamespace,
      nodeIp: this.#sources.nodeIp,
    };
  }

  /** Ready pods whose identity is not the one that the dataplane has. */
  stale(): Attachment[] {
    const { version } = this.#sources.registry;
    if (this.#cleanAt === version) return [];
    const stale = this.#ready().filter((pod) => this.isStale(pod));
    this.#cleanAt = stale.length === 0 ? version : undefined;
    return stale;
  }

  /** Whether a pod's identity is not the one that the dataplane has. */
  isStale(pod: Attachment): boolean {
    const sent = this.#sent.get(pod.ip.value);
    return sent !== undefined && sent.identityId !== this.#sources.registry.identityId(pod);
  }

  /** Whether the identity that the dataplane has of a pod stands for other labels by now. */
  isReused(pod: Attachment): boolean {
    const sent = this.#sent.get(pod.ip.value);
    const now = this.#sources.registry.identities().find(({ id }) => id === sent?.identityId);
    return now !== undefined && labelKey(now.labels) !== sent?.labels;
  }

  /** Adds or changes one endpoint. */
  async upsert(calls: DataplaneCalls, endpoint: Endpoint): Promise<void> {
    await calls.control.upsertEndpoint(endpointMessage(endpoint));
    const pod = this.#sources.registry.byIp(endpoint.ip.value);
    const labels = pod && labelKey(pod.identityLabels);
    this.#sent.set(endpoint.ip.value, { identityId: endpoint.identityId, labels });
    this.#cleanAt = undefined;
  }

  /** Removes one endpoint: from now on the dataplane lets nothing of that address through. */
  async remove(calls: DataplaneCalls, ip: Ipv4): Promise<void> {
    this.#sent.delete(ip.value);
    await calls.control.deleteEndpoint({ ip: ip.value });
  }

  /** Takes over what a dataplane says it has. */
  adopt(found: readonly EndpointInfo[]): void {
    this.#sent.clear();
    this.#cleanAt = undefined;
    for (const { ip, identityId } of found) this.#sent.set(ip, { identityId, labels: undefined });
  }

  /** What has to be done so that the dataplane has the endpoints that it should have. */
  compare(found: readonly EndpointInfo[]): EndpointDiff {
    const underWay = this.#sources.registry.list().filter(({ state }) => state === "adding");
    const keep = this.#sources.untouched().union(new Set(underWay.map(({ ip }) => ip.value)));
    return diffEndpoints(this.#wanted(), found, keep);
  }

  /** Brings the dataplane's endpoints up to date, by difference. @returns how many changed */
  async sync(calls: DataplaneCalls, found: readonly EndpointInfo[]): Promise<number> {
    const { upsert, remove } = this.compare(found);
    for (const ip of remove) {
      await calls.control.deleteEndpoint({ ip });
      this.#sent.delete(ip);
    }
    for (const endpoint of upsert) await this.upsert(calls, endpoint);
    return upsert.length + remove.length;
  }

  #ready(): Attachment[] {
    return this.#sources.registry.list().filter(({ state }) => state === "ready");
  }

  #wanted(): Endpoint[] {
    const hosts = this.#sources.hostAddresses().map((ip): Endpoint => ({
      ip,
      ifindex: 0,
      mac: Mac.ZERO,
      identityId: HOST_IDENTITY,
      podName: "",
      namespace: "",
      nodeIp: this.#sources.nodeIp,
    }));
    return [...hosts, ...this.#ready().map((pod) => this.endpointOf(pod))];
  }
}

/**
 * Puts the datapath on both hooks of a pod's host interface. Safe to repeat.
 * @param quick do not wait for TCX: a filter will do until it is called again without
 */
export async function attachPrograms(
  calls: DataplaneCalls,
  interfaceName: string,
  quick = false,
): Promise<void> {
  await allSettled(
    [AttachType.ATTACH_TC_INGRESS, AttachType.ATTACH_TC_EGRESS]
      .map((attachType) => calls.control.attachProgram({ interfaceName, attachType, quick })),
  );
}

/** Takes the datapath off an interface, or lets the dataplane forget it if it is gone. Safe to repeat. */
export async function forgetPrograms(calls: DataplaneCalls, interfaceName: string): Promise<void> {
  // The interface took its programs along; one detach removes the pins of both.
  await calls.control.detachProgram({
    interfaceName,
    attachType: AttachType.ATTACH_TC_INGRESS,
  });
}
