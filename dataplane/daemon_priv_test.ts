import assert from "node:assert/strict";
import { BpfProgram } from "../shared/ffi/bpf.ts";
import { DataplaneExt } from "../shared/gen/novanet/ext/v1/ext_pb.ts";
import {
  AttachType,
  ConfigKey,
  DataplaneControl,
  DropReason,
  type FlowEvent,
  FlowEventType,
  PolicyAction,
  PolicyDirection,
} from "../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient, type RpcClient } from "../shared/rpc/client.ts";
import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
import { runCommand, tryCommand } from "../shared/testing/command.ts";
import { eventually } from "../shared/testing/eventually.ts";
import { type LabNetns, NetnsLab } from "../shared/testing/lab.ts";
import { LeakLedger } from "../shared/testing/leak_ledger.ts";
import { LabNode } from "../shared/testing/node.ts";
import { connectPod, type PlainPod } from "./testing/pod_pair.ts";
import { udpReceiver, udpSender } from "./testing/udp.ts";

const { ALLOW, DENY } = PolicyAction;
const { INGRESS, EGRESS } = PolicyDirection;
const FLAGS = ["--conntrack-max=4096", "--policy-max=4096", "--endpoint-max=256"];
const PORT = 9999;
const A_IDENTITY = 256;
const B_IDENTITY = 300;

type Pod = PlainPod<LabNetns>;

interface TestNode {
  readonly lab: NetnsLab;
  readonly node: LabNode;
  readonly control: RpcClient<typeof DataplaneControl>;
  readonly ext: RpcClient<typeof DataplaneExt>;
}

/** A node on which the compiled dataplane runs alone. */
async function withDataplane(
  test: (node: TestNode) => Promise<void>,
  dataplaneFlags: readonly string[] = FLAGS,
): Promise<void> {
  const ledger = LeakLedger.take();
  {
    await using lab = new NetnsLab();
    const node = await LabNode.create(lab, { dataplaneFlags });
    await node.startDataplane();
    const socketPath = node.socket("dataplane.sock");
    const control = lab.own(createRpcClient(DataplaneControl, { socketPath }));
    const ext = lab.own(createRpcClient(DataplaneExt, { socketPath }));
    await test({ lab, node, control, ext });
  }
  await ledger.assertNoLeaks();
}

/** Two pods that the dataplane knows, with programs. */
async function addPods({ lab, node, control }: TestNode): Promise<[Pod, Pod]> {
  const pods: Pod[] = [];
  for (const [index, identityId] of [A_IDENTITY, B_IDENTITY].entries()) {
    const pod = await connectPod(node.netns, await lab.addNetns(), `10.244.0.${index + 2}`);
    await attachBoth(control, pod.hostIfName);
    await control.upsertEndpoint({
      ip: pod.ip.value,
      ifindex: pod.ifindex,
      mac: pod.mac.bytes,
      identityId,
      podName: index === 0 ? "a" : "b",
      namespace: "test",
    });
    pods.push(pod);
  }
  return pods as [Pod, Pod];
}

async function attachBoth(
  control: RpcClient<typeof DataplaneControl>,
  interfaceName: string,
): Promise<void> {
  await Promise.all(
    [AttachType.ATTACH_TC_INGRESS, AttachType.ATTACH_TC_EGRESS].map((attachType) =>
      control.attachProgram({ interfaceName, attachType })
    ),
  );
}

const hasCode = (code: RpcCode, text: RegExp) => (error: unknown) =>
  error instanceof RpcError && error.code === code && text.test(error.message);

/** Collects a stream until its signal; only then its failure counts. */
function collect(stream: AsyncIterable<FlowEvent>): { events: FlowEvent[]; done: Promise<void> } {
  const events: FlowEvent[] = [];
  const done = (async () => {
    for await (const event of stream) events.push(event);
  })().catch((error) => {
    if (!(error instanceof RpcError) || error.code !== RpcCode.CANCELLED) events.length = 0;
  });
  return { events, done };
}

