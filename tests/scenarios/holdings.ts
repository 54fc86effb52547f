import assert from "node:assert/strict";
import { AgentExt, DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AgentControl, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import type { LabNode } from "../../shared/testing/node.ts";

/** Where the hosts' own addresses belong among identities. */
const HOST_IDENTITY = 1;
const FIRST_POD_IDENTITY = 256;

/** All that a node holds for its pods, in a form that can be compared. */
export async function holdings(node: LabNode) {
  using links = node.netns.rtnetlink();
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const agent = node.client(AgentControl, "novanet.sock");
  const [status, { endpoints }, agentStatus, { identities }] = await Promise.all([
    dataplane.getDataplaneStatus({}),
    node.client(DataplaneExt, "dataplane.sock").listEndpoints({}),
    agent.getAgentStatus({}),
    agent.listIdentities({}),
  ]);
  return {
    links: links.linkList().map(({ name }) => name),
    routes: links.routeList().map(({ destination }) => `${destination}`).sort(),
    neighbours: links.neighList().filter(({ permanent }) => permanent).map(({ ip }) => `${ip}`),
    endpoints: endpoints.map(({ ip }) => `${Ipv4.fromU32(ip)}`).sort(),
    programs: status.programs.map((program) => program.interfaceName).sort(),
    pins: Array.from(Deno.readDirSync(node.pinDir), ({ name }) => name).sort(),
    addresses: agentStatus.addressesUsed,
    identities: identities.map(({ refCount }) => refCount),
    connections: status.conntrackCount,
    policies: status.policyCount,
  };
}

/**
 * Fails unless agent, kernel and dataplane hold the same pods, each with one address, one identity, one interface, one
 * route and two programs, and nothing beside.
 * @throws {AssertionError}
 */
export async function assertConsistent(node: LabNode): Promise<void> {
  const agent = node.client(AgentControl, "novanet.sock");
  const { pods } = await node.client(AgentExt, "novanet.sock").listPods({});
  const { endpoints } = await node.client(DataplaneExt, "dataplane.sock").listEndpoints({});
  const held = await holdings(node);
  const sorted = (texts: readonly string[]) => [...texts].sort();
  const names = sorted(pods.map(({ hostIfName }) => hostIfName));
  const ips = sorted(pods.map(({ ip }) => ip));

  assert.deepEqual(new Set(pods.map(({ state }) => state)), new Set(pods.length ? ["ready"] : []));
  assert.equal(new Set(ips).size, ips.length, "no address twice");
  assert.equal(held.addresses, pods.length, "addresses in use");
  assert.deepEqual(sorted(held.links.filter((name) => name.startsWith("nv"))), names, "veths");
  assert.deepEqual(sorted(held.neighbours), ips, "neighbours");
  const podRoutes = held.routes.filter((route) => ips.includes(route.replace("/32", "")));
  assert.deepEqual(podRoutes, ips.map((ip) => `${ip}/32`).sort(), "routes");
  assert.deepEqual(held.programs, sorted([...names, ...names]), "programs");

  const podEndpoints = endpoints.filter(({ identityId }) => identityId !== HOST_IDENTITY);
  const told = podEndpoints.map(({ ip, ifindex, identityId, podName }) =>
    `${Ipv4.fromU32(ip)} ${ifindex} ${identityId} ${podName}`
  );
  const expected = pods.map(({ ip, ifindex, identityId, name }) =>
    `${ip} ${ifindex} ${identityId} ${name}`
  );
  assert.deepEqual(sorted(told), sorted(expected), "endpoints");
  assert(podEndpoints.every(({ identityId }) => identityId >= FIRST_POD_IDENTITY));

  const { identities } = await agent.listIdentities({});
  const holders = new Map<number, number>();
  for (const { identityId } of pods) holders.set(identityId, (holders.get(identityId) ?? 0) + 1);
  assert.deepEqual(
    identities.map(({ identityId, refCount }) => [identityId, refCount]),
    [...holders].sort(([a], [b]) => a - b),
    "identities and their holders",
  );
}
