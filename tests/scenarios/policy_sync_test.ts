import assert from "node:assert/strict";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type { PatchPoliciesRequestSchema } from "../../shared/gen/novanet/ext/v1/policies_pb.ts";
import {
  type CidrIdentitySchema,
  DataplaneControl,
  PolicyAction,
  PolicyDirection,
  type PolicyEntrySchema,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { IpProtocol, Ipv4 } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { ethernet, ipv4, udp, viewOf } from "../../shared/testing/packets.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { ipv4Of, RawLink } from "../../shared/testing/raw_link.ts";
import { scenario } from "./scenario.ts";

type Entry = MessageInitShape<typeof PolicyEntrySchema>;

interface PolicySet {
  readonly policies: Entry[];
  readonly cidrIdentities: MessageInitShape<typeof CidrIdentitySchema>[];
}

const SYNCS = 1000;
const PATCHES = 250;
const KILLS = 12;
/** Entries that only make the sets large, half of them in both. */
const BALLAST = 100;
const OUTSIDE = Ipv4.parse("192.0.2.0").value;
const [CIDR_ONE, CIDR_TWO] = [2 ** 24 + 1, 2 ** 24 + 2];
/** Never open: what only a mix of the two sets lets through. Always open: what both let through, each by its own entry. */
const [NEVER, ALWAYS] = [1111, 2222];

const { INGRESS, EGRESS } = PolicyDirection;

const allow = (
  direction: PolicyDirection,
  srcIdentity: number,
  dstIdentity: number,
  dstPort: number,
): Entry => ({
  direction,
  srcIdentity,
  dstIdentity,
  dstPort,
  protocol: dstPort === 0 ? 0 : IpProtocol.UDP,
  action: PolicyAction.ALLOW,
});

const isolate = (direction: PolicyDirection, identity: number): Entry => ({
  direction,
  [direction === INGRESS ? "dstIdentity" : "srcIdentity"]: identity,
  isolation: true,
  action: PolicyAction.DENY,
});

const ballast = (from: number): Entry[] =>
  Array.from({ length: BALLAST / 2 }, (_, index) => allow(INGRESS, 9000 + from + index, 9999, 80));

/**
 * Two sets in which sender and receiver are isolated in both directions.
 *
 * The first lets NEVER out of the sender but not into the receiver, the second into it but not out: only a packet that
 * saw the one's egress and the other's ingress would pass. Of packets from outside the first calls the block ONE and
 * allows TWO, the second the other way round: only one's block and the other's entry would let them pass.
 */
function opposites(sender: number, receiver: number): readonly [PolicySet, PolicySet] {
  const both = [
    isolate(INGRESS, sender),
    isolate(EGRESS, sender),
    isolate(INGRESS, receiver),
    isolate(EGRESS, receiver),
    ...ballast(0),
  ];
  return [
    {
      policies: [
        ...both,
        ...ballast(1000),
        allow(EGRESS, sender, receiver, NEVER),
        allow(EGRESS, sender, receiver, ALWAYS),
        allow(INGRESS, sender, receiver, ALWAYS),
        allow(INGRESS, CIDR_TWO, receiver, NEVER),
        allow(INGRESS, CIDR_ONE, receiver, ALWAYS),
      ],
      cidrIdentities: [{ cidrIp: OUTSIDE, prefixLen: 24, identityId: CIDR_ONE }],
    },
    {
      policies: [
        ...both,
        ...ballast(2000),
        allow(INGRESS, sender, receiver, NEVER),
        allow(EGRESS, sender, 0, ALWAYS),
        allow(INGRESS, sender, 0, ALWAYS),
        allow(INGRESS, CIDR_ONE, receiver, NEVER),
        allow(INGRESS, CIDR_TWO, receiver, ALWAYS),
      ],
      cidrIdentities: [{ cidrIp: OUTSIDE, prefixLen: 24, identityId: CIDR_TWO }],
    },
  ];
}

/** What turns one set into the other. */
function patchTo(
  from: PolicySet,
  to: PolicySet,
): MessageInitShape<typeof PatchPoliciesRequestSchema> {
  const textOf = (entry: object) => JSON.stringify(entry);
  const without = (all: Entry[], less: Entry[]) => {
    const texts = new Set(less.map(textOf));
    return all.filter((entry) => !texts.has(textOf(entry)));
  };
  return {
    upserts: without(to.policies, from.policies),
    deletes: without(from.policies, to.policies),
    cidrUpserts: to.cidrIdentities,
  };
}

const dstPortOf = (frame: Uint8Array) => viewOf(frame).getUint16(36);

scenario("no packet sees half of a policy set", {}, async ({ lab, node, step }) => {
  const pod = (app: string) => node.addPod(app, { labels: { app } });
  const [sender, receiver] = [await pod("sender"), await pod("receiver")];
  // From here on the test is the agent.
  await node.agent.kill();
  const dataplane = node.client(DataplaneControl, "dataplane.sock");
  const ext = node.client(DataplaneExt, "dataplane.sock");
  const { endpoints } = await ext.listEndpoints({});
  const identityOf = ({ ip }: { ip: string }) =>
    endpoints.find((endpoint) => endpoint.ip === Ipv4.parse(ip).value)?.identityId ?? 0;
  const sets = opposites(identityOf(sender), identityOf(receiver));

  /** Patches from one set to the other, beginning with the one that is in force. */
  const patchBackAndForth = async (count: number, from: number) => {
    let { version } = await ext.patchPolicies({});
    for (let at = from; at < from + count; at++) {
      const patch = patchTo(sets[at % 2]!, sets[(at + 1) % 2]!);
      ({ version } = await ext.patchPolicies({ ...patch, baseVersion: version }));
    }
  };

  const fromPod = lab.own(new RawLink(sender.netns, "eth0"));
  const fromOutside = lab.own(new RawLink(node.outside, "node"));
  const atReceiver = lab.own(new RawLink(receiver.netns, "eth0", ipv4Of(IpProtocol.UDP)));
  using links = node.netns.rtnetlink();
  const uplinkMac = links.linkGet("uplink").mac;
  assert(uplinkMac);
  const frames = (dstPort: number, srcPort: number) => {
    const payload = udp({ srcPort, dstPort }, "either or");
    return [
      ethernet(
        { src: "02:fe:0a:f4:00:02", dst: "02:fe:0a:f4:00:01" },
        ipv4({ src: sender.ip, dst: receiver.ip }, payload),
      ),
      ethernet(
        { src: "02:00:00:00:00:01", dst: uplinkMac },
        ipv4({ src: node.addresses.outside, dst: receiver.ip }, payload),
      ),
    ] as const;
  };
  // New flows meet the policy with every packet; the living ones whenever it has changed.
  const probes = Array.from(
    { length: 1000 },
    (_, index) => [...frames(NEVER, 10_000 + index), ...frames(ALWAYS, 10_000 + index)] as const,
  );
  const sent = { never: 0, always: 0 };
  const arrived = { never: 0, always: 0 };
  const send = (round: number) => {
    const [podNever, outsideNever, podAlways, outsideAlways] = probes[round % probes.length] ?? [];
    assert(podNever && outsideNever && podAlways && outsideAlways);
    fromPod.send(podNever);
    fromOutside.send(outsideNever);
    fromPod.send(podAlways);
    fromOutside.send(outsideAlways);
    sent.never += 2;
    sent.always += 2;
  };
  const receive = () => {
    for (const frame of atReceiver.take()) {
      if (dstPortOf(frame) === NEVER) arrived.never++;
      else if (dstPortOf(frame) === ALWAYS) arrived.always++;
    }
  };

  await step("each set alone drops the one and lets the other pass", async () => {
    for (const set of [...sets, ...sets]) {
      await dataplane.syncPolicies(set);
      for (let round = 0; round < 50; round++) send(round);
      await eventually(() => {
        receive();
        return arrived.always === sent.always;
      });
      assert.equal(arrived.never, 0);
    }
  });

  await step("a mix of the two lets the one through: the test can see it", async () => {
    const [one, other] = sets;
    const mix = [...one.policies, ...other.policies].map((entry) => JSON.stringify(entry));
    const policies = [...new Set(mix)].map((text): Entry => JSON.parse(text));
    await dataplane.syncPolicies({ ...one, policies });
    send(0);
    await eventually(() => {
      receive();
      return arrived.always === sent.always && arrived.never === 2;
    });
    arrived.never = 0;
  });

  await step("the answer counts what differs", async () => {
    await dataplane.syncPolicies(sets[0]);
    const again = await dataplane.syncPolicies(sets[0]);
    assert.deepEqual([again.added, again.removed, again.updated], [0, 0, 0]);
    const { added, removed, updated } = await dataplane.syncPolicies(sets[1]);
    assert.deepEqual([added, removed, updated], [BALLAST / 2 + 5, BALLAST / 2 + 5, 0]);
  });

  const CHANGES: [what: string, work: () => Promise<void>][] = [
    [`${SYNCS} syncs`, async () => {
      for (let count = 0; count < SYNCS; count++) await dataplane.syncPolicies(sets[count % 2]!);
    }],
    [`${PATCHES} patches`, async () => {
      await dataplane.syncPolicies(sets[0]);
      await patchBackAndForth(PATCHES, 0);
    }],
  ];
  for (const [what, work] of CHANGES) {
    await step(`${what} between them under a stream of packets`, async () => {
      let done = false;
      const changing = work().finally(() => done = true);
      const before = sent.never;
      for (let round = 0; !done; round++) {
        for (let burst = 0; burst < 4; burst++) send(round * 4 + burst);
        receive();
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      await changing;
      assert(sent.never - before > 2 * PATCHES, `only ${sent.never - before} packets were sent`);
      await eventually(() => {
        receive();
        return arrived.always === sent.always;
      }, { what: `all of ${sent.always} packets that every set allows` });
      assert.equal(arrived.never, 0, `of ${sent.never} packets that no set allows`);
    });
  }

  await step(`a dataplane that is killed ${KILLS} times while it syncs and patches`, async () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < KILLS; round++) {
      // The kill falls into one of the changes.
      const syncing = (async () => {
        for (let count = 0; count < 20; count++) {
          if (round % 2 === 0) await dataplane.syncPolicies(sets[count % 2]!);
          else await patchBackAndForth(1, (round >> 1) + 1 + count);
        }
      })().catch(() => {});
      const killAfterMs = random.below(60);
      const began = performance.now();
      let starting: Promise<unknown> | undefined;
      let started = false;
      for (let sending = 0; !started; sending++) {
        send(sending);
        receive();
        if (starting === undefined && performance.now() - began >= killAfterMs) {
          starting = node.dataplane.kill().then(() => node.startDataplane())
            .finally(() => started = true);
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await Promise.all([syncing, starting]);
      await dataplane.syncPolicies(sets[round % 2]!);
    }
    await eventually(() => {
      receive();
      return arrived.always === sent.always;
    }, { what: `all of ${sent.always} packets that every set allows` });
    assert.equal(arrived.never, 0, `of ${sent.never} packets that no set allows`);
  });

  await step("a sync that is refused changes nothing", async () => {
    const before = await ext.listPolicyEntries({});
    const bad = { ...sets[0], policies: [...sets[0].policies, { dstPort: 70_000 }] };
    await assert.rejects(dataplane.syncPolicies(bad), /policies\[\d+\]\.dst_port.*70000/);
    const after = await ext.listPolicyEntries({});
    assert.deepEqual(after, before);
  });
});
