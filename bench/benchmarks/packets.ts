import { tcp } from "../../shared/testing/packets.ts";
import type { Datapath } from "../../tests/datapath/datapath.ts";
import { EGRESS, INGRESS } from "../../tests/datapath/datapath.ts";
import {
  A,
  arriving,
  B,
  IDENTITY_A,
  IDENTITY_B,
  makeWorld,
  OUTSIDE,
  sent,
  UPLINK,
  type World,
} from "../../tests/datapath/world.ts";
import type { BenchContext, Benchmark, Row, RowInput } from "../lib/benchmark.ts";
import { row } from "../lib/benchmark.ts";
import { clearConnections, PacketLab, type SeenPacket } from "../lib/packet_lab.ts";

const HOT_REPEATS = 500_000;
const MANY_FLOWS = 100_000;
const NEW_FLOWS = 40_000;
const POLICY_ENTRIES = 60_000;
/** Identities that the policy entries select; each has as many peers as make up the number. */
const SELECTED_IDENTITIES = 300;
/** CONFIG_KEY_FLOW_LEVEL by default: an event for each new connection, TCP flag change and end. */
const FLOW_LEVEL_CONNECTIONS = 2;
const RETVAL_REDIRECT = 7;
const RETVAL_UNSPEC = 0xffffffff;

/** Set anew for each packet. */
const PORTS = { srcPort: 1, dstPort: 1 };
const MORE_STEPS =
  "two decisions, an insert and an event of 64 bytes; an empty program takes less here than where the mark was found (41 ns)";

const MEMORY =
  "one access to memory for each packet. Two thirds of what it takes beside the hot flow are a cache miss, one third the walk of page tables: 25,000 flows " +
  "take 30 % less in a table of an eighth of the size, and the kernel keeps maps in pages of 4 KiB";

const ack = () => tcp({ ...PORTS, flags: "A" });
const syn = () => tcp({ ...PORTS, flags: "S" });

type Values = Record<"empty" | "hot" | "world" | "ingress" | "many" | "fresh" | "denied", number[]>;

/** All figures of one round, with the policy as it is. */
function measure(lab: PacketLab, { datapath, a, b }: World): Values {
  const values: Values = {
    empty: [],
    hot: [],
    world: [],
    ingress: [],
    many: [],
    fresh: [],
    denied: [],
  };
  const egress = datapath.program("pod_egress");
  const ingress = datapath.program("pod_ingress");
  const established: SeenPacket = { frame: sent(a, B, ack()), ifindex: a.ifindex };
  const opening: SeenPacket = { frame: sent(a, B, syn()), ifindex: a.ifindex };
  const refused: SeenPacket = { frame: sent(b, A, syn()), ifindex: b.ifindex };
  const leaving: SeenPacket = { frame: sent(a, OUTSIDE, ack()), ifindex: a.ifindex };
  const coming: SeenPacket = {
    frame: arriving(a, OUTSIDE, ack()),
    ifindex: a.ifindex,
    ingressIfindex: UPLINK,
  };
  const one = { kind: "random", flows: 1 } as const;
  const hot = (packet: SeenPacket, program = egress, retval = RETVAL_REDIRECT) => {
    lab.once(program, packet, 0, 1);
    return expecting(retval, lab.programNs(program, packet, one, HOT_REPEATS));
  };

  values.empty.push(lab.emptyNs(established, HOT_REPEATS));
  values.hot.push(hot(established));
  values.world.push(hot(leaving, egress, RETVAL_UNSPEC));
  values.ingress.push(hot(coming, ingress, RETVAL_UNSPEC));
  values.denied.push(lab.programNs(egress, refused, one, HOT_REPEATS).ns);
  lab.once(egress, established, 0, MANY_FLOWS);
  values.many.push(expecting(
    RETVAL_REDIRECT,
    lab.programNs(egress, established, { kind: "random", flows: MANY_FLOWS }, HOT_REPEATS),
  ));
  clearConnections((name) => datapath.map(name));
  datapath.events();
  const sequence = { kind: "sequence", first: 0 } as const;
  values.fresh.push(expecting(
    RETVAL_REDIRECT,
    lab.programNs(egress, opening, sequence, NEW_FLOWS),
  ));
  const events = datapath.events().length;
  if (events !== NEW_FLOWS) throw new Error(`${NEW_FLOWS} new flows gave ${events} events`);
  clearConnections((name) => datapath.map(name));
  return values;
}

function expecting(retval: number, result: { ns: number; retval: number }): number {
  if (result.retval >>> 0 !== retval) throw new Error(`returned ${result.retval}, not ${retval}`);
  return result.ns;
}

