/** Changes of the policy set that are worked out from what was sent before: what is in force is what was asked for. */
import assert from "node:assert/strict";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import {
  AgentControl,
  type CidrIdentitySchema,
  DataplaneControl,
  PolicyAction,
  PolicyDirection,
  type PolicyEntry,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { POLICY_ENCODERS } from "../../shared/policies/encode.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { encoded, GrpcJs } from "../../shared/testing/grpc_js.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { scenario } from "./scenario.ts";

type Entry = Omit<PolicyEntry, "$typeName" | "$unknown">;
type Range = MessageInitShape<typeof CidrIdentitySchema>;

const ROUNDS = 120;
const { syncPolicies } = DataplaneControl.method;

const entryOf = (number: number, ruleId: number): Entry => ({
  srcIdentity: 300 + (number >> 4),
  dstIdentity: 500,
  protocol: 6,
  dstPort: 8000 + (number & 15),
  direction: PolicyDirection.INGRESS,
  action: ruleId % 3 === 0 ? PolicyAction.DENY : PolicyAction.ALLOW,
  ruleId,
  portPrefixLen: 0,
  isolation: false,
});
const rangeOf = (number: number, identityId: number): Range => ({
  cidrIp: (10 << 24) + (number << 16),
  prefixLen: 16,
  identityId: 2 ** 24 + identityId,
});
const keyOf = ({ srcIdentity, dstPort }: Entry) => `${srcIdentity} ${dstPort}`;
const shuffled = <T>(random: SeededRandom, list: readonly T[]): T[] =>
  list.map((each) => [random.below(2 ** 30), each] as const)
    .sort(([a], [b]) => a - b).map(([, each]) => each);

scenario("whatever was sent before, the last request is in force", { idle: true }, async (
  { node, step },
) => {
  await node.startDataplane();
  const socketPath = node.socket("dataplane.sock");
  using ours = createRpcClient(DataplaneControl, { socketPath, encoders: POLICY_ENCODERS });
  using stranger = new GrpcJs(socketPath);
  const ext = node.client(DataplaneExt, "dataplane.sock");
  const random = new SeededRandom(21);
  const model = new Map<string, Entry>();
  const ranges = new Map<number, Range>();

  const check = async (what: string) => {
    const { policies, cidrIdentities } = await ext.listPolicyEntries({});
    const found = policies.map((entry) => `${keyOf(entry)} ${entry.action} ${entry.ruleId}`);
    const wanted = [...model.values()].map((entry) =>
      `${keyOf(entry)} ${entry.action} ${entry.ruleId}`
    );
    assert.deepEqual(found.sort(), wanted.sort(), what);
    assert.deepEqual(
      new Map(cidrIdentities.map(({ cidrIp, identityId }) => [cidrIp, identityId])),
      new Map([...ranges.values()].map(({ cidrIp = 0, identityId = 0 }) => [cidrIp, identityId])),
      what,
    );
  };
  /** Changes some entries of the model. @returns those that are new or changed, and those that went */
  const change = (count: number) => {
    const [upserts, deletes] = [new Map<string, Entry>(), new Map<string, Entry>()];
    for (let i = 0; i < count; i++) {
      const entry = entryOf(random.below(200), 1 + random.below(9));
      const key = keyOf(entry);
      const [to, from] = random.below(3) > 0 ? [upserts, deletes] : [deletes, upserts];
      from.delete(key);
      to.set(key, entry);
    }
    for (const [key, entry] of upserts) model.set(key, entry);
    for (const key of deletes.keys()) model.delete(key);
    return { upserts: [...upserts.values()], deletes: [...deletes.values()] };
  };
  const whole = () => ({
    policies: [...model.values()],
    cidrIdentities: [...ranges.values()],
    ruleNames: { 1: "one" },
  });

  const ACTIONS: Record<string, () => Promise<unknown>> = {
    "our client, a few entries changed": () => {
      change(random.below(4));
      return ours.syncPolicies(whole());
    },
    "our client, in another order": () => {
      change(random.below(2));
      return ours.syncPolicies({ ...whole(), policies: shuffled(random, whole().policies) });
    },
    "our client, some entries twice": () => {
      const policies = whole().policies;
      const twice = policies.slice(0, random.below(policies.length + 1));
      return ours.syncPolicies({ ...whole(), policies: [...policies, ...twice] });
    },
    "our client, another range": () => {
      const range = rangeOf(random.below(8), random.below(8));
      ranges.set(range.cidrIp ?? 0, range);
      return ours.syncPolicies(whole());
    },
    "a stranger's client": async () => {
      change(random.below(3));
      const policies = random.below(2) > 0 ? whole().policies : shuffled(random, whole().policies);
      const request = encoded(syncPolicies.input, { ...whole(), policies });
      return fromBinary(syncPolicies.output, await stranger.unary(syncPolicies, request));
    },
    "a patch of what is in force": async () => {
      const { version } = await ext.patchPolicies({});
      const range = rangeOf(random.below(8), random.below(8));
      const gone = rangeOf((random.below(7) + 1 + ((range.cidrIp ?? 0) >> 16)) % 8, 0);
      ranges.set(range.cidrIp ?? 0, range);
      ranges.delete(gone.cidrIp ?? 0);
      return await ext.patchPolicies({
        ...change(random.below(5)),
        baseVersion: version,
        cidrUpserts: [range],
        cidrDeletes: [gone],
      });
    },
    "a patch of whatever is in force": () => ext.patchPolicies(change(1)),
    "one entry": () => {
      const entry = entryOf(random.below(200), 4);
      model.set(keyOf(entry), entry);
      return ours.upsertPolicy(entry);
    },
  };

  await step(`${ROUNDS} changes of all kinds`, async () => {
    change(150);
    await ours.syncPolicies(whole());
    const names = Object.keys(ACTIONS);
    let last = "";
    for (let round = 0; round < ROUNDS; round++) {
      const name = names[random.below(names.length)] ?? "";
      await ACTIONS[name]?.();
      await check(`round ${round}: ${name} after ${last}`);
      last = name;
    }
  });

  await step("the same again changes nothing, in any order", async () => {
    const none = [0, 0, 0];
    await ours.syncPolicies(whole());
    const { version } = await ext.patchPolicies({});
    for (const policies of [whole().policies, shuffled(random, whole().policies)]) {
      const { added, removed, updated } = await ours.syncPolicies({ ...whole(), policies });
      assert.deepEqual([added, removed, updated], none);
    }
    assert.notEqual((await ext.patchPolicies({})).version, 0n);
    await ours.syncPolicies(whole());
    const { version: then } = await ext.patchPolicies({});
    await ours.syncPolicies(whole());
    assert.equal((await ext.patchPolicies({})).version, then, "byte for byte the same");
    assert.notEqual(then, version);
  });

  await step("a patch for another set than the one in force is refused", async () => {
    const { version } = await ext.patchPolicies({});
    await ours.upsertPolicy(entryOf(201, 4));
    await assert.rejects(
      ext.patchPolicies({ baseVersion: version, upserts: [entryOf(202, 4)] }),
      (error) =>
        error instanceof RpcError && error.code === RpcCode.FAILED_PRECONDITION &&
        error.message.includes(`base_version ${version}`),
    );
    await ours.deletePolicy(entryOf(201, 4));
    await check("nothing of it is in force");
  });

  await step("what is wrong with a patch is named, and changes nothing", async () => {
    const one = entryOf(1, 1);
    const range = rangeOf(1, 1);
    const BAD: [Parameters<typeof ext.patchPolicies>[0], RegExp][] = [
      [{ upserts: [one, { ...one, dstPort: 70_000 }] }, /upserts\[1\]\.dst_port 70000/],
      [{ upserts: [one, { ...one, ruleId: 2 }] }, /upserts\[1\]\.\w+ \d+: differs/],
      [{ upserts: [one], deletes: [one] }, /deletes\[0\].*come and go/],
      [{ deletes: [{ ...one, protocol: 300 }] }, /deletes\[0\]\.protocol 300/],
      [{ cidrUpserts: [{ ...range, prefixLen: 40 }] }, /cidr_upserts\[0\]\.prefix_len 40/],
      [{ cidrUpserts: [range], cidrDeletes: [range] }, /cidr_deletes\[0\]\.cidr_ip/],
      [{ ruleNameUpserts: { 7: "x" }, ruleNameDeletes: [7] }, /rule_name_deletes\[0\] 7/],
    ];
    for (const [request, message] of BAD) {
      await assert.rejects(ext.patchPolicies(request), (error) => {
        assert(error instanceof RpcError);
        assert.equal(error.code, RpcCode.INVALID_ARGUMENT);
        assert.match(error.message, message);
        return true;
      });
    }
    await check("after all of them");
  });

  await step("names of rules come and go with patches", async () => {
    await ext.patchPolicies({ ruleNameUpserts: { 20: "twenty", 21: "more" } });
    await ext.patchPolicies({ ruleNameDeletes: [21, 99] });
    assert.deepEqual((await ext.listPolicyEntries({})).ruleNames, { 1: "one", 20: "twenty" });
  });

  await step("a dataplane that was restarted has another version, and the same set", async () => {
    const { version } = await ext.patchPolicies({});
    await node.dataplane.kill();
    await node.startDataplane();
    assert.notEqual((await ext.patchPolicies({})).version, version);
    await check("after the restart");
    await ours.syncPolicies(whole());
    await check("after the first whole set");
  });
});

const guard = (name: string, port: number) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: default }
spec:
  podSelector: {}
  ingress:
    - from: [{ ipBlock: { cidr: 10.${port}.0.0/16 } }]
      ports: [{ port: ${port} }]