Deno.test("programs: idempotent, real ids, foreign filters stay, interfaces that go are forgotten", async () => {
  await withDataplane(async ({ node, control }) => {
    await node.netns.run(["ip", "link", "add", "veth-x", "type", "veth", "peer", "name", "veth-y"]);
    await node.netns.run(["tc", "qdisc", "add", "dev", "veth-x", "clsact"]);
    const [pin] = [...Deno.readDirSync(node.pinDir)].filter(({ name }) =>
      /^prog_pod_in/.test(name)
    );
    await node.netns.run([
      ...["tc", "filter", "add", "dev", "veth-x", "ingress", "prio", "7"],
      ...["bpf", "direct-action", "object-pinned", `${node.pinDir}/${pin?.name}`],
    ]);
    const hook = { interfaceName: "veth-x", attachType: AttachType.ATTACH_TC_INGRESS };
    await attachBoth(control, "veth-x");
    const first = (await control.getDataplaneStatus({})).programs;
    await attachBoth(control, "veth-x");
    const { programs, attachMode } = await control.getDataplaneStatus({});
    assert.equal(attachMode, "tcx");
    assert.deepEqual(programs, first);
    const byType = new Map(programs.map((program) => [program.attachType, program]));
    assert.deepEqual([...byType.keys()].sort(), ["egress", "ingress"]);
    for (const [type, name] of [["ingress", "pod_egress"], ["egress", "pod_ingress"]] as const) {
      assert.equal(byType.get(type)?.interfaceName, "veth-x");
      using program = BpfProgram.byId(byType.get(type)?.programId ?? 0);
      assert.equal(program.name, name);
    }

    await control.detachProgram(hook);
    await control.detachProgram(hook);
    assert.equal((await control.getDataplaneStatus({})).programs.length, 1);
    const { stdout } = await runCommand([
      ...["nsenter", `--net=${node.netns.path}`, "--"],
      ...["tc", "filter", "show", "dev", "veth-x", "ingress"],
    ]);
    assert.match(stdout, /pref 7 bpf/);

    await node.netns.run(["ip", "link", "delete", "veth-x"]);
    assert.deepEqual((await control.getDataplaneStatus({})).programs, []);
    await control.detachProgram(hook);
    await assert.rejects(
      control.attachProgram(hook),
      hasCode(RpcCode.NOT_FOUND, /"veth-x"/),
    );
    assert.deepEqual(
      [...Deno.readDirSync(node.pinDir)].filter(({ name }) => name.startsWith("link_")),
      [],
    );
  });
});

const BAD_REQUESTS: [
  name: string,
  call: (control: RpcClient<typeof DataplaneControl>) => Promise<unknown>,
  message: RegExp,
][] = [
  ["endpoint without address", (c) => c.upsertEndpoint({ mac: new Uint8Array(6) }), /^ip 0/],
  ["endpoint with a short MAC", (c) => c.upsertEndpoint({ ip: 1, mac: new Uint8Array(5) }), /^mac/],
  ["no address to delete", (c) => c.deleteEndpoint({}), /^ip 0/],
  ["action 64", (c) => c.upsertPolicy({ action: 64 }), /^action 64/],
  ["protocol 256", (c) => c.upsertPolicy({ protocol: 256 }), /^protocol 256/],
  [
    "entry 1 of a set",
    (c) => c.syncPolicies({ policies: [{}, { protocol: 6, dstPort: 70_000 }] }),
    /^policies\[1\]\.dst_port 70000/,
  ],
  [
    "two entries that contradict each other",
    (c) => c.syncPolicies({ policies: [{ action: ALLOW }, { action: DENY }] }),
    /^policies\[1\]\.action 0/,
  ],
  [
    "an address range with host bits",
    (c) => c.syncPolicies({ cidrIdentities: [{ cidrIp: 1, prefixLen: 8, identityId: 2 ** 24 }] }),
    /^cidr_identities\[0\]\.cidr_ip 1/,
  ],
  ["key 11", (c) => c.updateConfig({ entries: { 11: 0n } }), /^entries 11/],
  ["an internal key", (c) => c.updateConfig({ entries: { 96: 0n } }), /^entries 96/],
  ["flow level 4", (c) => c.updateConfig({ entries: { 64: 4n } }), /^entries\[64\] 4/],
  ["no interface name", (c) => c.attachProgram({}), /^interface_name ""/],
  [
    "a long interface name",
    (c) => c.attachProgram({ interfaceName: "x".repeat(16) }),
    /^interface_name/,
  ],
  [
    "hook 7",
    (c) => c.attachProgram({ interfaceName: "lo", attachType: 7 as AttachType }),
    /^attach_type 7/,
  ],
];

