import type { AgentConfig } from "../config/mod.ts";
import type { DataplaneLink } from "../dataplane/link.ts";
import type { NodeInspection } from "../doctor/inspect_node.ts";
import type { EndpointBook } from "../enforce/endpoint_book.ts";
import type { Enforcer } from "../enforce/enforcer.ts";
import type { FlowHistory } from "../flows/flow_history.ts";
import type { FlowHub } from "../flows/flow_hub.ts";
import type { AgentMetrics } from "../metrics/metrics.ts";
import type { PodController } from "../pods/controller.ts";
import type { PodNetwork } from "../pods/network.ts";
import type { PodRegistry } from "../pods/registry.ts";

/** What the services are made of. */
export interface AgentParts {
  readonly config: AgentConfig;
  /** The encapsulation between nodes, chosen or found. */
  readonly tunnelProtocol: "geneve" | "vxlan";
  readonly registry: PodRegistry;
  readonly controller: PodController;
  readonly network: PodNetwork;
  readonly link: DataplaneLink;
  readonly endpoints: EndpointBook;
  readonly enforcer: Enforcer;
  readonly flows: FlowHub;
  /** The flows that pods had. */
  readonly history: FlowHistory;
  readonly metrics: AgentMetrics;
  /** Whether the state found at start has been reconciled. */
  readonly started: () => boolean;
  /** What on the host stands in the way, one sentence each. */
  readonly warnings: () => readonly string[];
  /** Whether an address, as a number, is one of this node's own. */
  readonly isHostAddress: (ip: number) => boolean;
  /** Looks for what is wrong on this node, and repairs it if asked to. */
  readonly inspect: (options: { readonly repair: boolean }) => Promise<NodeInspection>;
  /** How many deferred deletions wait. */
  readonly pendingDeletes: () => number;
}
