import assert from "node:assert/strict";
import { join } from "node:path";
import { Buffer } from "node:buffer";
import { parseAllDocuments } from "yaml";
import { type CommandResult, RunningCommand, tryCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNode, LabPod } from "../../shared/testing/node.ts";
import { icmpEcho, tcp, type TransportLayer, udp } from "../../shared/testing/packets.ts";
import { sendPacket, TcpClient, TcpEchoServer } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";

const COLUMNS = "TIMESTAMP SRC_IP DST_IP SRC_ID DST_ID PROTO PORT VERDICT BYTES".split(" ");

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }]
`;

const STRANGER_RULE = "shop/guard:ingress[default-deny]";

/** Runs a command that ends by its --limit, and causes events until it has. */
async function stream(
  node: LabNode,
  args: readonly string[],
  traffic: () => void,
): Promise<CommandResult> {
  const running = node.netns.start(node.ctlArgv(...args));
  await eventually(() => {
    if (running.exited) return true;
    traffic();
    return false;
  }, { timeoutMs: 10_000, intervalMs: 20, what: args.join(" ") });
  return await running.wait();
}

const lines = (text: string) => text.trim().split("\n");

scenario("novanetctl flows, drops and capture", {}, async ({ node, step }) => {
  const pod = (app: string, namespace = "shop") => node.addPod(app, { namespace, labels: { app } });
  const web = await pod("web");
  const friend = await pod("friend");
  const stranger = await pod("stranger", "office");
  await node.writeManifest("policy.yaml", POLICY);
  await node.untilRules((rules) => rules.includes("shop/guard:ingress[0]"));

  let srcPort = 1024;
  const send = (from: LabPod, payload: (port: number) => TransportLayer, to: LabPod = web) =>
    sendPacket(from.netns, { src: from.ip, dst: to.ip }, payload(++srcPort));
  const datagram = (dstPort: number) => (srcPort: number) => udp({ srcPort, dstPort });
  /** One event of each kind: allowed and dropped, several protocols, ports and pods. */
  let round = 0;
  const traffic = () => {
    // Repeats of a drop come later, in one event; another port is another drop.
    round = (round + 1) % 400;
    send(friend, datagram(53));
    send(friend, (port) => tcp({ srcPort: port, dstPort: 80, flags: "S" }));
    send(friend, (port) => icmpEcho({ id: port }));
    send(friend, datagram(54), stranger);
    send(stranger, datagram(53));
    send(stranger, datagram(10_000 + round));
  };
  const rows = async (...args: string[]) => {
    const { code, stdout, stderr } = await stream(node, [...args, "--limit", "6"], traffic);
    assert.equal(code, 0, stderr);
    const [header = "", ...events] = lines(stdout);
    const names = header.split("\t");
    assert.deepEqual(names.slice(0, COLUMNS.length), COLUMNS);
    assert.equal(events.length, 6);
    return events.map((event) => {
      const fields = event.split("\t");
      return Object.fromEntries(names.map((name, index) => [name, fields[index] ?? ""]));
    });
  };

  await step("flows: the documented columns first, then pods and the rule", async () => {
    const events = await rows("flows");
    for (const event of events) {
      const at = Date.parse(event["TIMESTAMP"] ?? "");
      assert(Math.abs(at - Date.now()) < 15_000, "RFC 3339 in a pipe");
      assert.match(event["SRC_POD"] ?? "", /^(shop|office)\/\w+$/);
      assert.match(event["VERDICT"] ?? "", /^(ALLOW|DENY)$/);
    }
    const allowed = events.find(({ VERDICT, PROTO }) => VERDICT === "ALLOW" && PROTO === "TCP");
    if (allowed) assert.equal(allowed["RULE"], "shop/guard:ingress[0]");
  });

  await step("drops: the reason and the rule that did it", async () => {
    for (const event of await rows("drops")) {
      assert.equal(event["VERDICT"], "DENY");
      assert.equal(event["DROP_REASON"], "POLICY_DENIED");
      assert.equal(event["RULE"], STRANGER_RULE);
      assert.deepEqual([event["SRC_POD"], event["DST_POD"]], ["office/stranger", "shop/web"]);
    }
  });

  type Event = Record<string, string>;
  const pods = ({ SRC_POD, DST_POD }: Event) => `${SRC_POD} ${DST_POD}`;
  const filters: readonly (readonly [args: string, holds: (event: Event) => boolean])[] = [
    ["--pod shop/friend", (event) => pods(event).includes("shop/friend")],
    ["--pod stranger", (event) => pods(event).includes("office/stranger")],
    ["--namespace office", (event) => pods(event).includes("office/")],
    ["--protocol udp", ({ PROTO }) => PROTO === "UDP"],
    ["--protocol 1", ({ PROTO }) => PROTO === "ICMP"],
    ["--port 80", ({ PROTO }) => PROTO === "TCP"],
    ["--verdict deny", ({ VERDICT }) => VERDICT === "DENY"],
    ["--verdict allow", ({ VERDICT }) => VERDICT === "ALLOW"],
    [
      `--ip ${stranger.ip}`,
      ({ SRC_IP, DST_IP }) => SRC_IP === stranger.ip || DST_IP === stranger.ip,
    ],
    ["--ip 10.244.0.0/30 --protocol tcp", ({ PROTO }) => PROTO === "TCP"],
    [
      "--pod shop/friend --port 53 --verdict allow",
      (event) => event["PROTO"] === "UDP" && pods(event) === "shop/friend shop/web",
    ],
  ];
  for (const [args, holds] of filters) {
    await step(`flows ${args}`, async () => {
      const events = await rows("flows", ...args.split(" "));
      assert.deepEqual(events.filter((event) => !holds(event)), []);
    });
  }

  await step("flows --identity: the agent filters", async () => {
    const identities = JSON.parse(await node.ctl("identity", "-o", "json"));
    const list: { identity_id: number; labels: Record<string, string> }[] = Array.isArray(
        identities,
      )
      ? identities
      : identities.identities;
    const id = list.find(({ labels }) => labels["app"] === "stranger")?.identity_id;
    const events = await rows("flows", "--identity", `${id}`);
    assert(events.every((event) => [event["SRC_ID"], event["DST_ID"]].includes(`${id}`)));
  });

  await step("one JSON object a line, one YAML document an event, and no table", async () => {
    const json = await stream(node, ["drops", "-o", "json", "--limit", "3"], traffic);
    const objects = lines(json.stdout).map((line) => JSON.parse(line));
    assert.deepEqual(objects.map(({ rule }) => rule), Array(3).fill(STRANGER_RULE));
    const yaml = await stream(node, ["drops", "-o", "yaml", "--limit", "3"], traffic);
    const documents = parseAllDocuments(yaml.stdout).map((each) => each.toJS());
    assert.deepEqual(
      documents.filter((each) => each !== null).map(({ rule }) => rule),
      Array(3).fill(STRANGER_RULE),
    );
    const bare = await stream(node, ["flows", "--no-headers", "--limit", "1"], traffic);
    assert.equal(lines(bare.stdout).length, 1);
    assert(!bare.stdout.includes("TIMESTAMP"));
    const wide = await stream(node, ["flows", "-o", "wide", "--limit", "1"], traffic);
    assert(lines(wide.stdout)[0]!.split("\t").length > lines(bare.stdout)[0]!.split("\t").length);
  });

  await step("Ctrl-C and a pipe that closes end a stream well", async () => {
    const running = node.netns.start(node.ctlArgv("flows"));
    await eventually(() => {
      traffic();
      return lines(running.stdout).length > 2;
    }, { intervalMs: 20 });
    running.signal("SIGINT");
    assert.equal((await running.wait()).code, 0);
    const argv = ["bash", "-c", 'set -o pipefail; "$@" | head -n 2', "bash"];
    const piped = node.netns.start([...argv, ...node.ctlArgv("flows")]);
    await eventually(() => {
      traffic();
      return piped.exited;
    }, { intervalMs: 20, timeoutMs: 10_000 });
    const { code, stderr } = await piped.wait();
    assert.equal(code, 0, stderr);
  });

  await step("capture: packets in both directions, between pods of this node too", async () => {
    await using server = new TcpEchoServer(web.netns, 8080);
    const file = join(node.dir, "web.pcap");
    const capture = node.netns.start(
      node.ctlArgv("capture", "shop/web", "-w", file, "--limit", "6"),
    );
    await eventually(async () => {
      if (capture.exited) return true;
      const to = { ip: web.ip, port: server.port };
      using client = await TcpClient.connect(friend.netns, to);
      await client.exchange("captured");
      return false;
    }, { timeoutMs: 10_000, intervalMs: 20 });
    assert.equal((await capture.wait()).code, 0, capture.stderr);
    const { code, stdout, stderr } = await tryCommand(["tcpdump", "-nn", "-r", file]);
    assert.equal(code, 0, stderr);
    const packets = lines(stdout);
    assert.equal(packets.length, 6);
    assert(packets.some((line) => line.includes(`> ${web.ip}.8080: Flags`)), stdout);
    assert(packets.some((line) => line.includes(`IP ${web.ip}.8080 > ${friend.ip}.`)), stdout);
  });

  await step("capture into a pipe, cut to a snap length", async () => {
    const argv = node.ctlArgv("capture", "web", "-n", "shop", "--snaplen", "64", "--limit", "4");
    const shell = ["sh", "-c", '"$@" | tcpdump -nn -e -r -', "sh", ...argv];
    await using piped: RunningCommand = node.netns.start(shell);
    const payload = Buffer.alloc(400);
    await eventually(() => {
      send(friend, (port) => udp({ srcPort: port, dstPort: 53 }, payload));
      return piped.exited;
    }, { timeoutMs: 10_000, intervalMs: 20 });
    const { code, stdout, stderr } = await piped.wait();
    assert.equal(code, 0, stderr);
    assert.match(stderr, /snapshot length 64/);
    // The frame's whole length: Ethernet, IPv4, UDP, data.
    assert(lines(stdout).every((line) => line.includes("length 442")), stdout);
  });

  await step("capture of a pod that is deleted ends, with what it has", async () => {
    const shortLived = await pod("short");
    const file = join(node.dir, "short.pcap");
    const capture = node.netns.start(node.ctlArgv("capture", "shop/short", "-w", file));
    await eventually(async () => {
      send(friend, datagram(53), shortLived);
      return (await Deno.stat(file)).size > 100;
    }, { intervalMs: 20 });
    assert.equal((await node.delPod(shortLived)).code, 0);
    await eventually(() => capture.exited);
    const { code, stdout } = await tryCommand(["tcpdump", "-nn", "-r", file]);
    assert.equal(code, 0);
    assert(lines(stdout).length >= 1);
  });

  await step("a stream tells that the dataplane is away, and goes on when it is back", async () => {
    const running = node.netns.start(node.ctlArgv("flows", "--no-headers"));
    const untilMoreEvents = (what: string) => {
      const before = running.stdout.length;
      return eventually(() => {
        traffic();
        return running.stdout.length > before;
      }, { intervalMs: 20, timeoutMs: 20_000, what });
    };
    await untilMoreEvents("an event");
    await node.dataplane.kill();
    await eventually(() => running.stderr.includes("the dataplane is not connected"), {
      timeoutMs: 20_000,
      what: "the note of the dataplane that is away",
    });
    await node.startDataplane();
    await eventually(() => running.stderr.includes("the dataplane is connected again"), {
      timeoutMs: 20_000,
      what: "the note of the dataplane that is back",
    });
    await untilMoreEvents("an event after the restart");
    running.signal("SIGINT");
    assert.equal((await running.wait()).code, 0);
  });
});
