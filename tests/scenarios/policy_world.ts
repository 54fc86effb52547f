import assert from "node:assert/strict";
import {
  ConfigKey,
  DataplaneControl,
  DropReason,
  FlowEventType,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import { icmpEcho, sctp, tcp, type TransportLayer, udp } from "../../shared/testing/packets.ts";
import { PacketReceiver, sendPacket } from "../../shared/testing/sockets.ts";
import { FlowLog } from "./flow_log.ts";

/** Somebody who sends or receives. */
export interface Party {
  readonly netns: LabNetns;
  readonly ip: string;
}

const OUTSIDE_ADDRESSES = ["198.51.100.7", "198.51.100.130"] as const;

/** Four pods in two namespaces, the node, and three addresses outside. */
export const PARTIES = [
  "shop/web",
  "shop/api",
  "office/client",
  "office/web",
  "node",
  "outside",
  ...OUTSIDE_ADDRESSES,
] as const;

/** One of {@linkcode PARTIES}. */
export type PartyName = typeof PARTIES[number];

/** What a probe sends: the protocol and the destination port. */
export type Service = `${"TCP" | "UDP" | "SCTP"}/${number}` | "ICMP";

/** The namespaces' labels, and the ports of shop/web and shop/api: named alike, numbered differently. */
const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: retail } }
---
apiVersion: v1
kind: Namespace
metadata: { name: office, labels: { team: staff } }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web, tier: front } }
spec:
  containers: [{ name: c, ports: [{ name: http, containerPort: 8080 }, { name: dns, containerPort: 53, protocol: UDP }] }]
`;

/** The manifest of shop/api. @param labels more of them */
const apiPod = (labels: Readonly<Record<string, string>> = {}) => `
apiVersion: v1
kind: Pod
metadata:
  name: api
  namespace: shop
  labels: ${JSON.stringify({ app: "api", tier: "back", ...labels })}
spec:
  containers: [{ name: c, ports: [{ name: http, containerPort: 9090 }] }]
