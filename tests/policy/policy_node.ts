import assert from "node:assert/strict";
import { eventually } from "../../shared/testing/eventually.ts";
import {
  ConfigKey,
  DataplaneControl,
  DropReason,
  type FlowEvent,
  FlowEventType,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import type { LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import type { LabNode } from "../../shared/testing/node.ts";
import { icmpEcho, sctp, tcp, type TransportLayer, udp } from "../../shared/testing/packets.ts";
import { PacketReceiver, sendPacket } from "../../shared/testing/sockets.ts";
import { FlowLog } from "../scenarios/flow_log.ts";
import {
  NAMESPACES,
  NODE,
  OUTSIDE,
  parseService,
  type PartyName,
  PODS,
  type Service,
} from "./cast.ts";
import type { RawPolicy, Verdict } from "./model.ts";
import type { World } from "./table.ts";

/** Somebody who sends or receives. */
export interface Party {
  readonly netns: LabNetns;
  readonly ip: string;
}

/** What became of a packet, and the rule that flows name for it. */
export interface Fate {
  readonly verdict: Verdict;
  readonly rule: string;
  /** Source port of the packet, or the identifier of an echo request. */
  readonly srcPort: number;
}

/**
 * Its policy says which world is in force. When pods change their labels, both worlds' policies are in
 * force for a moment: the mark isolates in one direction and the other by turns, so that both show.
 */
const MARK = { namespace: "mark", name: "mark", ip: "10.244.0.99" };
const FIRST_PORT = 10_000;
/** For a machine that is busy; on an idle one it takes milliseconds. */
export const FATE_TIMEOUT_MS = 20_000;
const VERDICTS: ReadonlyMap<PolicyAction, Verdict> = new Map([
  [PolicyAction.ALLOW, "allow"],
  [PolicyAction.AUDIT, "audit"],
  [PolicyAction.DENY, "deny"],
]);

/** The cast on a node whose daemons run, and one world of objects after the other. */
export class PolicyNode {
  readonly #lab: NetnsLab;
  readonly #node: LabNode;
  readonly #parties: ReadonlyMap<PartyName, Party>;
  readonly #receivers = new Map<string, PacketReceiver>();
  /** What the receivers saw: addresses and payload as text. */
  readonly #arrived = new Set<string>();
  /** The first event of each flow or drop by addresses and source port, up to #read. */
  readonly #events = new Map<string, FlowEvent>();
  #read = 0;
  #worlds = 0;
  #lastPort = FIRST_PORT;
  /** All flow events of the node. */
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

  /** Makes the cast on a node that runs. It lives as long as the lab. */
  static async make(lab: NetnsLab, node: LabNode): Promise<PolicyNode> {
    assert.equal(node.addresses.node, NODE);
    const [nextHop, ...behind] = OUTSIDE;
    assert.equal(node.addresses.outside, nextHop);
    for (const ip of behind) {
      await node.outside.run(["ip", "address", "add", `${ip}/32`, "dev", "lo"]);
    }
    const parties = new Map<PartyName, Party>([
      ["node", { netns: node.netns, ip: NODE }],
      ...OUTSIDE.map((ip) => [ip, { netns: node.outside, ip }] as const),
    ]);
    for (const pod of PODS) {
      const { namespace, name, labels, labelsFrom, ip } = pod;
      const told = labelsFrom === "ADD" ? labels : undefined;
      const added = await node.addPod(name, { namespace, labels: told, args: `IP=${ip}` });
      parties.set(`${namespace}/${name}`, added);
    }
    await node.addPod(MARK.name, { namespace: MARK.namespace, args: `IP=${MARK.ip}` });
    // Drops that repeat are told once in an interval.
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    await dataplane.updateConfig({ entries: { [ConfigKey.FLOW_INTERVAL_MS]: 100n } });
    const [from, to] = [parties.get("shop/web"), parties.get("shop/api")];
    assert(from && to);
    let port = 9000;
    const flows = await FlowLog.open(node, () => {
      sendPacket(from.netns, { src: from.ip, dst: to.ip }, udp({ srcPort: ++port, dstPort: 9 }));
    });
    const cast = new PolicyNode(lab, node, parties, lab.own(flows));
    // The first world has no mark of an earlier one, whose going would tell that pods have their new labels.
    await cast.enter({ policies: [], pods: PODS, namespaces: NAMESPACES });
    return cast;
  }

  /** @returns somebody by name. */
  party(name: PartyName): Party {
    const party = this.#parties.get(name);
    assert(party, `nobody is called ${name}`);
    return party;
  }

  /** Puts other objects into the manifests folder, in one file, and waits until they are in force. */
  async enter(world: World): Promise<void> {
    const number = ++this.#worlds;
    const policyType = number % 2 === 0 ? "Ingress" : "Egress";
    const mark: RawPolicy = {
      metadata: { namespace: MARK.namespace, name: `world-${number}` },
      spec: { podSelector: {}, policyTypes: [policyType] },
    };
    const policies = [...world.policies, mark];
    await this.#node.writeManifest("world.yaml", manifest({ ...world, policies }));
    const current = `${MARK.namespace}/world-${number}:`;
    await this.#node.untilRules((rules) => {
      const marks = rules.filter((rule) => rule.startsWith(`${MARK.namespace}/`));
      return marks.length === 1 && marks[0]?.startsWith(current) === true;
    });
  }

  /**
   * Sends one packet that opens a connection.
   * @returns what became of it, from the receiver and from the flows, which must agree.
   * @throws {EventuallyError} when it is neither received and told of nor told to be dropped.
   */
  async probe(from: PartyName, to: PartyName, service: Service): Promise<Fate> {
    const [{ netns, ip: src }, { netns: destination, ip: dst }] = [
      this.party(from),
      this.party(to),
    ];
    const srcPort = ++this.#lastPort;
    assert(srcPort < 65536, "no source port is used twice");
    const payload = opener(service, srcPort);
    const receiver = this.#receiver(destination, payload.protocol);
    const packet = textOf(src, dst, payload.build(Ipv4.parse(src), Ipv4.parse(dst)));
    sendPacket(netns, { src, dst }, payload);
    const what = `what became of ${service} from ${from} to ${to}`;
    return await eventually(() => {
      this.#take(receiver);
      const event = this.#event(src, dst, srcPort);
      if (event === undefined) return undefined;
      const isDrop = event.eventType === FlowEventType.DROP;
      const hasArrived = this.#arrived.has(packet);
      if (isDrop) {
        assert.equal(DropReason[event.dropReason], "POLICY_DENIED", what);
        assert(!hasArrived, `${what}: dropped, they say, but it arrived`);
      } else if (!hasArrived) return undefined;
      return { verdict: VERDICTS.get(event.verdict) ?? "deny", rule: event.rule, srcPort };
    }, { timeoutMs: FATE_TIMEOUT_MS, intervalMs: 2, what });
  }

  #take(receiver: PacketReceiver): void {
    for (const { src, dst, payload } of receiver.take()) {
      this.#arrived.add(textOf(src, dst, payload));
    }
  }

  #event(src: string, dst: string, srcPort: number): FlowEvent | undefined {
    const { events } = this.flows;
    for (; this.#read < events.length; this.#read++) {
      const event = events[this.#read] as FlowEvent;
      const { srcIp, dstIp, srcPort, eventType } = event;
      if (eventType !== FlowEventType.DROP && eventType !== FlowEventType.NEW) continue;
      const key = `${srcIp} ${dstIp} ${srcPort}`;
      if (!this.#events.has(key)) this.#events.set(key, event);
    }
    return this.#events.get(`${Ipv4.parse(src).value} ${Ipv4.parse(dst).value} ${srcPort}`);
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

function textOf(src: string, dst: string, payload: Uint8Array): string {
  return `${src} ${dst} ${payload.toHex()}`;
}

/** All objects of a world in one YAML file; JSON is YAML. */
function manifest({ policies, pods, namespaces }: World): string {
  const fromManifest = (pod: { namespace: string; name: string }) =>
    PODS.some(({ namespace, name, labelsFrom }) =>
      labelsFrom === "manifest" && namespace === pod.namespace && name === pod.name
    );
  const networkPolicy = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" };
  const objects = [
    ...Object.entries(namespaces).map(([name, labels]) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels },
    })),
    ...pods.filter(fromManifest).map(({ namespace, name, labels, ports }) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name, labels },
      spec: {
        containers: [{
          name: "main",
          ports: ports.map(({ port, ...named }) => ({ ...named, containerPort: port })),
        }],
      },
    })),
    ...policies.map((policy) => ({ ...networkPolicy, ...policy })),
  ];
  return objects.map((object) => JSON.stringify(object)).join("\n---\n");
}

/** The packet that opens a flow; ICMP echo requests have their identifier in the source port's place. */
function opener(service: Service, srcPort: number): TransportLayer {
  const [protocol, dstPort] = parseService(service);
  const data = `novanet ${srcPort}`;
  switch (protocol) {
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
