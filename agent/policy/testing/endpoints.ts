import { Ipv4 } from "../../../shared/net/mod.ts";
import type { PolicyEndpoint } from "../identity_group.ts";
import { parseManifest } from "../objects/manifest.ts";
import { formatProblem } from "../objects/problem.ts";
import { labelSet, type NetworkPolicyObject, type PortProtocol } from "../objects/types.ts";

/** A pod as tests write it down. */
export interface TestPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly { name: string; protocol: string; port: number }[];
  readonly ip: string;
}

/** A NetworkPolicy as tests write it down, without apiVersion and kind. */
export interface TestPolicy {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly spec: object;
}

/** Protocol numbers by the names that manifests use. */
export const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  SCTP: 132,
};

/** Gives pods identities as the agent does: by namespace, labels and named ports. */
export class TestIdentities {
  readonly #ids = new Map<string, number>();

  endpoint(pod: TestPod): PolicyEndpoint {
    const ports = [...pod.ports].sort((a, b) => (a.name < b.name ? -1 : 1));
    const key = JSON.stringify([pod.namespace, Object.entries(pod.labels).sort(), ports]);
    const identity = this.#ids.get(key) ?? 256 + this.#ids.size;
    this.#ids.set(key, identity);
    return {
      namespace: pod.namespace,
      name: pod.name,
      identity,
      labels: labelSet(pod.labels),
      namedPorts: ports.map(({ name, protocol, port }) => ({
        name,
        port,
        protocol: PROTOCOL_NUMBERS[protocol] as PortProtocol,
      })),
      ip: Ipv4.parse(pod.ip),
    };
  }
}

/** Takes a policy through the parser, as it comes from a file. */
export function readPolicy(raw: TestPolicy): NetworkPolicyObject {
  const text = JSON.stringify({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    ...raw,
  });
  const { objects, errors } = parseManifest("policy.json", text);
  if (errors.length > 0) throw new Error(errors.map(formatProblem).join("\n"));
  return objects[0] as NetworkPolicyObject;
}