Deno.test("bad requests are refused by field and value, and change nothing", async () => {
  await withDataplane(async ({ control }) => {
    await control.updateConfig({ entries: { [ConfigKey.MODE]: 1n } });
    for (const [name, call, message] of BAD_REQUESTS) {
      await assert.rejects(call(control), hasCode(RpcCode.INVALID_ARGUMENT, message), name);
    }
    const half = { [ConfigKey.MODE]: 0n, [ConfigKey.TUNNEL_TYPE]: 2n };
    await assert.rejects(
      control.updateConfig({ entries: half }),
      hasCode(RpcCode.INVALID_ARGUMENT, /^entries\[1\] 2/),
    );
    const status = await control.getDataplaneStatus({});
    assert.equal(status.mode, "native");
    assert.equal(status.tunnelProtocol, "unknown");
    assert.equal(status.endpointCount + status.policyCount, 0);
    const later = [
      () => control.upsertTunnel({ nodeIp: 1 }),
      () => control.deleteTunnel({ nodeIp: 1 }),
      () => control.upsertEgressPolicy({}),
      () => control.deleteEgressPolicy({}),
      () => control.upsertSockmapEndpoint({}),
      () => control.deleteSockmapEndpoint({}),
      () => control.upsertMeshService({}),
      () => control.deleteMeshService({}),
      () => control.updateRateLimitConfig({}),
    ];
    for (const call of later) await assert.rejects(call(), hasCode(RpcCode.UNIMPLEMENTED, /./));
    assert.equal((await control.getSockmapStats({})).activeEndpoints, 0);
    assert.deepEqual((await control.listMeshServices({})).entries, []);
    assert.equal((await control.getInternalRateLimitStats({})).denied, 0n);
    assert.deepEqual((await control.getBackendHealthStats({})).backends, []);
  });
});

Deno.test("flows: allowed and dropped, with names, rules and filters", async () => {
  await withDataplane(async (test) => {
    const { control } = test;
    const [a, b] = await addPods(test);
    await control.syncPolicies({
      policies: [
        { dstIdentity: B_IDENTITY, direction: INGRESS, isolation: true, ruleId: 20 },
        {
          srcIdentity: A_IDENTITY,
          dstIdentity: B_IDENTITY,
          direction: INGRESS,
          protocol: 17,
          dstPort: PORT,
          action: ALLOW,
          ruleId: 21,
        },
      ],
      ruleNames: { 20: "test/b:ingress[default-deny]", 21: "test/b:ingress[0]" },
    });
    const stop = new AbortController();
    const { signal } = stop;
    const all = collect(control.streamFlows({}, { signal }));
    const drops = collect(control.streamFlows({ dropsOnly: true }, { signal }));
    const others = collect(control.streamFlows({ identityFilter: 4711 }, { signal }));
    const received = b.netns.start(udpReceiver(PORT));
    await eventually(() => received.stdout.includes("ready"), { what: "a receiver" });
    for (const port of [PORT, PORT + 1]) a.netns.start(udpSender(b.ip.toString(), port, 50));
    await eventually(() => received.stdout.includes("received"), { what: "an allowed datagram" });

    const allowed = await eventually(
      () => all.events.find(({ dstPort, verdict }) => dstPort === PORT && verdict === ALLOW),
      { what: "an event of the allowed flow" },
    );
    assert.equal(allowed.eventType, FlowEventType.NEW);
    assert.equal(allowed.rule, "test/b:ingress[0]");
    assert.equal(allowed.ruleDirection, INGRESS);
    assert.deepEqual(
      [allowed.srcNamespace, allowed.srcPod, allowed.dstNamespace, allowed.dstPod],
      ["test", "a", "test", "b"],
    );
    assert.deepEqual([allowed.srcIp, allowed.dstIp], [a.ip.value, b.ip.value]);
    assert.deepEqual([allowed.srcIdentity, allowed.dstIdentity], [A_IDENTITY, B_IDENTITY]);
    const wallAgeMs = Date.now() - Number(allowed.wallTimeUnixNs / 1_000_000n);
    assert.ok(wallAgeMs >= 0 && wallAgeMs < 30_000, `wall time is off by ${wallAgeMs} ms`);

    const dropped = await eventually(
      () => drops.events.find(({ dstPort }) => dstPort === PORT + 1),
      { what: "an event of the drop" },
    );
    assert.equal(dropped.dropReason, DropReason.POLICY_DENIED);
    assert.equal(dropped.rule, "test/b:ingress[default-deny]");
    assert.equal(dropped.dstPort, PORT + 1);
    assert.equal(dropped.eventType, FlowEventType.DROP);
    await eventually(async () => {
      const { dropCounters } = await control.getDataplaneStatus({});
      return (dropCounters[DropReason.POLICY_DENIED] ?? 0n) >= 2n;
    }, { what: "counted drops" });
    const status = await control.getDataplaneStatus({});
    assert.equal(status.conntrackCount, 1);
    assert.ok(status.flowEvents >= 2n);
    assert.equal(status.lostFlowEvents, 0n);
    assert.ok(drops.events.every(({ verdict }) => verdict === DENY));
    assert.deepEqual(others.events, []);
    stop.abort();
    await Promise.all([all.done, drops.done, others.done]);
  });
});

