import {
  type EgressPolicyInfo,
  EgressPolicyInfoSchema,
  type IdentityInfo,
  IdentityInfoSchema,
  type PolicyRuleInfo,
  PolicyRuleInfoSchema,
  type TunnelInfoMsg,
  TunnelInfoMsgSchema,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { type PodInfo, PodInfoSchema } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { agentControl, agentExt } from "../agent.ts";
import type { Io } from "../io.ts";
import * as labels from "../labels.ts";
import { messageJson } from "../message_json.ts";
import type { GlobalOptions, OptionsOf } from "../options.ts";
import { Printer, type View } from "../output.ts";

const TUNNELS: View<TunnelInfoMsg> = {
  columns: [
    { header: "NODE", text: ({ nodeName }) => labels.orDash(nodeName) },
    { header: "NODE_IP", text: ({ nodeIp }) => labels.orDash(nodeIp) },
    { header: "POD_CIDR", text: ({ podCidr }) => labels.orDash(podCidr) },
    { header: "INTERFACE", text: ({ interfaceName }) => labels.orDash(interfaceName) },
    { header: "IFINDEX", text: ({ ifindex }) => String(ifindex) },
    { header: "PROTOCOL", text: ({ protocol }) => labels.orDash(protocol) },
  ],
  json: (tunnel) => messageJson(TunnelInfoMsgSchema, tunnel),
};

const IDENTITIES: View<IdentityInfo> = {
  columns: [
    { header: "ID", text: ({ identityId }) => String(identityId) },
    { header: "POD_COUNT", text: ({ refCount }) => String(refCount) },
    { header: "LABELS", text: (identity) => labels.labelsLabel(identity.labels) },
  ],
  json: (identity) => messageJson(IdentityInfoSchema, identity),
};

const EGRESS: View<EgressPolicyInfo> = {
  columns: [
    { header: "NAMESPACE", text: ({ namespace }) => labels.orDash(namespace) },
    { header: "NAME", text: ({ name }) => labels.orDash(name) },
    { header: "SRC_IDENTITY", text: ({ srcIdentity }) => anyOr(srcIdentity) },
    { header: "DST_CIDR", text: ({ dstCidr }) => labels.orDash(dstCidr) },
    { header: "PROTOCOL", text: ({ protocol }) => labels.protocolLabel(protocol) },
    { header: "PORT", text: ({ dstPort }) => anyOr(dstPort) },
    { header: "ACTION", text: ({ action }) => labels.egressActionLabel(action) },
  ],
  json: (policy) => messageJson(EgressPolicyInfoSchema, policy),
};

const PODS: View<PodInfo> = {
  columns: [
    { header: "NAMESPACE", text: ({ namespace }) => labels.orDash(namespace) },
    { header: "NAME", text: ({ name }) => labels.orDash(name) },
    { header: "IP", text: ({ ip }) => labels.orDash(ip) },
    { header: "IDENTITY", text: ({ identityId }) => String(identityId) },
    {
      header: "STATE",
      text: ({ state }) => labels.orDash(state),
      color: ({ state }) => state === "ready" ? "green" : "red",
    },
    { header: "HOST_INTERFACE", text: ({ hostIfName }) => labels.orDash(hostIfName) },
    { header: "IFINDEX", text: ({ ifindex }) => String(ifindex), wide: true },
    { header: "INTERFACE", text: ({ ifName }) => labels.orDash(ifName), wide: true },
    { header: "MAC", text: ({ mac }) => labels.orDash(mac), wide: true },
    { header: "GATEWAY", text: ({ gateway }) => labels.orDash(gateway), wide: true },
    { header: "NETNS", text: ({ netns }) => labels.orDash(netns), wide: true },
    { header: "CONTAINER_ID", text: ({ containerId }) => labels.orDash(containerId), wide: true },
    { header: "LABELS", text: (pod) => labels.labelsLabel(pod.labels), wide: true },
  ],
  json: (pod) => messageJson(PodInfoSchema, pod),
};

/** @param labelsOf labels of an identity, `-` for one without any. */
function policyView(labelsOf: (identity: number) => string): View<PolicyRuleInfo> {
  return {
    columns: [
      { header: "SRC_IDENTITY", text: ({ srcIdentity }) => anyOr(srcIdentity) },
      { header: "DST_IDENTITY", text: ({ dstIdentity }) => anyOr(dstIdentity) },
      { header: "PROTOCOL", text: ({ protocol }) => labels.protocolLabel(protocol) },
      { header: "PORT", text: (rule) => labels.portLabel(rule.dstPort, rule.portPrefixLen) },
      {
        header: "ACTION",
        text: ({ action }) => labels.verdictLabel(action),
        color: ({ action }) => labels.verdictColor(action),
      },
      { header: "DIRECTION", text: ({ direction }) => labels.directionLabel(direction) },
      { header: "RULE", text: ({ rule }) => labels.orDash(rule) },
      { header: "RULE_ID", text: ({ ruleId }) => String(ruleId), wide: true },
      { header: "ISOLATION", text: ({ isolation }) => isolation ? "yes" : "no", wide: true },
      { header: "SRC_LABELS", text: ({ srcIdentity }) => labelsOf(srcIdentity), wide: true },
      { header: "DST_LABELS", text: ({ dstIdentity }) => labelsOf(dstIdentity), wide: true },
    ],
    json: (rule) => messageJson(PolicyRuleInfoSchema, rule),
  };
}

/** `tunnels` */
export async function tunnels(options: GlobalOptions, io: Io): Promise<void> {
  using agent = agentControl(options);
  const { tunnels } = await agent.listTunnels({});
  await printList(io, options, TUNNELS, tunnels, "No tunnels: no other node is known.");
}

/** `identity` */
export async function identity(options: GlobalOptions, io: Io): Promise<void> {
  using agent = agentControl(options);
  const { identities } = await agent.listIdentities({});
  const sorted = identities.toSorted((a, b) => a.identityId - b.identityId);
  await printList(io, options, IDENTITIES, sorted, "No identities: no pod is known.");
}

/** `egress` */
export async function egress(options: GlobalOptions, io: Io): Promise<void> {
  using agent = agentControl(options);
  const { rules } = await agent.listEgressPolicies({});
  await printList(io, options, EGRESS, rules, "No egress policies.");
}

/** `policy` */
export async function policy(options: GlobalOptions, io: Io): Promise<void> {
  using agent = agentControl(options);
  const { rules } = await agent.listPolicies({});
  const identities = options.output === "wide" ? (await agent.listIdentities({})).identities : [];
  const names = new Map(
    identities.map((one) => [one.identityId, labels.labelsLabel(one.labels)]),
  );
  const view = policyView((identity) => names.get(identity) ?? "-");
  await printList(io, options, view, rules, "No policy: the default decides.");
}

/** `pods` */
export async function pods(options: OptionsOf<"pods">, io: Io): Promise<void> {
  using agent = agentExt(options);
  const { namespaces } = options;
  const { pods } = await agent.listPods({});
  const wanted = pods.filter((pod) =>
    namespaces.length === 0 || namespaces.includes(pod.namespace)
  );
  await printList(io, options, PODS, wanted, "No pods.");
}

/** On a terminal an empty table says that it is meant so. */
async function printList<T>(
  io: Io,
  options: GlobalOptions,
  view: View<T>,
  items: readonly T[],
  none: string,
): Promise<void> {
  await new Printer(io, options, view).list(items);
  if (items.length === 0 && io.stdout.columns !== undefined) await io.stderr.write(`${none}\n`);
}

/** Identity and port 0 are any. */
function anyOr(number: number): string {
  return number === 0 ? "*" : String(number);
}
