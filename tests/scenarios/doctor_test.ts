import assert from "node:assert/strict";
import { runCommand, tryCommand } from "../../shared/testing/command.ts";
import { hostIfName, type LabNode } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { BREAKS, type Wanted } from "./doctor_breaks.ts";
import { POD_BREAKS } from "./doctor_pod_breaks.ts";
import { scenario } from "./scenario.ts";

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress:
  - from: [{ podSelector: { matchLabels: { app: friend } } }]
  - from: [{ ipBlock: { cidr: 203.0.113.0/24 } }]
    ports: [{ port: 80 }]
`;

interface Found {
  readonly state: string;
  readonly kind: string;
  readonly object: string;
  readonly found: string;
  readonly expected: string;
  readonly remedy: string;
}

/** Runs novanetctl doctor. @returns what it found, its warnings apart, and its exit code */
async function doctor(node: LabNode, ...args: string[]) {
  const argv = node.ctlArgv("--dataplane-socket", node.socket("dataplane.sock"));
  const result = await tryCommand([...argv, "doctor", "--json", ...args]);
  const { findings, facts } = JSON.parse(result.stdout) as {
    findings: Found[];
    facts: Record<string, string>;
  };
  const wrong = findings.filter(({ state }) => state !== "warning");
  const warned = findings.filter(({ state }) => state === "warning");
  return { ...result, wrong, warned, facts };
}

scenario("novanetctl doctor", {}, async ({ lab, node, step }) => {
  await node.writeManifest("policy.yaml", POLICY);
  const pod = (app: string) => node.addPod(app, { namespace: "shop", labels: { app } });
  const [web, friend] = [await pod("web"), await pod("friend")];
  const bench = { lab, node, web };
  await node.untilRules((rules) => rules.includes("shop/guard:ingress[default-deny]"));

  await step("finds nothing on a healthy node, and says what it looked at", async () => {
    const { code, wrong, facts, stderr } = await doctor(node);
    assert.deepEqual([code, wrong, stderr], [0, [], ""]);
    assert.equal(facts["pods"], "2");
    assert.match(facts["novanet-dataplane"] ?? "", /layout [1-9]/);
  });

  for (const breaks of [...BREAKS, POD_BREAKS]) {
    await step(`${breaks.map(({ name }) => name).join(", ")}: broken`, async () => {
      for (const { doIt } of breaks) await doIt(bench);
    });
    const found = await doctor(node);
    const matching = (wanted: Wanted, all: readonly Found[]) =>
      all.filter(({ kind, object, found }) =>
        kind === wanted.kind && object.startsWith(wanted.object) && wanted.found.test(found)
      );
    const wanted = breaks.map(({ finds }) => finds(bench));
    for (const [index, { name }] of breaks.entries()) {
      await step(`${name} is found, with what to do`, () => {
        const [first] = matching(wanted[index] as Wanted, found.wrong);
        assert(first, found.stdout);
        assert.match(first.remedy, /--fix/);
        assert.equal(found.code, 1);
      });
    }
    const fixed = await doctor(node, "--fix");
    for (const [index, { name }] of breaks.entries()) {
      await step(`${name} is repaired, and --fix says so`, () => {
        const all = matching(wanted[index] as Wanted, fixed.wrong);
        assert(all.length > 0 && all.every(({ state }) => state === "repaired"), fixed.stdout);
      });
    }
    await step("nothing is wrong any more, and packets pass", async () => {
      assert.equal(fixed.code, 0, `${fixed.stdout}${fixed.stderr}`);
      const after = await doctor(node);
      assert.deepEqual([after.code, after.wrong], [0, []], after.stdout);
      await ping(friend.netns, web.ip);
      await ping(node.netns, web.ip);
    });
  }

  await step("what somebody made by hand is a warning, and stays", async () => {
    const ip = (...args: string[]) => node.netns.run(["ip", ...args]);
    const [address, other, mac] = ["10.244.0.201", "10.244.0.202", "02:00:00:00:00:05"];
    await ip("link", "add", "nvdeadbeef001", "type", "veth", "peer", "name", "hand0");
    await ip("route", "add", `${address}/32`, "dev", "uplink");
    await ip("neighbour", "add", other, "lladdr", mac, "dev", "uplink", "nud", "permanent");
    const { code, wrong, warned, stdout } = await doctor(node, "--fix");
    assert.deepEqual([code, wrong], [0, []], stdout);
    const hand = ["nvdeadbeef001", `${address}/32`, `${other} dev uplink`];
    const about = warned.filter(({ object }) => hand.includes(object));
    assert.deepEqual(about.map(({ object }) => object), hand);
    for (const { remedy } of about) assert.match(remedy, /^remove it, if nobody needs it: /);
    await ip("link", "delete", "nvdeadbeef001");
    await ip("route", "delete", `${address}/32`);
    await ip("neighbour", "delete", other, "dev", "uplink");
  });

  await step("an address that a pod has beside its own is a warning", async () => {
    await web.netns.run(["ip", "address", "add", "10.244.0.44/32", "dev", "eth0"]);
    const { code, warned, stdout } = await doctor(node, "--fix");
    const about = warned.filter(({ found }) => found === "address 10.244.0.44/32");
    assert.deepEqual([code, about.map(({ object }) => object)], [0, ["pod shop/web eth0"]], stdout);
    await web.netns.run(["ip", "address", "delete", "10.244.0.44/32", "dev", "eth0"]);
  });

  await step("of an interface that is gone finding and warning say the same", async () => {
    await node.netns.run(["ip", "link", "delete", hostIfName(web)]);
    const { wrong, warned, stdout } = await doctor(node);
    const finding = wrong.find(({ object }) => object === hostIfName(web));
    const warning = warned.find(({ found }) => found.includes(hostIfName(web)));
    for (const text of [finding?.remedy, warning?.found]) {
      assert.match(text ?? "", /--fix makes (it|the pod's interface) anew/, stdout);
    }
    assert.equal((await doctor(node, "--fix")).code, 0);
    await ping(node.netns, web.ip);
  });

  await step(
    "a plugin that is gone is found, and the command of its remedy puts it back",
    async () => {
      const [bin, conf] = [`${node.dir}/cni-bin`, `${node.dir}/cni-conf`];
      const dirs = ["--bin-dir", bin, "--conf-dir", conf];
      const look = () => doctor(node, "--cni-bin-dir", bin, "--cni-conf-dir", conf);
      await runCommand([node.executable("novanet-cni"), "install", ...dirs]);
      assert.deepEqual((await look()).wrong, []);
      await Deno.remove(`${bin}/novanet-cni`);
      const { code, wrong: [first, ...rest] } = await look();
      assert.deepEqual([code, first?.kind, first?.object, rest], [
        1,
        "cni",
        `${bin}/novanet-cni`,
        [],
      ]);
      const [, , ...argv] = first?.remedy.split(" ") ?? [];
      await runCommand([node.executable("novanet-cni"), ...argv]);
      const after = await look();
      assert.deepEqual([after.code, after.wrong], [0, []], after.stdout);
    },
  );

  const isRoute = ({ kind, object }: Found) => kind === "route" && object === `${web.ip}/32`;
  await step("without the dataplane it says so, and repairs what is the agent's", async () => {
    await node.dataplane.kill();
    await node.netns.run(["ip", "route", "delete", `${web.ip}/32`]);
    const { code, wrong, stderr } = await doctor(node, "--fix");
    assert.equal(code, 3, stderr);
    assert.match(stderr, /^Note: novanet-dataplane does not answer .* maps and pins were not/);
    assert.equal(wrong.find(isRoute)?.state, "repaired");
    assert.equal(wrong.find(({ kind }) => kind === "daemon")?.object, "novanet-dataplane");
    await ping(node.netns, web.ip);
    await node.startDataplane();
  });

  await step("without the agent it says so, and repairs what is the dataplane's", async () => {
    await node.agent.kill();
    const [broken] = BREAKS.flat().filter(({ name }) => name === "a deleted entry of ENDPOINTS");
    await broken?.doIt(bench);
    const { code, wrong, stderr } = await doctor(node, "--fix");
    assert.equal(code, 3, stderr);
    assert.match(stderr, /^Note: novanet-agent does not answer .* routes were not/);
    assert.equal(wrong.find(({ kind }) => kind === "endpoint map")?.state, "repaired");
    await ping(friend.netns, web.ip);
    await node.startAgent();
    const after = await doctor(node);
    assert.deepEqual([after.code, after.wrong], [0, []], after.stdout);
  });
});