function isPolicyDrop({ dropReason }: FlowEvent): boolean {
  return dropReason === DropReason.POLICY_DENIED;
}

Deno.test("no packet sees part of a set: 1,000 syncs between two opposite ones", async () => {
  await withDataplane(async (test) => {
    const { control } = test;
    const [a, b] = await addPods(test);
    const filler = (from: number, action: PolicyAction) =>
      Array.from({ length: 500 }, (_, i) => ({
        srcIdentity: 1000 + from + i,
        dstIdentity: B_IDENTITY,
        direction: INGRESS,
        action,
        ruleId: 1,
      }));
    // In each set one of the two decisions allows and the other denies. A packet that saw the egress of one
    // and the ingress of the other would pass. Keys come and go with the sets, so that all ways of a change occur.
    const pair = { srcIdentity: A_IDENTITY, dstIdentity: B_IDENTITY };
    const exact = { ...pair, protocol: 17, dstPort: PORT };
    const sets = [
      [
        ...filler(0, ALLOW),
        { ...exact, direction: EGRESS, action: ALLOW, ruleId: 30 },
        { ...pair, direction: INGRESS, action: DENY, ruleId: 31 },
        { dstIdentity: B_IDENTITY, direction: EGRESS, action: ALLOW, ruleId: 32 },
      ],
      [
        ...filler(250, DENY),
        { ...pair, direction: EGRESS, action: DENY, ruleId: 33 },
        { ...exact, direction: INGRESS, action: ALLOW, ruleId: 34 },
        { dstIdentity: B_IDENTITY, direction: EGRESS, action: DENY, ruleId: 35 },
      ],
    ];
    await control.syncPolicies({ policies: sets[0] ?? [] });
    const stop = new AbortController();
    const drops = collect(control.streamFlows({ dropsOnly: true }, { signal: stop.signal }));
    const receiver = b.netns.start(udpReceiver(PORT));
    await eventually(() => receiver.stdout.includes("ready"), { what: "a receiver" });
    const sender = a.netns.start(udpSender(b.ip.toString(), PORT, 0));
    const dropsSoFar = async () =>
      (await control.getDataplaneStatus({})).dropCounters[DropReason.POLICY_DENIED] ?? 0n;
    await eventually(async () => await dropsSoFar() > 100n, { what: "packets" });

    const before = await dropsSoFar();
    for (let i = 1; i <= 1000; i++) {
      const counts = await control.syncPolicies({ policies: sets[i % 2] ?? [] });
      assert.equal(counts.added + counts.removed + counts.updated > 0, true);
    }
    const packets = await dropsSoFar() - before;
    assert.ok(packets > 10_000n, `only ${packets} packets went through the 1,000 syncs`);
    assert.equal(receiver.stdout.match(/received/g), null, "a packet saw half of each set");
    assert.deepEqual(
      [...new Set(drops.events.filter(isPolicyDrop).map(({ ruleId }) => ruleId))].sort(),
      [31, 33],
      "both sets were in force, and nothing else decided",
    );
    // The way is open when both allow: what was counted above were packets to this receiver.
    await control.syncPolicies({ policies: [{ ...pair, action: ALLOW }] });
    await eventually(() => receiver.stdout.includes("received"), { what: "a datagram" });
    await sender.kill();
    stop.abort();
    await drops.done;
  });
});

