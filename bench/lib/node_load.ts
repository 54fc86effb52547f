import { AgentControl, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import { RpcCode, toRpcError } from "../../shared/rpc/errors.ts";
import { runCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { NetnsLab } from "../../shared/testing/lab.ts";
import { containerIdOf, type LabNode } from "../../shared/testing/node.ts";

/** AddPods under way at the same time. */
const AT_ONCE = 8;
const ADD_TIMEOUT_MS = 60_000;
const POLICY_TIMEOUT_MS = 60_000;
const MOST_ATTEMPTS = 5;
const POLICIES_PER_FILE = 100;
/** The namespace of all of them. */
const NAMESPACE = "load";

/**
 * Connects many pods, which do nothing, by AddPod: each has a network namespace, a veth, an address and an identity of its own.
 * @returns what DelPod calls them, in the order of their numbers; they go with the lab
 */
export async function addManyPods(
  lab: NetnsLab,
  node: LabNode,
  count: number,
): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, number) => `nvt-${Deno.pid}-p${number}`);
  const batch = (command: string) =>
    runCommand(["ip", "-batch", "-"], {
      stdin: names.map((name) => `netns ${command} ${name}\n`).join(""),
      timeoutMs: ADD_TIMEOUT_MS,
    });
  lab.defer(async () => void await batch("delete"));
  await batch("add");
  using agent = createRpcClient(AgentControl, {
    socketPath: node.socket("cni.sock"),
    timeoutMs: ADD_TIMEOUT_MS,
  });
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let number = next++; number < count; number = next++) {
      const name = names[number] ?? "";
      await patiently(() =>
        agent.addPod({
          podName: `pod-${number}`,
          podNamespace: NAMESPACE,
          containerId: containerIdOf(name),
          netns: `/run/netns/${name}`,
          ifName: "eth0",
          labels: { app: `app-${number}` },
        })
      );
    }
  }));
  return names.map(containerIdOf);
}

/** As a container runtime does, tries again what took too long. @throws {RpcError} */
async function patiently(call: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      await call();
      return;
    } catch (error) {
      const { code } = toRpcError(error);
      const late = code === RpcCode.DEADLINE_EXCEEDED || code === RpcCode.UNAVAILABLE;
      if (!late || attempt === MOST_ATTEMPTS) throw error;
    }
  }
}

/** How many policies, and what each allows. */
export interface PolicyLoad {
  /** Policy n selects the pod n modulo `pods`. */
  readonly policies: number;
  readonly pods: number;
  /** Blocks of addresses that each policy allows, different ones for policies of the same pod. */
  readonly blocks: number;
  /** Ports that it allows them, no two of which make one prefix. */
  readonly ports: number;
}

/** Policy entries that a load compiles to, beside one for each pod's isolation. */
export function entriesOf({ policies, blocks, ports }: PolicyLoad): number {
  return policies * blocks * ports;
}

function policy(number: number, { pods, blocks, ports }: PolicyLoad): string {
  const group = Math.floor(number / pods);
  const from = Array.from(
    { length: blocks },
    (_, block) => `{ ipBlock: { cidr: 172.${16 + group}.${block}.0/24 } }`,
  );
  const to = Array.from(
    { length: ports },
    (_, port) => `{ protocol: TCP, port: ${8000 + 16 * port} }`,
  );
  return `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: policy-${number}, namespace: ${NAMESPACE} }
spec:
  podSelector: { matchLabels: { app: app-${number % pods} } }
  policyTypes: [Ingress]
  ingress:
  - from: [${from.join(", ")}]
    ports: [${to.join(", ")}]
`;
}

/** Writes the policies as manifests and waits until they are in force. @throws {EventuallyError} */
export async function addManyPolicies(node: LabNode, load: PolicyLoad): Promise<void> {
  for (let first = 0; first < load.policies; first += POLICIES_PER_FILE) {
    const count = Math.min(POLICIES_PER_FILE, load.policies - first);
    const texts = Array.from({ length: count }, (_, index) => policy(first + index, load));
    await node.writeManifest(`policies-${first}.yaml`, texts.join("---\n"));
  }
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  await eventually(async () => {
    const { policyCount } = await dataplane.getDataplaneStatus({});
    if (policyCount >= entriesOf(load)) return true;
    throw new Error(`${policyCount} of ${entriesOf(load)} entries`);
  }, { timeoutMs: POLICY_TIMEOUT_MS, intervalMs: 100, what: "policies in force" });
}
