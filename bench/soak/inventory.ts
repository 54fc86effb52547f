import { AgentExt, DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AgentControl, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import type { LabNode } from "../../shared/testing/node.ts";

/** How many there are of each thing that pods bring and must take along. */
export type Inventory = Readonly<Record<string, number>>;

function filesIn(dir: string): number {
  try {
    return [...Deno.readDirSync(dir)].length;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** Counts what is there, in the kernel and in both daemons' own words. @throws {RpcError} */
export async function takeInventory(node: LabNode): Promise<Inventory> {
  const [agentSocket, dataplaneSocket] = [
    node.socket("novanet.sock"),
    node.socket("dataplane.sock"),
  ];
  using agent = createRpcClient(AgentControl, { socketPath: agentSocket });
  using agentExt = createRpcClient(AgentExt, { socketPath: agentSocket });
  using dataplane = createRpcClient(DataplaneControl, { socketPath: dataplaneSocket });
  using dataplaneExt = createRpcClient(DataplaneExt, { socketPath: dataplaneSocket });
  using links = node.netns.rtnetlink();
  const status = await agent.getAgentStatus({});
  const { programs } = await dataplane.getDataplaneStatus({});
  return {
    links: links.linkList().length,
    routes: links.routeList().length,
    neighbours: links.neighList().filter(({ permanent }) => permanent).length,
    pins: filesIn(node.pinDir),
    "attached programs": programs.length,
    endpoints: (await dataplaneExt.listEndpoints({})).endpoints.length,
    "policy entries": (await dataplaneExt.listPolicyEntries({})).policies.length,
    pods: (await agentExt.listPods({})).pods.length,
    identities: (await agent.listIdentities({})).identities.length,
    "addresses in use": status.addressesUsed,
    "deletions pending": status.pendingDeletes,
    "files in the spool": filesIn(`${node.dir}/state/spool`),
  };
}

/** What differs, one text each. */
export function differences(before: Inventory, after: Inventory): string[] {
  return Object.keys(before).filter((name) => before[name] !== after[name]).map((name) =>
    `${name}: ${before[name]} before, ${after[name]} after`
  );
}