`;

scenario(
  "the agent sends what changes, and all of it when the dataplane has something else",
  {},
  async (
    { node, step },
  ) => {
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    const ext = node.client(DataplaneExt, "dataplane.sock");
    const has = (rule: string) => (rules: readonly string[]) => rules.includes(rule);
    const stranger = entryOf(1, 4);
    await node.addPod("web", { labels: { app: "web" } });
    await node.writeManifest("one.yaml", guard("one", 81));
    await node.untilRules(has("default/one:ingress[0]"));

    await step("a policy that comes and goes takes nothing else along", async () => {
      await dataplane.upsertPolicy(stranger);
      // The agent finds out with its next change, and from then on knows again what is in force.
      await node.writeManifest("two.yaml", guard("two", 82));
      await node.untilRules(has("default/two:ingress[0]"));
      const { policies } = await ext.listPolicyEntries({});
      assert.equal(policies.some(({ srcIdentity }) => srcIdentity === stranger.srcIdentity), false);
      const { version } = await ext.patchPolicies({});
      await node.writeManifest("three.yaml", guard("three", 83));
      await node.untilRules(has("default/three:ingress[0]"));
      assert.equal(
        (await ext.patchPolicies({})).version,
        version + 1n,
        "one patch, and nothing else",
      );
    });

    await step("the ranges that policies name are listed with their identities", async () => {
      const { policies, cidrIdentities } = await ext.listPolicyEntries({});
      const { identities } = await node.client(AgentControl, "novanet.sock").listIdentities({});
      const wide = await node.ctl("policy", "-o", "wide");
      for (const port of [81, 82, 83]) {
        const range = cidrIdentities.find(({ cidrIp }) => cidrIp === (10 << 24) + (port << 16));
        assert(range);
        const { identityId } = range;
        assert.equal(range.prefixLen, 16);
        assert(policies.some((each) => each.dstPort === port && each.srcIdentity === identityId));
        const cidr = `10.${port}.0.0/16`;
        const listed = identities.find((identity) => identity.identityId === identityId);
        assert.deepEqual(listed?.labels, { "novanet.io/cidr": cidr });
        assert.match(
          wide,
          new RegExp(`^${identityId}\\s.*\\s${port}\\s.*novanet.io/cidr=${cidr}`, "m"),
        );
      }
    });

    await step(
      "names of rules are there again as soon as a restarted dataplane has its set",
      async () => {
        await node.dataplane.kill();
        await node.startDataplane();
        await node.untilRules((rules) => rules.length > 0 && !rules.includes(""));
        const { ruleNames } = await ext.listPolicyEntries({});
        assert(Object.values(ruleNames).includes("default/three:ingress[0]"));
        await node.writeManifest("three.yaml", guard("three", 93));
        await eventually(async () => {
          const { policies } = await ext.listPolicyEntries({});
          const ports = policies.map(({ dstPort }) => dstPort);
          return ports.includes(93) && !ports.includes(83);
        });
      },
    );
  },
);
