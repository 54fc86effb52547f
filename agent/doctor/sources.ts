import type { DataplaneLink } from "../dataplane/link.ts";
import type { EndpointBook } from "../enforce/endpoint_book.ts";
import type { Enforcer } from "../enforce/enforcer.ts";
import type { PodController } from "../pods/controller.ts";
import type { PodNetwork } from "../pods/network.ts";
import type { PodRegistry } from "../pods/registry.ts";
import type { Spool } from "../pods/spool.ts";
import type { UnknownLinks } from "../pods/unknown_links.ts";
import type { Attachment, Store } from "../state/mod.ts";
import type { Cidr } from "../../shared/net/mod.ts";

/** What an inspection of the node looks at, and repairs with. */
export interface DoctorSources {
  readonly store: Store;
  readonly registry: PodRegistry;
  readonly controller: PodController;
  readonly network: PodNetwork;
  readonly unknown: UnknownLinks;
  readonly link: DataplaneLink;
  readonly endpoints: EndpointBook;
  readonly enforcer: Enforcer;
  readonly spool: Spool;
  readonly podCidr: Cidr;
  /** What on the host stands in the way, one sentence each. */
  readonly warnings: () => readonly string[];
}

/** A pod as people name it. */
export function podText({ podNamespace, podName, ifName }: Attachment): string {
  return `pod ${podNamespace}/${podName} ${ifName}`;
}
