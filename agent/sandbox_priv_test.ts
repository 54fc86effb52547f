import assert from "node:assert/strict";
import { Ipv4 } from "../shared/net/mod.ts";
import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
import { eventually } from "../shared/testing/eventually.ts";
import { AgentLab, podRequest } from "./testing/agent_lab.ts";

const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default, labels: { app: web } }
`;
const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ ipBlock: { cidr: 192.0.2.0/24 } }] }]
`;

Deno.test("a sandbox made anew before the old one's DEL: both work, and the DEL takes the old only", async () => {
  await using lab = await AgentLab.start({}, { "pod.yaml": POD, "policy.yaml": POLICY });
  const requestOf = async (containerId: string) => ({
    ...podRequest("web", (await lab.lab.addNetns()).path),
    containerId,
  });
  const [oldOne, newOne] = [await requestOf("0123456789a-old"), await requestOf("0123456789a-new")];
  const answers = [await lab.control.addPod(oldOne), await lab.control.addPod(newOne)];
  const [before, after] = answers;
  assert.ok(before !== undefined && after !== undefined);
  assert.notEqual(before.ip, after.ip);
  assert.notEqual(before.hostIfName, after.hostIfName);
  const endpoint = (ip: string) => lab.dataplane.endpoints.get(Ipv4.parse(ip).value);
  const identity = endpoint(after.ip)?.identityId;
  assert.equal(endpoint(before.ip)?.identityId, identity);
  const isolated = () =>
    lab.dataplane.policies.some((entry) => entry.isolation && entry.dstIdentity === identity);
  await eventually(isolated);
  for (const [request, { ip }] of [[oldOne, before], [newOne, after]] as const) {
    await lab.ext.checkPod({ ...request, ips: [ip] });
  }
  const capture = lab.ext.capturePod({ namespace: "default", name: "web", maxPackets: 1n });
  const frames = Array.fromAsync(capture);
  let captured = false;
  frames.then(() => captured = true);
  const poke = ["timeout", "1", "bash", "-c", `: < /dev/tcp/${after.ip}/9`];
  while (!captured) await lab.host.try(poke);

  await lab.control.delPod(oldOne);
  assert.equal(endpoint(before.ip), undefined);
  await lab.ext.checkPod({ ...newOne, ips: [after.ip] });
  await assert.rejects(
    lab.ext.checkPod({ ...oldOne, ips: [before.ip] }),
    (error) => error instanceof RpcError && error.code === RpcCode.NOT_FOUND,
  );
  assert.equal(endpoint(after.ip)?.identityId, identity);
  assert.equal(isolated(), true);
  assert.deepEqual(await lab.control.addPod(newOne), after);
  const { identities } = await lab.control.listIdentities({});
  // The second is the policy's CIDR, which no pod has.
  assert.deepEqual(identities.map(({ refCount }) => refCount), [1, 0]);
});