Deno.test("a reader that does not read loses events, is told how many, and slows nobody", async () => {
  await withDataplane(async (test) => {
    const { control } = test;
    using program = await attachedProgram(test);
    const stop = new AbortController();
    // Each filter's readers get a share of the room for events, which is then small enough to be filled.
    const others = Array.from(
      { length: 8 },
      (_, i) => collect(control.streamFlows({ identityFilter: 4711 + i }, { signal: stop.signal })),
    );
    const slow = control.streamFlows({}, { signal: stop.signal })[Symbol.asyncIterator]();
    const quick = collect(control.streamFlows({}, { signal: stop.signal }));
    let sent = 0;
    const send = () => program.testRun({ dataIn: uniquePacket(sent++), dataOutSize: 256 });
    let first: FlowEvent | undefined;
    slow.next().then(({ value }) => first = value);
    await eventually(() => {
      send();
      return first !== undefined && quick.events.length > 0;
    }, { what: "two readers" });

    // Not faster than the ring, which is another matter.
    const last = () => quick.events.at(-1)?.srcIp === FIRST_ADDRESS + sent - 1;
    for (let i = 1; i <= 100_000; i++) {
      send();
      if (i % 500 === 0) await eventually(last, { timeoutMs: 20_000, what: "the last event" });
    }
    assert.ok(quick.events.every(({ lostEvents }) => lostEvents === 0n));
    let seen = 1;
    let lost = 0n;
    for (let event = first; event?.srcIp !== FIRST_ADDRESS + sent - 1; seen++) {
      event = (await slow.next()).value as FlowEvent;
      lost += event.lostEvents;
    }
    const since = quick.events.findIndex(({ srcIp }) => srcIp === first?.srcIp);
    assert.equal(seen + Number(lost), quick.events.length - since);
    assert.ok(lost > 0n, "it was behind by more than its queue");
    stop.abort();
    await Promise.all([quick, ...others].map(({ done }) => done));
  });
});

const FIRST_ADDRESS = 0x0b000000;

/** The program of an interface on which nothing happens; whatever it is run on, it drops and reports. */
async function attachedProgram({ node, control }: TestNode): Promise<BpfProgram> {
  await node.netns.run(["ip", "link", "add", "veth-x", "type", "veth", "peer", "name", "veth-y"]);
  await control.attachProgram({ interfaceName: "veth-x" });
  const { programs } = await control.getDataplaneStatus({});
  return BpfProgram.byId(programs[0]?.programId ?? 0);
}

/** A UDP packet whose source differs from that of all others: each is an event of its own. */
function uniquePacket(index: number): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  bytes.set([0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17], 14);
  view.setUint32(26, FIRST_ADDRESS + index);
  view.setUint32(30, 0x0c000000);
  view.setUint16(34, 1);
  view.setUint16(36, 2);
  view.setUint16(38, 30);
  return bytes;
}

