import assert from "node:assert/strict";
import { join } from "node:path";
import { IpProtocol } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { attachmentOf, hostIfName, type LabNode, type LabPod } from "../../shared/testing/node.ts";
import { udp } from "../../shared/testing/packets.ts";
import { PacketReceiver, ping, sendPacket } from "../../shared/testing/sockets.ts";
import { type Scenario, scenario } from "./scenario.ts";
import { Transfer } from "./transfer.ts";

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }]
`;
const PODS_RUN = 5;
const DOC = new URL("../../docs/operations.md", import.meta.url);
/** The interfaces of friend, stranger and web in DOC. */
const SAMPLES = ["nv5b1f0c2a9d7", "nv77e2d4410ab", "nv04501e58cf6"];

interface Pods {
  readonly web: LabPod;
  readonly friend: LabPod;
  readonly stranger: LabPod;
}

/** Three pods, of which the policy lets the friend reach web and the stranger not. */
async function addPods(node: LabNode): Promise<Pods> {
  const pod = (app: string) => node.addPod(app, { namespace: "shop", labels: { app } });
  const pods = {
    web: await pod("web"),
    friend: await pod("friend"),
    stranger: await pod("stranger"),
  };
  await node.writeManifest("policy.yaml", POLICY);
  await node.untilRules((rules) => rules.includes("shop/guard:ingress[default-deny]"));
  return pods;
}

let srcPort = 1000;

/** Who of the senders reaches web now, by one datagram each, the friend's twice. */
async function whoReaches(
  { web, friend, stranger }: Pods,
  expected: readonly LabPod[],
): Promise<void> {
  using receiver = new PacketReceiver(web.netns, IpProtocol.UDP);
  const seen = new Set<string>();
  for (const from of [stranger, friend]) {
    const payload = udp({ srcPort: ++srcPort, dstPort: 80 });
    sendPacket(from.netns, { src: from.ip, dst: web.ip }, payload);
  }
  const take = () => {
    for (const { src } of receiver.take()) seen.add(src);
    return expected.every(({ ip }) => seen.has(ip)) && expected.length > 0;
  };
  // Nobody is to come: then there is no last one to wait for.
  await eventually(take, { timeoutMs: expected.length > 0 ? 5000 : 200 }).catch(() => {});
  take();
  assert.deepEqual([...seen].sort(), expected.map(({ ip }) => ip).sort());
}

/** Stops both daemons and asks for --cleanup, which says what it would do, and does nothing. */
async function stopAndAsk({ node, step }: Scenario, pods: Pods): Promise<void> {
  await step("the daemons stop, and policy holds", async () => {
    for (const daemon of node.daemons) daemon.signal("SIGTERM");
    for (const daemon of node.daemons) await daemon.wait();
    await whoReaches(pods, [pods.friend]);
  });

  await step(
    "--cleanup names the pods and what may become of them, and changes nothing",
    async () => {
      const before = [...Deno.readDirSync(node.pinDir)].map(({ name }) => name).sort();
      const { code, stdout, stderr } = await cleanup(node);
      assert.equal(code, PODS_RUN, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, /3 pods still run here:\n/);
      for (const pod of Object.values(pods)) {
        assert(stderr.includes(`shop/${pod.name} (${pod.ip}, ${hostIfName(pod)})`), stderr);
      }
      assert.match(stderr, /--pods=unfiltered +they keep their network, and no policy holds/);
      assert.match(stderr, /--pods=isolate +they have no network any more/);
      assert.deepEqual([...Deno.readDirSync(node.pinDir)].map(({ name }) => name).sort(), before);
      await whoReaches(pods, [pods.friend]);
    },
  );
}

function cleanup(node: LabNode, ...flags: string[]) {
  const argv = [
    node.executable("novanet-dataplane"),
    ...node.dataplaneFlags,
    "--cleanup",
    ...flags,
  ];
  return node.netns.try(argv, { timeoutMs: 20_000 });
}

/** What docs/operations.md shows below a command, with the interfaces of these pods. */
async function documented(command: string, pods: Pods): Promise<string> {
  const text = await Deno.readTextFile(DOC);
  const lines = text.split("\n");
  const at = lines.indexOf(`    # ${command}`);
  assert(at > 0, `docs/operations.md shows ${command}`);
  const end = lines.findIndex((line, i) => i > at && !line.startsWith("    "));
  const shown = lines.slice(at + 1, end).map((line) => line.slice(4)).join("\n");
  const names = [pods.friend, pods.stranger, pods.web];
  return names.reduce((all, pod, i) => all.replaceAll(SAMPLES[i] ?? "", hostIfName(pod)), shown)
    .replace(/nv[^)]*, nv[^)]*/, (names) => names.split(", ").sort().join(", "));
}

