import assert from "node:assert/strict";
import {
  DropReason,
  FlowEventType,
  PolicyAction,
  type StreamAgentFlowsRequest,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/ipv4.ts";
import { unavailable } from "../../shared/rpc/errors.ts";
import { type Options, parseArgs } from "../options.ts";
import { ctl, dropEvent, flowEvent, KEEPS_SHIM, type TestAgent, TestIo } from "../testing.ts";
import { type FlowFilter, matches } from "./flows.ts";

type Events = ReturnType<typeof flowEvent>[];

/** An agent that sends events and then waits, as a quiet node does. */
function streaming(events: Events, seen: StreamAgentFlowsRequest[] = []): TestAgent {
  return {
    control: {
      async *streamAgentFlows(request, { signal }) {
        seen.push(request);
        yield* events;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    },
  };
}

function filterOf(args: readonly string[]): FlowFilter {
  const parsed = parseArgs(["flows", ...args]);
  assert.ok("options" in parsed);
  return parsed.options as Extract<Options, { readonly command: "flows" }>;
}

const dns = flowEvent({
  protocol: 17,
  dstPort: 53,
  dstIp: Ipv4.parse("10.96.0.10").value,
  dstPod: "",
  dstNamespace: "",
});

const FILTERS: readonly { args: string; web: boolean; dns: boolean }[] = [
  { args: "", web: true, dns: true },
  { args: "--pod web-0", web: true, dns: false },
  { args: "--pod client-0", web: true, dns: true },
  { args: "--pod shop/client-0", web: true, dns: true },
  { args: "--pod other/client-0", web: false, dns: false },
  { args: "--pod client-0 --namespace other", web: false, dns: false },
  { args: "--pod client-0 -n other -n shop", web: true, dns: true },
  { args: "--namespace shop", web: true, dns: true },
  { args: "--namespace other", web: false, dns: false },
  { args: "--ip 10.244.0.5", web: true, dns: true },
  { args: "--address 10.244.0.6", web: true, dns: false },
  { args: "--ip 10.96.0.0/12", web: false, dns: true },
  { args: "--ip 192.0.2.1 --ip 10.244.0.6", web: true, dns: false },
  { args: "--port 8080", web: true, dns: false },
  { args: "--port 53 --port 8080", web: true, dns: true },
  { args: "--port 40000", web: true, dns: true },
  { args: "--port 1", web: false, dns: false },
  { args: "--protocol tcp", web: true, dns: false },
  { args: "--protocol UDP", web: false, dns: true },
  { args: "--protocol 17 --protocol 6", web: true, dns: true },
  { args: "--verdict allow", web: true, dns: true },
  { args: "--verdict DENY", web: false, dns: false },
  { args: "--protocol tcp --port 53", web: false, dns: false },
];

for (const { args, web, dns: wantsDns } of FILTERS) {
  Deno.test(`filter ${args || "(none)"}: web ${web}, dns ${wantsDns}`, () => {
    const filter = filterOf(args.split(" ").filter(Boolean));
    assert.deepEqual([matches(filter, flowEvent()), matches(filter, dns)], [web, wantsDns]);
  });
}

Deno.test("--verdict deny takes drops", () => {
  assert.equal(matches(filterOf(["--verdict", "deny"]), dropEvent()), true);
});

Deno.test("flows in a pipe: columns by tabs, whole times", KEEPS_SHIM, async () => {
  const { stdout, exitCode } = await ctl(streaming([flowEvent()]), ["flows", "--limit", "1"]);
  assert.deepEqual(stdout.split("\n").map((line) => line.split("\t")), [
    [
      ...["TIMESTAMP", "SRC_IP", "DST_IP", "SRC_ID", "DST_ID", "PROTO", "PORT", "VERDICT", "BYTES"],
      ...["SRC_POD", "DST_POD", "DIRECTION", "REPLY", "RULE"],
    ],
    [
      ...["2026-11-21T08:09:10.123456789Z", "10.244.0.5", "10.244.0.6", "300", "301"],
      ...["TCP", "8080", "ALLOW", "60", "shop/client-0", "shop/web-0", "EGRESS", "no"],
      "shop/web:ingress[0]",
    ],
    [""],
  ]);
  assert.equal(exitCode, 0);
});

Deno.test(
  "flows show the reason of a drop that no rule made, in the rule's place",
  KEEPS_SHIM,
  async () => {
    const noRoute = dropEvent({ dropReason: DropReason.NO_ROUTE, rule: "" });
    const last = async (event: typeof noRoute, ...args: string[]) => {
      const { stdout } = await ctl(streaming([event]), ["flows", "--limit", "1", ...args]);
      return stdout.trimEnd().split("\n").at(-1)?.split("\t").at(-1);
    };
    assert.equal(await last(noRoute), "NO_ROUTE");
    assert.equal(await last(noRoute, "-o", "wide"), "-", "it has a column of its own there");
    assert.equal(await last(dropEvent()), "shop/web:ingress[default-deny]");
    assert.equal(await last(flowEvent({ rule: "" })), "-");
  },
);

Deno.test("a frame that is not IPv4 has no addresses, protocol and port", KEEPS_SHIM, async () => {
  const frame = { srcIp: 0, dstIp: 0, srcPort: 0, dstPort: 0, protocol: 0, rule: "" };
  const row = async (more: Parameters<typeof dropEvent>[0]) => {
    const events = [dropEvent({ ...frame, ...more })];
    const { stdout } = await ctl(streaming(events), ["flows", "--limit", "1"]);
    return stdout.trimEnd().split("\n").at(-1)?.split("\t").slice(1, 8);
  };
  const ipv6 = { dropReason: DropReason.IPV6, srcIdentity: 0 };
  assert.deepEqual(await row(ipv6), ["-", "-", "-", "301", "IPv6", "-", "DENY"]);
  const ethertype = { dropReason: DropReason.UNSUPPORTED_ETHERTYPE, dstIdentity: 0 };
  assert.deepEqual(await row(ethertype), ["-", "-", "300", "-", "-", "-", "DENY"]);
  const dhcp = { protocol: 17, dstIp: 0xffff_ffff };
  assert.deepEqual((await row(dhcp))?.slice(0, 2), ["0.0.0.0", "255.255.255.255"]);
});

Deno.test("drops name reason and rule, default deny included", KEEPS_SHIM, async () => {
  const seen: StreamAgentFlowsRequest[] = [];
  const events = [
    dropEvent(),
    dropEvent({ rule: "default-deny" }),
    dropEvent({ dropReason: DropReason.SPOOFED_SOURCE_IP, rule: "" }),
    dropEvent({ dropReason: 99 as DropReason, rule: "" }),
  ];
  const args = ["drops", "--limit", "4", "--identity", "300"];
  const { stdout } = await ctl(streaming(events, seen), args);
  const [header = [], ...rows] = stdout.trimEnd().split("\n").map((line) => line.split("\t"));
  assert.equal(header[9], "DROP_REASON");
  assert.deepEqual(rows.map((row) => [row[7], row[9], row.at(-1)]), [
    ["DENY", "POLICY_DENIED", "shop/web:ingress[default-deny]"],
    ["DENY", "POLICY_DENIED", "default-deny"],
    ["DENY", "SPOOFED_SOURCE_IP", "-"],
    ["DENY", "UNKNOWN(99)", "-"],
  ]);
  assert.deepEqual(seen.map(({ dropsOnly, identityFilter }) => [dropsOnly, identityFilter]), [
    [true, 300],
  ]);
});

Deno.test("flows on a terminal: aligned columns, time of day, colors", KEEPS_SHIM, async () => {
  const io = new TestIo(140);
  const { stdout } = await ctl(
    streaming([flowEvent(), dropEvent()]),
    ["flows", "--limit", "2"],
    io,
  );
  const [header = "", first = "", second = ""] = stdout.split("\n");
  const columns = "TIMESTAMP    SRC_IP     DST_IP     SRC_ID   DST_ID   PROTO PORT  VERDICT BYTES ";
  assert.equal(header, `\x1b[1m${columns}SRC_POD      DST_POD      RULE\x1b[0m`);
  const flow = "08:09:10.123 10.244.0.5 10.244.0.6 300      301      TCP   8080  ";
  const pods = "60    shop/client-0 shop/web-0   shop/web:ingress[";
  assert.equal(first, `${flow}\x1b[32mALLOW\x1b[0m   ${pods}0]`);
  assert.equal(second, `${flow}\x1b[31mDENY\x1b[0m    ${pods}default-deny]`);
});

Deno.test(
  "a terminal of 80 columns shows the first nine in one line, ours below",
  KEEPS_SHIM,
  async () => {
    const { stdout } = await ctl(
      streaming([flowEvent()]),
      ["flows", "--limit", "1", "--no-color"],
      new TestIo(80),
    );
    assert.deepEqual(stdout.trimEnd().split("\n").map((line) => line.trimEnd()), [
      "TIMESTAMP    SRC_IP     DST_IP     SRC_ID   DST_ID   PROTO PORT  VERDICT BYTES",
      "    SRC_POD      DST_POD      RULE",
      "08:09:10.123 10.244.0.5 10.244.0.6 300      301      TCP   8080  ALLOW   60",
      "    shop/client-0 shop/web-0   shop/web:ingress[0]",
    ]);
  },
);

Deno.test(
  "long texts widen a column on a terminal, very long ones do not",
  KEEPS_SHIM,
  async () => {
    const events = ["web-0", "web-with-a-name", "w".repeat(60), "web-0"].map((dstPod) =>
      flowEvent({ dstPod })
    );
    const { stdout } = await ctl(
      streaming(events),
      ["flows", "--limit", "4", "--no-color"],
      new TestIo(400),
    );
    const rules = stdout.trimEnd().split("\n").map((line) => line.search(/RULE|shop\/web:/));
    const [header = 0, ...rows] = rules;
    assert.deepEqual(rows, [header + 1, header + 9, header + 54, header + 9]);
  },
);

const OWN = ["DIRECTION", "REPLY"];
for (
  const { columns, args, shown } of [
    { columns: 120, args: [], shown: [] },
    { columns: 160, args: [], shown: OWN },
    { columns: 80, args: ["-o", "wide"], shown: OWN },
    { columns: undefined, args: [], shown: OWN },
  ]
) {
  Deno.test(
    `flows ${args.join(" ")} on ${columns ?? "no"} columns: ${shown}`,
    KEEPS_SHIM,
    async () => {
      const io = new TestIo(columns);
      const { stdout } = await ctl(
        streaming([flowEvent()]),
        ["flows", "--limit", "1", ...args],
        io,
      );
      assert.deepEqual(OWN.filter((name) => stdout.includes(name)), shown);
    },
  );
}

for (
  const [args, env] of [
    [["--no-color"], {}],
    [[], { NO_COLOR: "1" }],
  ] as const
) {
  Deno.test(`no colors with ${args[0] ?? JSON.stringify(env)}`, KEEPS_SHIM, async () => {
    const io = new TestIo(120);
    Object.assign(io.env, env);
    const { stdout } = await ctl(streaming([flowEvent()]), ["flows", "--limit", "1", ...args], io);
    assert.equal(stdout.includes("\x1b"), false);
  });
}

Deno.test("json is one object a line with the names of the proto", KEEPS_SHIM, async () => {
  const args = ["drops", "-o", "json", "--limit", "2"];
  const { stdout } = await ctl(streaming([dropEvent(), dropEvent({ isReply: true })]), args);
  const [first, second] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  const { time, src_ip, protocol, protocol_name, verdict, drop_reason, rule, event_type } = first;
  assert.deepEqual({
    time,
    src_ip,
    protocol,
    protocol_name,
    verdict,
    drop_reason,
    rule,
    event_type,
  }, {
    time: "2026-11-21T08:09:10.123456789Z",
    src_ip: "10.244.0.5",
    protocol: 6,
    protocol_name: "TCP",
    verdict: "DENY",
    drop_reason: "POLICY_DENIED",
    rule: "shop/web:ingress[default-deny]",
    event_type: "DROP",
  });
  assert.deepEqual([first.is_reply, second.is_reply], [false, true]);
  assert.match(stdout, /"wall_time_unix_ns":1795248550123456789,/);
});

Deno.test("yaml is a document an event", KEEPS_SHIM, async () => {
  const args = ["flows", "-o", "yaml", "--limit", "2"];
  const { stdout } = await ctl(streaming([flowEvent(), flowEvent()]), args);
  assert.equal(stdout.match(/^---$/gm)?.length, 2);
  assert.match(stdout, /^rule: shop\/web:ingress\[0\]$/m);
  assert.match(stdout, /^wall_time_unix_ns: 1795248550123456789$/m);
});

Deno.test("wide shows flags, ports of the source and the kind of event", KEEPS_SHIM, async () => {
  const events = [
    flowEvent({ tcpFlags: 0x12, eventType: FlowEventType.END }),
    flowEvent({ protocol: 1, srcPort: 0, dstPort: 0, icmpType: 8 }),
  ];
  const { stdout } = await ctl(streaming(events), ["flows", "-o", "wide", "--limit", "2"]);
  const [header = [], tcp = [], icmp = []] = stdout.split("\n").map((line) => line.split("\t"));
  const cells = (row: string[]) =>
    ["PORT", "SRC_PORT", "EVENT", "FLAGS", "DROP_REASON"].map((name) => row[header.indexOf(name)]);
  assert.deepEqual(cells(tcp), ["8080", "40000", "END", "SYN,ACK", "-"]);
  assert.deepEqual(cells(icmp), ["-", "-", "NEW", "8/0", "-"]);
});

Deno.test("filters come before the limit, lost events are told on stderr", KEEPS_SHIM, async () => {
  const events = [dns, flowEvent({ lostEvents: 7n }), dns, flowEvent()];
  const args = ["flows", "--port", "8080", "--limit", "2", "--no-headers"];
  const { stdout, stderr } = await ctl(streaming(events), args);
  assert.equal(stdout.trimEnd().split("\n").length, 2);
  assert.equal(stderr, "Note: 7 events were lost before 2026-11-21T08:09:10.123456789Z\n");
});

Deno.test("Ctrl-C ends a stream with 0", KEEPS_SHIM, async () => {
  const io = new TestIo();
  io.stdout.onWrite = (text) => text.startsWith("2026") && io.interruption.abort();
  const { exitCode, stderr } = await ctl(streaming([flowEvent()]), ["flows"], io);
  assert.deepEqual([exitCode, stderr], [0, ""]);
});

Deno.test("a reader that goes away ends a stream with 0", KEEPS_SHIM, async () => {
  const io = new TestIo();
  io.stdout.onWrite = () => {
    throw new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  };
  const { exitCode, stderr } = await ctl(streaming([flowEvent()]), ["flows"], io);
  assert.deepEqual([exitCode, stderr], [0, ""]);
});

Deno.test(
  "a stream that the agent ends is a failure, and with --watch is begun again",
  KEEPS_SHIM,
  async () => {
    let streams = 0;
    const agent: TestAgent = {
      control: {
        async *streamAgentFlows() {
          streams++;
          yield flowEvent();
          if (streams === 2) throw unavailable("the dataplane is away");
        },
      },
    };
    const ended = await ctl(agent, ["flows"]);
    assert.equal(ended.exitCode, 3);
    assert.equal(ended.stderr, "Error: novanet-agent ended the stream\n");
    const watched = await ctl(agent, ["flows", "--watch", "--limit", "3", "--no-headers"]);
    assert.equal(watched.exitCode, 0);
    assert.equal(watched.stdout.trimEnd().split("\n").length, 3);
    assert.deepEqual(watched.stderr.trimEnd().split("\n"), [
      "Note: novanet-agent: the dataplane is away; trying again",
      "Note: novanet-agent ended the stream; trying again",
    ]);
  },
);

Deno.test(
  "a stream says when the dataplane goes away and comes back, and goes on",
  KEEPS_SHIM,
  async () => {
    const answers = [true, false, false, true];
    const back = Promise.withResolvers<void>();
    const agent: TestAgent = {
      control: {
        async *streamAgentFlows() {
          yield flowEvent();
          await back.promise;
          yield flowEvent();
        },
        getAgentStatus: () => ({ dataplane: { connected: answers.shift() ?? true } }),
      },
    };
    const io = new TestIo();
    io.stderr.onWrite = (text) => text.includes("again") && back.resolve();
    const { exitCode, stdout, stderr } = await ctl(agent, ["flows", "--limit", "2"], io);
    assert.deepEqual([exitCode, stdout.trimEnd().split("\n").length], [0, 3]);
    assert.deepEqual(stderr.trimEnd().split("\n"), [
      "Note: the dataplane is not connected: no events come until it is back",
      "Note: the dataplane is connected again",
    ]);
  },
);

/** An agent with one pod, shop/web-0, whose flows it sends. */
function withPod(events: Events = []): TestAgent {
  return {
    ...streaming(events),
    ext: { listPods: () => ({ pods: [{ namespace: "shop", name: "web-0" }] }) },
  };
}

const NO_SUCH_POD = [
  { args: "flows --pod nosuch", says: "--pod nosuch: there is no such pod on this node" },
  { args: "drops --pod nosuch", says: "--pod nosuch: there is no such pod on this node" },
  {
    args: "flows --pod web-0 --pod shop/other",
    says: "--pod shop/other: there is no such pod on this node",
  },
  {
    args: "flows --pod web-0 -n office",
    says: "--pod web-0: there is no such pod on this node in namespace office",
  },
];

for (const { args, says } of NO_SUCH_POD) {
  Deno.test(`novanetctl ${args} says so at once`, KEEPS_SHIM, async () => {
    const { exitCode, stdout, stderr } = await ctl(withPod(), args.split(" "));
    assert.deepEqual([exitCode, stdout, stderr], [4, "", `Error: ${says}\n`]);
  });
}

Deno.test("with --watch a pod may come later", KEEPS_SHIM, async () => {
  const events = [flowEvent({ srcPod: "later" })];
  const args = ["flows", "--pod", "later", "--watch", "--limit", "1", "--no-headers"];
  const { exitCode, stdout, stderr } = await ctl(withPod(events), args);
  assert.deepEqual([exitCode, stdout.trimEnd().split("\n").length], [0, 1]);
  assert.equal(stderr, "Note: --pod later: there is no such pod on this node yet\n");
});

Deno.test("what audit would drop has its verdict and its rule", KEEPS_SHIM, async () => {
  const rule = "shop/tryout:ingress[audit]";
  const events = [flowEvent(), flowEvent({ verdict: PolicyAction.AUDIT, rule }), dropEvent()];
  const args = ["flows", "--verdict", "audit", "--limit", "1", "--no-headers"];
  const { stdout } = await ctl(streaming(events), args);
  const cells = stdout.trimEnd().split("\t");
  assert.deepEqual([cells[7], cells.at(-1)], ["AUDIT", rule]);
  const json = JSON.parse((await ctl(streaming(events), [...args, "--json"])).stdout);
  assert.deepEqual([json.verdict, json.rule], ["AUDIT", rule]);
});

Deno.test("a name cannot steer the terminal", KEEPS_SHIM, async () => {
  const events = [flowEvent({ rule: "a\x1b[2J\tb\nc" })];
  const { stdout } = await ctl(streaming(events), ["flows", "--limit", "1"]);
  assert.ok(stdout.endsWith("\ta [2J b c\n"), JSON.stringify(stdout));
});