Deno.test("killed and started again: everything is there, and the programs are the same", async () => {
  await withDataplane(async (test) => {
    const { node, control, ext } = test;
    await addPods(test);
    await control.updateConfig({ entries: { [ConfigKey.MODE]: 0n, [ConfigKey.DEFAULT_DENY]: 1n } });
    await control.syncPolicies({
      policies: [
        { srcIdentity: A_IDENTITY, dstIdentity: B_IDENTITY, action: ALLOW, ruleId: 16 },
        { dstIdentity: B_IDENTITY, direction: INGRESS, isolation: true, ruleId: 17 },
      ],
      cidrIdentities: [{ cidrIp: 0x0a000000, prefixLen: 8, identityId: 2 ** 24 }],
    });
    const before = await control.getDataplaneStatus({});
    const entries = await ext.listPolicyEntries({});
    const endpoints = await ext.listEndpoints({});
    await node.dataplane.kill();
    await node.startDataplane();
    const after = await control.getDataplaneStatus({});
    const order = <T>(list: readonly T[]) => list.map((item) => JSON.stringify(item, big)).sort();
    assert.deepEqual(order(after.programs), order(before.programs));
    assert.equal(after.mode, "overlay");
    assert.equal(after.policyGeneration, before.policyGeneration);
    assert.deepEqual(
      order((await ext.listPolicyEntries({})).policies),
      order(entries.policies),
    );
    assert.deepEqual(
      order((await ext.listPolicyEntries({})).cidrIdentities),
      order(entries.cidrIdentities),
    );
    const nameless = endpoints.endpoints.map((endpoint) => ({
      ...endpoint,
      podName: "",
      namespace: "",
    }));
    assert.deepEqual(order((await ext.listEndpoints({})).endpoints), order(nameless));
    assert.deepEqual(after.mapUsage, before.mapUsage);
    await control.detachProgram({ interfaceName: "nvp2", attachType: AttachType.ATTACH_TC_EGRESS });
    assert.equal((await control.getDataplaneStatus({})).programs.length, 3);
  });
});

function big(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return value.toHex();
  return typeof value === "bigint" ? value.toString() : value;
}

Deno.test("one dataplane for a pin directory and a socket; SIGTERM leaves all, --cleanup takes all", async () => {
  await withDataplane(async (test) => {
    const { node } = test;
    await addPods(test);
    const dataplane = node.executable("novanet-dataplane");
    const inNode = ["nsenter", `--net=${node.netns.path}`, "--", dataplane];
    const here = [`--pin-dir=${node.pinDir}`, `--socket=${node.socket("dataplane.sock")}`];
    const inUse = (path: string) =>
      `novanet-dataplane: ${path} is in use by another novanet-dataplane ` +
      `(process ${node.dataplane.pid})\n`;
    const attempts: [flags: string[], held: string][] = [
      [[`--pin-dir=${node.pinDir}`, `--socket=${node.dir}/new/other.sock`], node.pinDir],
      [[`--pin-dir=${node.pinDir}2`, here[1] ?? ""], node.socket("dataplane.sock")],
      [[...here, "--cleanup"], node.pinDir],
    ];
    for (const [flags, held] of attempts) {
      const { code, stderr, stdout } = await tryCommand([...inNode, ...flags]);
      assert.deepEqual([code, stdout, stderr], [1, "", inUse(held)], flags.join(" "));
    }
    for (const path of [`${node.dir}/new`, `${node.pinDir}2`]) {
      assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
    }
    node.dataplane.signal("SIGTERM");
    assert.equal((await node.dataplane.wait()).code, 0);
    assert.ok([...Deno.readDirSync(node.pinDir)].some(({ name }) => name.startsWith("link_")));

    const { code, stdout } = await tryCommand([
      ...inNode,
      ...here,
      "--cleanup",
      "--pods=unfiltered",
    ]);
    assert.equal(code, 0);
    assert.match(stdout, /detached ingress program from nvp2/);
    assert.match(stdout, /removed .*\/POLICIES_v\d/);
    assert.match(stdout, /removed .*dataplane\.sock\.lock/);
    assert.throws(() => Deno.statSync(node.pinDir), Deno.errors.NotFound);
    const { stdout: net } = await runCommand([
      ...["nsenter", `--net=${node.netns.path}`, "--", "bpftool", "-j", "net"],
    ]);
    assert.doesNotMatch(net, /pod_(e|in)gress/);
    const again = await tryCommand([...inNode, ...here, "--cleanup"]);
    assert.deepEqual([again.code, again.stdout], [0, "nothing to remove\n"]);
  });
});
