import type { FlowBatch } from "../../shared/flows/flow_group.ts";
import type { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { unavailable } from "../../shared/rpc/errors.ts";
import { EncodedMessages } from "../../shared/rpc/encoded_messages.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { CIDR_LABEL } from "../identity/mod.ts";
import { hostMac } from "../pods/network.ts";
import { parseAddPod, parseDelPod } from "../pods/requests.ts";
import type { Attachment } from "../state/mod.ts";
import { failingStream } from "./failing_stream.ts";
import type { AgentParts } from "./parts.ts";
import { routingMethods } from "./routing.ts";
import { agentStatus, requireStarted } from "./status.ts";

/** novanet.v1.AgentControl. */
export function agentControl(parts: AgentParts): ServiceImpl<typeof AgentControl> {
  const { controller, enforcer, flows, link, registry } = parts;
  return {
    addPod: async (request) => {
      requireStarted(parts);
      return podAnswer(await controller.add(parseAddPod(request)));
    },
    delPod: async (request) => {
      requireStarted(parts);
      const { containerId, ifName } = parseDelPod(request);
      if (ifName === "") await controller.deleteContainer(containerId);
      else await controller.delete({ containerId, ifName });
      return {};
    },
    getAgentStatus: () => agentStatus(parts),
    streamAgentFlows: ({ identityFilter, dropsOnly }, { signal }) => {
      if (!link.connected) return failingStream(unavailable("the dataplane is not connected"));
      return encoded(flows.subscribe({ identity: identityFilter, dropsOnly }, signal));
    },
    listPolicies: () => {
      const { policies, ruleNames } = enforcer.desired;
      return { rules: policies.map((rule) => ({ ...rule, rule: ruleNames[rule.ruleId] ?? "" })) };
    },
    listIdentities: () => ({
      identities: [
        ...registry.identities().map(({ id, labels, refCount }) => ({
          identityId: id,
          labels,
          refCount,
        })),
        ...Array.from(enforcer.cidrIdentities, ({ cidrIp, prefixLen, identityId }) => ({
          identityId,
          labels: { [CIDR_LABEL]: `${Ipv4.fromU32(cidrIp)}/${prefixLen}` },
        })),
      ],
    }),
    listTunnels: () => ({}),
    listEgressPolicies: () => ({}),
    ...routingMethods,
  };
}

async function* encoded(batches: AsyncIterable<FlowBatch>): AsyncGenerator<EncodedMessages> {
  for await (const { bytes } of batches) yield new EncodedMessages(bytes);
}

function podAnswer(pod: Attachment) {
  return {
    ip: pod.ip.toString(),
    gateway: pod.gateway.toString(),
    mac: pod.mac.toString(),
    prefixLength: pod.prefixLen,
    mtu: pod.mtu,
    hostIfName: pod.hostIfName,
    hostMac: hostMac(pod.gateway).toString(),
  };
}
