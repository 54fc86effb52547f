import type { BpfMap, BpfProgram } from "../../shared/ffi/bpf.ts";
import {
  CidrKeyCodec,
  CidrValueCodec,
  CollectArgsCodec,
  type ConntrackEntry,
  ConntrackEntryCodec,
  ConntrackGroup,
  ConntrackSlotCodec,
  type DatapathState,
  DatapathStateCodec,
  EndpointKeyCodec,
  EndpointValueCodec,
  type FlowEvent,
  FlowEventCodec,
  PodIfaceValueCodec,
  type PolicyKey,
  PolicyKeyCodec,
  PolicyShapeKeyCodec,
  PolicyShapeValueCodec,
  PolicyValueCodec,
} from "../../shared/gen/abi.ts";
import { DropReason, PolicyAction } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Cidr, Ipv4, Mac } from "../../shared/net/mod.ts";
import { inNetns } from "../../shared/netns/mod.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { acquire, type LoadedObject, release } from "./loaded.ts";

/** What a program did with a packet. */
export interface Outcome {
  /** pass: on to the host's stack or to the pod; redirect: into another pod. */
  readonly verdict: "pass" | "redirect" | "drop";
  /** Name of the drop reason without its prefix; undefined unless dropped. */
  readonly reason: string | undefined;
  /** The packet afterwards. */
  readonly packet: Uint8Array;
}

/** A pod as the datapath knows it. */
export interface DatapathPod {
  readonly ip: Ipv4;
  readonly mac: Mac;
  readonly ifindex: number;
  readonly identity: number;
}

/** What entries do: numbers of PolicyAction. */
export const ACTIONS = {
  allow: PolicyAction.ALLOW,
  deny: PolicyAction.DENY,
  audit: PolicyAction.AUDIT,
} as const;

/** A policy entry; what is left out is 0. */
export interface Rule extends Partial<Omit<PolicyKey, "pad">> {
  readonly action: keyof typeof ACTIONS;
  readonly ruleId: number;
}

export const INGRESS = 1;
export const EGRESS = 2;
export const GATEWAY_MAC = Mac.parse("02:fe:0a:f4:00:01");
const POD_CIDR = Cidr.parse("10.244.0.0/24");
const CTX_SIZE = 192;
const CTX_INGRESS_IFINDEX = 36;
const CTX_IFINDEX = 40;
const CTX_GSO_SEGS = 164;
const CTX_GSO_SIZE = 176;
const TC_ACT_SHOT = 2;
const TC_ACT_REDIRECT = 7;
const GENERATION = 7;
/** Slots of DROP_COUNTERS. */
const DROP_REASONS = 128;

/** The shipped object in the kernel with maps of its own, its programs run on given packets by BPF_PROG_TEST_RUN. */
export class Datapath implements Disposable {
  /** Where the interfaces of the pods are. */
  readonly netns: LabNetns;
  readonly #object: LoadedObject;
  readonly #sizes: Readonly<Record<string, number>>;
  readonly #shapes = new Map<string, { exact: number; any: number }>();
  #state: DatapathState;

