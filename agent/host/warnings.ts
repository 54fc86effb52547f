import { readSysctl } from "../../shared/netns/mod.ts";
import type { Netns } from "../../shared/netns/mod.ts";
import { forwardDropChains } from "./forward_policy.ts";
import { networkManagerInterferes } from "./network_manager.ts";
import type { AgentConfig } from "../config/mod.ts";
import { defaultRoute, type HostNetwork, isLoopback } from "./node_facts.ts";

/**
 * What is odd about this node's own addresses, one sentence each.
 * @param addresses how many addresses are in use that the pod CIDR does not have
 */
export function nodeWarnings(
  { nodeIp, podCidr }: Pick<AgentConfig, "nodeIp" | "podCidr">,
  { outside }: { readonly outside: number },
): string[] {
  const warnings: string[] = [];
  if (isLoopback(nodeIp)) {
    warnings.push(
      "node_ip is a loopback address: the node cannot reach its pods; set --node-ip",
    );
  }
  if (outside > 0) {
    warnings.push(
      `${outside} pods have addresses outside of pod CIDR ${podCidr}, from an earlier one: ` +
        "they are kept, and not counted among its addresses",
    );
  }
  return warnings;
}

/** What on the host stands in the way of pods' traffic, one sentence each. */
export function hostWarnings(host: HostNetwork, netns?: Netns): string[] {
  const warnings = forwardDropChains(netns).map((chain) =>
    `the firewall chain ${chain} drops forwarded packets by default: ` +
    "what pods exchange with other machines needs a rule that accepts it"
  );
  if (networkManagerInterferes()) {
    warnings.push(
      "NetworkManager runs and may manage the pods' interfaces: " +
        "set unmanaged-devices=interface-name:nv* in its configuration",
    );
  }
  const uplink = host.links.find(({ index }) => index === defaultRoute(host)?.oif);
  if (uplink !== undefined && !forwards(uplink.name, netns)) {
    warnings.push(
      `forwarding is off on ${uplink.name} (net.ipv4.conf.${uplink.name}.forwarding): ` +
        "what other machines answer does not reach pods",
    );
  }
  return warnings;
}

function forwards(link: string, netns: Netns): boolean {
  try {
    return readSysctl(netns, `net/ipv4/conf/${link}/forwarding`) === "1";
  } catch {
    return true;
  }
}