`;

let lastPort = 20_000;

/** Pods, policies and probes on one node. */
export class PolicyWorld {
  readonly #node: LabNode;
  readonly #lab: NetnsLab;
  readonly #parties: ReadonlyMap<PartyName, Party>;
  readonly #receivers = new Map<string, PacketReceiver>();
  /** Who waits for which packet: `src dst payload`. */
  readonly #arrived = new Map<string, boolean>();
  /** The node's flow events. */
  readonly flows: FlowLog;

  private constructor(
    lab: NetnsLab,
    node: LabNode,
    parties: ReadonlyMap<PartyName, Party>,
    flows: FlowLog,
  ) {
    this.#lab = lab;
    this.#node = node;
    this.#parties = parties;
    this.flows = flows;
  }

  /** Makes it all on a node that runs. */
  static async make(lab: NetnsLab, node: LabNode): Promise<PolicyWorld> {
    await node.writeManifest("objects.yaml", OBJECTS);
    await node.writeManifest("api.yaml", apiPod());
    for (const ip of OUTSIDE_ADDRESSES) {
      await node.outside.run(["ip", "address", "add", `${ip}/32`, "dev", "lo"]);
    }
    const web = await node.addPod("web", { namespace: "shop" });
    const api = await node.addPod("api", { namespace: "shop" });
    const parties = new Map<PartyName, Party>([
      ["shop/web", web],
      ["shop/api", api],
      ["office/client", await node.addPod("client", office("client"))],
      ["office/web", await node.addPod("web", office("web"))],
      ["node", { netns: node.netns, ip: node.addresses.node }],
      ["outside", { netns: node.outside, ip: node.addresses.outside }],
      ...OUTSIDE_ADDRESSES.map((ip) => [ip, { netns: node.outside, ip }] as const),
    ]);
    // Drops that repeat are told once in an interval.
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_INTERVAL_MS]: 100n } });
    const flows = await FlowLog.open(node, () => {
      const payload = udp({ srcPort: ++lastPort, dstPort: 9 });
      sendPacket(web.netns, { src: web.ip, dst: api.ip }, payload);
    });
    return new PolicyWorld(lab, node, parties, lab.own(flows));
  }

  /** @returns one of the parties. */
  party(name: PartyName): Party {
    const party = this.#parties.get(name);
    assert(party);
    return party;
  }

  /**
   * Puts one manifest in place of the one before, and waits until its rules are in force.
   * @param isInForce tells by the names of all rules
   */
  async apply(manifest: string, isInForce: (rules: readonly string[]) => boolean): Promise<void> {
    await this.#node.writeManifest("policy.yaml", manifest);
    await this.until(isInForce);
  }

  /** Gives shop/api more labels than it has from the start. */
  relabelApi(labels: Readonly<Record<string, string>>): Promise<void> {
    return this.#node.writeManifest("api.yaml", apiPod(labels));
  }

  /** The names of the rules that the dataplane enforces now. */
  ruleNames(): Promise<string[]> {
    return this.#node.ruleNames();
  }

  /** Waits until the rules in force satisfy a condition. @throws {EventuallyError} */
  until(isInForce: (rules: readonly string[]) => boolean): Promise<void> {
    return this.#node.untilRules(isInForce);
  }

  /**
   * Sends one packet that opens a flow.
   * @returns "allowed" when it arrives, else the name of the rule that dropped it.
   * @throws {EventuallyError} when it neither arrives nor is dropped by a rule.
   */
  async probe(from: PartyName, to: PartyName, service: Service): Promise<string> {
    const [{ netns, ip: src }, destination] = [this.party(from), this.party(to)];
    const srcPort = ++lastPort;
    const payload = opener(service, srcPort);
    const receiver = this.#receiver(destination.netns, payload.protocol);
    const dst = destination.ip;
    const key = `${src} ${dst} ${payload.build(Ipv4.parse(src), Ipv4.parse(dst)).toHex()}`;
    this.#arrived.set(key, false);
    sendPacket(netns, { src, dst }, payload);
    return await eventually(() => {
      for (const each of receiver.take()) {
        this.#arrived.set(`${each.src} ${each.dst} ${each.payload.toHex()}`, true);
      }
      return this.#arrived.get(key) ? "allowed" : this.#droppedBy(src, dst, srcPort);
    }, { intervalMs: 2, what: `what became of ${service} from ${from} to ${to}` });
  }

  #droppedBy(src: string, dst: string, srcPort: number): string | undefined {
    const drop = this.flows.events.find((event) =>
      event.eventType === FlowEventType.DROP && event.srcPort === srcPort &&
      event.srcIp === Ipv4.parse(src).value && event.dstIp === Ipv4.parse(dst).value
    );
    if (drop === undefined) return undefined;
    assert.equal(DropReason[drop.dropReason], "POLICY_DENIED");
    return drop.rule;
  }

  #receiver(netns: LabNetns, protocol: number): PacketReceiver {
    const key = `${netns.name} ${protocol}`;
    const known = this.#receivers.get(key);
    if (known !== undefined) return known;
    const receiver = this.#lab.own(new PacketReceiver(netns, protocol));
    this.#receivers.set(key, receiver);
    return receiver;
  }
}

function office(app: string) {
  return { namespace: "office", labels: { app } };
}

/** The packet that opens a flow; ICMP echo requests have their identifier where others have the source port. */
function opener(service: Service, srcPort: number): TransportLayer {
  const [name, port] = service.split("/");
  const dstPort = Number(port ?? 0);
  const data = `novanet ${srcPort}`;
  switch (name) {
    case "TCP":
      return tcp({ srcPort, dstPort, flags: "S", seq: srcPort });
    case "UDP":
      return udp({ srcPort, dstPort }, data);
    case "SCTP":
      return sctp({ srcPort, dstPort }, [{ type: 1, value: new Uint8Array(16) }]);
    default:
      return icmpEcho({ id: srcPort }, data);
  }
}