  /** @throws {SysError} */
  constructor(netns: LabNetns, sizes: Readonly<Record<string, number>> = {}) {
    this.netns = netns;
    this.#sizes = sizes;
    this.#object = acquire(sizes);
    this.#state = {
      policyGeneration: GENERATION,
      evaluationGeneration: GENERATION,
      flowLevel: 3,
      flowIntervalJiffies: 1000,
      defaultDeny: 0,
      podCidrIp: POD_CIDR.address.toU32(),
      podCidrMask: 0xffffff00,
      cidrCount: 0,
      wildcardShapes: [0, 1, 2].map(() => ({ exactProtocol: 0, anyProtocol: 0 })),
      timeoutSeconds: [60, 21600, 15, 30, 180, 210, 30, 60, 30],
      hz: 1000,
      policyStaging: 0,
      conntrackGroups: this.map("CONNTRACK").info().maxEntries / ConntrackGroup.CONNTRACK_WAYS,
      fragmentQuota: this.map("FRAGMENTS").info().maxEntries,
      conntrackSeed: [1, 2],
    };
    this.set({});
  }

  /** A map by its name. */
  map(name: string): BpfMap {
    const map = this.#object.maps.get(name);
    if (map === undefined) throw new RangeError(`no map ${name}`);
    return map;
  }

  /** A program by its name. */
  program(name: string): BpfProgram {
    const program = this.#object.programs.get(name);
    if (program === undefined) throw new RangeError(`no program ${name}`);
    return program;
  }

  /** Changes some of DATAPATH_STATE. */
  set(change: Partial<DatapathState>): void {
    this.#state = { ...this.#state, ...change };
    this.map("DATAPATH_STATE").update(new Uint8Array(4), DatapathStateCodec.encode(this.#state));
  }

  get state(): DatapathState {
    return this.#state;
  }

  /** Makes a pod known: its address and, unless it is only an address, its interface. */
  addPod(pod: DatapathPod): void {
    this.addAddress(pod.ip, pod.identity, pod.ifindex, pod.mac);
    const iface = PodIfaceValueCodec.encode({
      ifindex: pod.ifindex,
      ip: pod.ip.toU32(),
      identity: pod.identity,
      mac: pod.mac.bytes,
      gatewayMac: GATEWAY_MAC.bytes,
    });
    const holder = this.map("POD_IFACES").lookup(slotOf(pod));
    const { ifindex } = PodIfaceValueCodec.decode(holder ?? iface);
    if (ifindex === 0 || ifindex === pod.ifindex) {
      this.map("POD_IFACES").update(slotOf(pod), iface);
    } else this.map("POD_IFACES_MORE").update(u32Key(pod.ifindex), iface);
  }

  /** Makes an address known: of the host (identity 1), or of a pod elsewhere. */
  addAddress(ip: Ipv4, identity: number, ifindex = 0, mac = Mac.parse("00:00:00:00:00:00")): void {
    this.map("ENDPOINTS").update(
      EndpointKeyCodec.encode({ ip: ip.toU32() }),
      EndpointValueCodec.encode({
        ip: ip.toU32(),
        ifindex,
        mac: mac.bytes,
        identity,
        nodeIp: 0,
      }),
    );
  }

  /** Forgets a pod. */
  removePod(pod: DatapathPod): void {
    this.map("ENDPOINTS").delete(EndpointKeyCodec.encode({ ip: pod.ip.toU32() }));
    this.map("POD_IFACES").update(slotOf(pod), new Uint8Array(PodIfaceValueCodec.size));
  }

  /** Puts an entry in force. */
  addRule({ action, ruleId, ...key }: Rule): void {
    const full: PolicyKey = {
      srcIdentity: 0,
      dstIdentity: 0,
      protocol: 0,
      direction: 0,
      dstPort: 0,
      prefixLen: 0,
      kind: 0,
      ...key,
    };
    this.map("POLICIES").update(
      PolicyKeyCodec.encode(full),
      PolicyValueCodec.encode({
        generation: GENERATION,
        action: Uint8Array.of(255, ACTIONS[action]),
        ruleId: [0, ruleId],
      }),
    );
    if (full.kind === 0) this.#addShape(full);
  }

  /** Gives a CIDR an identity. */
  addCidr(cidr: Cidr, identity: number): void {
    this.map("CIDR_IDENTITIES").update(
      CidrKeyCodec.encode({
        prefixLen: cidr.prefixLen,
        addressBe: cidr.address.toBytes(),
      }),
      CidrValueCodec.encode({ generation: GENERATION, identity: [0, identity] }),
    );
    this.set({ cidrCount: this.#state.cidrCount + 1 });
  }

  /**
   * Runs a program on one packet.
   * @param ifindex the interface behind whose hook it is; it exists in the namespace.
   * @param ingressIfindex where it came into the machine: 0 for this host itself.
   * @param segments more than one: the kernel will cut it into so many.
   */
  run(
    program: "pod_egress" | "pod_ingress",
    packet: Uint8Array,
    { ifindex, ingressIfindex = 0, segments = 0 }: {
      ifindex: number;
      ingressIfindex?: number;
      segments?: number;
    },
  ): Outcome {
    const ctxIn = new Uint8Array(CTX_SIZE);
    const view = new DataView(ctxIn.buffer);
    view.setUint32(CTX_IFINDEX, ifindex, true);
    view.setUint32(CTX_INGRESS_IFINDEX, ingressIfindex, true);
    view.setUint32(CTX_GSO_SEGS, segments, true);
    view.setUint32(CTX_GSO_SIZE, segments === 0 ? 0 : 1000, true);
    const before = this.drops();
    const { retval, dataOut } = inNetns(
      this.netns.path,
      () => this.program(program).testRun({ dataIn: packet, ctxIn }),
    );
    const after = this.drops();
    const reasons = after.flatMap((count, reason) =>
      count > (before[reason] ?? 0n) ? [reason] : []
    );
    const verdict = retval === TC_ACT_SHOT
      ? "drop"
      : retval === TC_ACT_REDIRECT
      ? "redirect"
      : "pass";
    return {
      verdict,
      reason: reasons.map((reason) => DropReason[reason]).join() || undefined,
      packet: dataOut,
    };
  }

  /** Dropped packets by reason. */
  drops(): bigint[] {
    const { values } = this.map("DROP_COUNTERS").lookupBatch(undefined, DROP_REASONS);
    const counts = new BigUint64Array(values.buffer);
    const cpus = counts.length / DROP_REASONS;
    return Array.from(
      { length: DROP_REASONS },
      (_, reason) =>
        counts.subarray(reason * cpus, (reason + 1) * cpus).reduce((sum, each) => sum + each, 0n),
    );
  }

  /** A counter of STATISTICS. */
  statistic(index: number): bigint {
    return this.#sum("STATISTICS", u32Key(index));
  }

  /** The conntrack entries. */
  connections(): ConntrackEntry[] {
    const slots = [...this.map("CONNTRACK").entries()].map(([, value]) =>
      ConntrackSlotCodec.decode(value).entry
    );
    const more = [...this.map("CONNTRACK_MORE").entries()].map(([, value]) =>
      ConntrackEntryCodec.decode(value)
    );
    return [...slots.filter(({ key }) => key.ipA !== 0), ...more];
  }

  /** The flow events that have come since the last call. */
  events(): FlowEvent[] {
    const events: FlowEvent[] = [];
    this.#object.ring.consume((view, offset) => events.push(FlowEventCodec.read(view, offset)));
    return events;
  }

  /** Runs collect_garbage. */
  collect(): ReturnType<typeof CollectArgsCodec.decode> {
    const ctxIn = CollectArgsCodec.encode({
      jiffies: 0n,
      ktimeNs: 0n,
      conntrackLive: 0,
      conntrackExpired: 0,
      fragmentsLive: 0,
      fragmentsExpired: 0,
      dropFlowsReported: 0,
      scan: 1,
    });
    return CollectArgsCodec.decode(this.program("collect_garbage").testRun({ ctxIn }).ctxOut);
  }

  [Symbol.dispose](): void {
    release(this.#object, this.#sizes);
  }

  #sum(map: string, key: Uint8Array): bigint {
    const value = this.map(map).lookup(key) ?? new Uint8Array();
    return new BigUint64Array(value.buffer).reduce((sum, each) => sum + each, 0n);
  }

  #addShape({ srcIdentity, dstIdentity, direction, protocol, prefixLen }: PolicyKey): void {
    const selected = direction === INGRESS ? dstIdentity : direction === EGRESS ? srcIdentity : 0;
    const bit = 1 << prefixLen;
    const [exact, any] = protocol === 0 ? [0, bit] : [bit, 0];
    if (selected === 0) {
      this.set({
        wildcardShapes: this.#state.wildcardShapes.map((shape, index) =>
          index === direction
            ? { exactProtocol: shape.exactProtocol | exact, anyProtocol: shape.anyProtocol | any }
            : shape
        ),
      });
      return;
    }
    const name = `${selected}/${direction}`;
    const before = this.#shapes.get(name) ?? { exact: 0, any: 0 };
    const shape = { exact: before.exact | exact, any: before.any | any };
    this.#shapes.set(name, shape);
    this.map("POLICY_SHAPES").update(
      PolicyShapeKeyCodec.encode({ identity: selected, direction }),
      PolicyShapeValueCodec.encode({
        shape: { exactProtocol: shape.exact, anyProtocol: shape.any },
      }),
    );
  }
}

/** The drop reason, else the verdict. */
export const result = ({ verdict, reason }: Outcome): string => reason ?? verdict;

/** The name of a drop reason as outcomes have it. */
export type Reason = keyof typeof DropReason;

const u32Key = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
const slotOf = ({ ifindex }: DatapathPod) => u32Key(ifindex % 65536);

/** Addresses of the tests. */
export const ip = (text: string): Ipv4 => Ipv4.parse(text);