/** The lines of --cleanup that tell of pods. */
const about = (stdout: string) =>
  stdout.split("\n").filter((line) => line.includes(" (10.")).join("\n");

function assertNoPins(node: LabNode): void {
  const folders = [...Deno.readDirSync(join(node.dir, "bpf"))].filter((each) => each.isDirectory);
  assert.deepEqual(folders, [], "no pins, and no folder");
}

const hostLinks = (netns: LabNetns) => {
  using links = netns.rtnetlink();
  return links.linkList().map(({ name }) => name).filter((name) => name !== "lo").sort();
};

scenario("uninstall, and pods keep their network", {}, async (played) => {
  const { lab, node, step } = played;
  const pods = await addPods(node);
  const { web, friend } = pods;
  const dirs = [`--bin-dir=${node.dir}/opt`, `--conf-dir=${node.dir}/net.d`];
  const plugin = (command: string) =>
    node.netns.run([node.executable("novanet-cni"), command, ...dirs]);
  await plugin("install");
  const transfer = lab.own(await Transfer.start(friend.netns, web.netns, web.ip));

  await step("the configuration goes; the program stays while pods need it", async () => {
    const { stdout } = await plugin("uninstall");
    const shown = stdout.replaceAll(`${node.dir}/opt`, "/opt/cni/bin")
      .replaceAll(`${node.dir}/net.d`, "/etc/cni/net.d").replace(
        /nv[^)]*/,
        (names) => names.split(", ").sort().join(", "),
      );
    assert.equal(shown.trim(), await documented("/opt/cni/bin/novanet-cni uninstall", pods));
    assert.deepEqual([...Deno.readDirSync(`${node.dir}/net.d`)], []);
    assert(Deno.statSync(`${node.dir}/opt/novanet-cni`).isFile);
  });

  await stopAndAsk(played, pods);

  await step("--pods=unfiltered does what it says", async () => {
    const { code, stdout, stderr } = await cleanup(node, "--pods=unfiltered");
    assert.equal(code, 0, stderr);
    for (const { name, ip } of Object.values(pods)) {
      assert.match(
        stdout,
        new RegExp(`shop/${name} \\(${ip}, nv\\w+\\) keeps its network, and no policy`),
      );
    }
    assertNoPins(node);
    await whoReaches(pods, [friend, pods.stranger]);
    await transfer.progress();
    for (const netns of [node.netns, node.outside, pods.stranger.netns]) await ping(netns, web.ip);
    await ping(web.netns, node.addresses.outside);
  });

  await step("DEL still works, and with the pods all is gone", async () => {
    await transfer[Symbol.asyncDispose]();
    for (const pod of Object.values(pods)) {
      assert.equal((await node.cni("DEL", attachmentOf(pod))).code, 0);
      // What the runtime does after DEL: the veth goes with the pod's namespace.
      using links = node.netns.rtnetlink();
      links.linkDelete(hostIfName(pod));
    }
    assert.deepEqual(hostLinks(node.netns), ["uplink"]);
    assert.match((await plugin("uninstall")).stdout, /^removed .*\/opt\/novanet-cni\n$/);
    assert.equal((await plugin("uninstall")).stdout, "");
    const again = await cleanup(node);
    assert.equal(again.code, 0, "nothing is left to ask about");
  });
});

scenario("uninstall, and pods are cut off", {}, async (played) => {
  const { node, step } = played;
  const pods = await addPods(node);
  const { web, friend, stranger } = pods;
  await stopAndAsk(played, pods);

  await step("--pods=isolate does what it says", async () => {
    const { code, stdout, stderr } = await cleanup(node, "--pods=isolate");
    assert.equal(code, 0, stderr);
    assert.equal(
      about(stdout),
      await documented("novanet-dataplane --cleanup --pods=isolate", pods),
    );
    assertNoPins(node);
    await whoReaches(pods, []);
    const ways: [from: LabNetns, to: string][] = [
      [node.netns, web.ip],
      [node.outside, web.ip],
      [friend.netns, stranger.ip],
      [web.netns, node.addresses.outside],
      [web.netns, node.addresses.node],
    ];
    for (const [from, to] of ways) {
      await assert.rejects(ping(from, to, { timeoutMs: 200 }), `to ${to}`);
    }
  });

  await step("a start with the same state connects them again, under their policy", async () => {
    await node.start();
    await node.untilRules((rules) => rules.includes("shop/guard:ingress[default-deny]"));
    await whoReaches(pods, [friend]);
    await ping(node.netns, web.ip);
  });
});
