import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { PolicyKeyCodec, PolicyValueCodec } from "../../shared/gen/abi.ts";
import {
  PolicyAction,
  PolicyDirection,
  type PolicyEntrySchema,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { runCommand } from "../../shared/testing/command.ts";
import { LabNode } from "../../shared/testing/node.ts";
import { type BenchContext, type Benchmark, type Row, row } from "../lib/benchmark.ts";
import { dataplaneClient, startToServing } from "../lib/daemons.ts";

/** Of ours in one round: single calls of some 20 ms differ a lot from each other. */
const TIMES = 5;
const ENTRIES = 60_000;
const SELECTED_IDENTITIES = 300;
const FIRST_IDENTITY = 256;

const ALL_TRAVEL = "all 60,000 entries are encoded, sent and compared each time";

type Entry = MessageInitShape<typeof PolicyEntrySchema>;

function entries(): Entry[] {
  return Array.from({ length: ENTRIES }, (_, number) => ({
    srcIdentity: 10_000 + Math.floor(number / SELECTED_IDENTITIES),
    dstIdentity: FIRST_IDENTITY + number % SELECTED_IDENTITIES,
    protocol: 6,
    dstPort: 8080,
    action: PolicyAction.ALLOW,
    direction: PolicyDirection.INGRESS,
    ruleId: 16,
  }));
}

const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** The same entries as bpftool takes them. */
function batchText(map: string): string {
  const lines: string[] = [];
  for (const { srcIdentity = 0, dstIdentity = 0, protocol = 0, dstPort = 0 } of entries()) {
    const key = PolicyKeyCodec.encode({
      srcIdentity,
      dstIdentity,
      protocol,
      dstPort,
      direction: PolicyDirection.INGRESS,
      prefixLen: 16,
      kind: 0,
    });
    const value = PolicyValueCodec.encode({
      generation: 1,
      action: Uint8Array.of(0, 1),
      ruleId: [0, 16],
    });
    lines.push(`map update pinned ${map} key hex ${hex(key)} value hex ${hex(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await action();
  return performance.now() - started;
}

async function run({ lab, rounds, note }: BenchContext): Promise<Row[]> {
  const node = await LabNode.create(lab);
  await startToServing(node);
  using dataplane = dataplaneClient(node);
  const all = entries();
  const changed = all.map((entry, index) =>
    index === ENTRIES / 2 ? { ...entry, action: PolicyAction.DENY } : entry
  );
  const sync = async (policies: Entry[], expected: string) => {
    const { added, removed, updated } = await dataplane.syncPolicies({ policies });
    const got = `${added} added, ${removed} removed, ${updated} updated`;
    if (got !== expected) throw new Error(`${got}; expected ${expected}`);
  };

  const map = join(node.dir, "bpf", "peer");
  const batch = join(node.dir, "batch");
  await Deno.writeTextFile(batch, batchText(map));
  const bpftool = async () => {
    // deno-fmt-ignore
    await runCommand([
      "bpftool", "map", "create", map, "type", "hash", "key", String(PolicyKeyCodec.size),
      "value", String(PolicyValueCodec.size), "entries", String(2 * ENTRIES), "name", "peer",
    ]);
    const milliseconds = await timed(() => runCommand(["bpftool", "batch", "file", batch]));
    await Deno.remove(map);
    return milliseconds;
  };

  const values: Record<"first" | "one" | "none" | "peer", number[]> = {
    first: [],
    one: [],
    none: [],
    peer: [],
  };
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}`);
    for (let times = 0; times < TIMES; times++) {
      values.first.push(await timed(() => sync(all, `${ENTRIES} added, 0 removed, 0 updated`)));
      values.none.push(await timed(() => sync(all, "0 added, 0 removed, 0 updated")));
      values.one.push(await timed(() => sync(changed, "0 added, 0 removed, 1 updated")));
      await sync([], `0 added, ${ENTRIES} removed, 0 updated`);
    }
    values.peer.push(await bpftool());
  }
  return rows(values);
}

function rows({ first, one, none, peer }: Record<"first" | "one" | "none" | "peer", number[]>) {
  const unit = "ms";
  const beside = { name: "the first", values: first };
  return [
    row({
      what: `SyncPolicies, the first ${ENTRIES} entries`,
      unit,
      ours: first,
      peer: { name: "bpftool batch, the same entries", values: peer },
      mark: { of: "ratio", atMost: 5 },
    }),
    row({
      what: "SyncPolicies, one entry changed",
      unit,
      ours: one,
      peer: beside,
      mark: { of: "ratio", atMost: 0.4 },
      cause: ALL_TRAVEL,
    }),
    row({
      what: "SyncPolicies, nothing changed",
      unit,
      ours: none,
      peer: beside,
      mark: { of: "ratio", atMost: 0.25 },
      cause: ALL_TRAVEL,
    }),
  ];
}

/** How fast a policy set takes force. */
export const policies: Benchmark = {
  name: "policies",
  title: "A policy set of 60,000 entries",
  method:
    "The whole call, from the client's objects to the answer, on the compiled dataplane; the first one finds an empty set. Ours are called " +
    `${TIMES} times in a round. The peer writes the same keys and values into a hash of the same shape, from a file, and does nothing else: ` +
    "no validation, no diff, no atomic switch.",
  run,
};
