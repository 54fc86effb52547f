/** What the RPC handlers work on. */

import type { FlowPump } from "../flows/flow_pump.ts";
import type { PodNames, RuleNames } from "../flows/names.ts";
import type { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import type { Connections } from "../maps/connections.ts";
import type { Counters } from "../maps/counters.ts";
import type { Attachments } from "../programs/attachments.ts";
import type { KernelObjects } from "../programs/kernel_objects.ts";
import type { ConfigStore } from "../reconcile/config_store.ts";
import type { EndpointMaps, EndpointStore } from "../reconcile/endpoint_store.ts";
import type { PolicyStore } from "../reconcile/policy_store.ts";

/** The parts of a running dataplane. */
export interface Dataplane {
  readonly objects: KernelObjects;
  readonly connections: Connections;
  readonly endpoints: EndpointStore;
  readonly policies: PolicyStore;
  readonly config: ConfigStore;
  readonly attachments: Attachments;
  readonly pods: PodNames;
  readonly rules: RuleNames;
  readonly flows: FlowPump;
  readonly drops: Counters;
  readonly statistics: Counters;
  /** What holds the endpoints, and what the programs read on every packet. */
  readonly maps: EndpointMaps;
  /** Interfaces of this network namespace. */
  readonly interfaces: RtnetlinkSocket;
  readonly pinDir: string;
}