/** What lets A reach B and the outside reach A, and denies what B begins to A. */
function addFewRules(datapath: Datapath): void {
  const allow = { action: "allow", ruleId: 16, protocol: 6 } as const;
  datapath.addRule({
    ...allow,
    direction: INGRESS,
    srcIdentity: IDENTITY_A,
    dstIdentity: IDENTITY_B,
  });
  datapath.addRule({ ...allow, direction: EGRESS, srcIdentity: IDENTITY_A });
  datapath.addRule({ action: "deny", ruleId: 17, direction: EGRESS, srcIdentity: IDENTITY_B });
}

function addManyRules(datapath: Datapath): void {
  for (let number = 0; number < POLICY_ENTRIES; number++) {
    datapath.addRule({
      action: "allow",
      ruleId: 18,
      direction: INGRESS,
      protocol: 6,
      dstPort: 8080,
      prefixLen: 16,
      dstIdentity: IDENTITY_B + number % SELECTED_IDENTITIES,
      srcIdentity: 10_000 + Math.floor(number / SELECTED_IDENTITIES),
    });
  }
}

async function run({ lab: netnsLab, rounds, note }: BenchContext): Promise<Row[]> {
  const sizes = { CONNTRACK: 3 << 18, CONNTRACK_MORE: 1 << 18, POLICIES: 1 << 18 };
  const few = netnsLab.own(await makeWorld(sizes));
  const many = netnsLab.own(await makeWorld(sizes));
  for (const { datapath } of [few, many]) {
    datapath.set({ flowLevel: FLOW_LEVEL_CONNECTIONS });
    addFewRules(datapath);
  }
  note(`${POLICY_ENTRIES} policy entries`);
  addManyRules(many.datapath);
  const values = { few: {} as Values, many: {} as Values };
  const labs = {
    few: netnsLab.own(await PacketLab.create(few.datapath.netns)),
    many: netnsLab.own(await PacketLab.create(many.datapath.netns)),
  };
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    for (const [name, world] of [["few", few], ["many", many]] as const) {
      const measured = measure(labs[name], world);
      for (const [key, list] of Object.entries(measured)) {
        (values[name][key as keyof Values] ??= []).push(...list);
      }
    }
  }
  return rows(values.few, values.many);
}

function rows(few: Values, many: Values): Row[] {
  const against = (what: string, ours: number[], peer: number[], rest: Partial<RowInput> = {}) =>
    row({ what, unit: "ns", ours, peer: { name: "empty tc program", values: peer }, ...rest });
  return [
    against("established packet, pod to pod (pod_egress, few rules)", few.hot, few.empty, {
      mark: { of: "ratio", atMost: 2.5 },
    }),
    against(`the same with ${POLICY_ENTRIES} policy entries`, many.hot, many.empty, {
      mark: { of: "ratio", atMost: 2.5 },
    }),
    row({
      what: `established packet: ${POLICY_ENTRIES} entries beside few`,
      unit: "ns",
      ours: many.hot,
      peer: { name: "few rules", values: few.hot },
      mark: { of: "ratio", atMost: 1.1, atLeast: 0.9 },
    }),
    against("established packet, pod to outside (pod_egress)", few.world, few.empty),
    against("established packet, outside to pod (pod_ingress)", few.ingress, few.empty),
    row({
      what: `established packets of ${MANY_FLOWS} flows at random`,
      unit: "ns",
      ours: few.many,
      peer: { name: "one hot flow", values: few.hot },
      mark: { of: "ratio", atMost: 3.5 },
      cause: MEMORY,
    }),
    against("first packet of a flow, entry and event included", few.fresh, few.empty, {
      mark: { of: "ratio", atMost: 30 },
      cause: MORE_STEPS,
    }),
    against(`the same with ${POLICY_ENTRIES} policy entries`, many.fresh, many.empty, {
      mark: { of: "ratio", atMost: 30 },
      cause: MORE_STEPS,
    }),
    against("denied packet, event aggregated", few.denied, few.empty),
  ];
}

/** Nanoseconds per packet in the kernel. */
export const packets: Benchmark = {
  name: "packets",
  title: "Cost of a packet",
  method:
    "BPF_PROG_TEST_RUN on the shipped object, flow level `connections` (the default), against an empty tc program. A second " +
    "program makes the packets (ports, addresses, TTL), so that same-node delivery and many flows can be repeated; its cost is measured with the " +
    "empty program in the datapath's place and taken off. Ring buffer and tables are emptied between runs; no event is lost.",
  run,
};
