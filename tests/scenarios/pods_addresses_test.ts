import assert from "node:assert/strict";
import { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { CommandResult } from "../../shared/testing/command.ts";
import { type Attachment, containerIdOf } from "../../shared/testing/node.ts";
import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { scenario } from "./scenario.ts";

/** Codes of the CNI specification, and ours from 100 up. */
const INVALID_ENVIRONMENT = 4;
const INVALID_CONFIG = 7;
const EXHAUSTED = 101;
const UNEXPECTED_STATE = 102;

/** 16 addresses less the network's, the gateway's and the broadcast address. */
const ADDRESSES = 13;

function addressOf({ code, stdout }: CommandResult): string {
  assert.equal(code, 0, stdout);
  return JSON.parse(stdout).ips[0].address;
}

function assertRefused({ code, stdout }: CommandResult, cniCode: number, message: RegExp): void {
  assert.notEqual(code, 0, stdout);
  const error = JSON.parse(stdout);
  assert.equal(error.code, cniCode, stdout);
  assert.match(error.msg, message);
}

const options = { podCidr: "10.244.7.16/28", config: { address_rest_seconds: 3600 } };

scenario("addresses of a /28", options, async ({ lab, node, step }) => {
  const attachments: Attachment[] = [];
  const attachment = async (args?: string): Promise<Attachment> => {
    const made = {
      containerId: containerIdOf(`address ${attachments.length}`),
      netnsPath: (await lab.addNetns()).path,
      podName: `pod-${attachments.length}`,
      podNamespace: "default",
      args,
    };
    attachments.push(made);
    return made;
  };
  const used = async () => {
    const status = await node.client(AgentControl, "novanet.sock").getAgentStatus({});
    assert.equal(status.addressesTotal, ADDRESSES);
    return status.addressesUsed;
  };

  await step("an address asked for in CNI_ARGS is given", async () => {
    const one = await attachment("IP=10.244.7.20");
    assert.equal(addressOf(await node.cni("ADD", one)), "10.244.7.20/28");
    await ping(node.netns, "10.244.7.20");
    assert.equal(addressOf(await node.cni("ADD", one)), "10.244.7.20/28", "asked for again");
  });

  await step("an address asked for by the capability ips is given", async () => {
    const added = await node.cni("ADD", await attachment(), {
      runtimeConfig: { ips: ["10.244.7.21/28"] },
    });
    assert.equal(addressOf(added), "10.244.7.21/28");
  });

  const refused: [address: string, code: number, message: RegExp][] = [
    ["10.244.7.20", UNEXPECTED_STATE, /10\.244\.7\.20 is already in use/],
    ["10.244.7.17", INVALID_CONFIG, /10\.244\.7\.17.*gateway/],
    ["10.244.7.16", INVALID_CONFIG, /10\.244\.7\.16.*network/],
    ["10.244.7.31", INVALID_CONFIG, /10\.244\.7\.31.*broadcast/],
    ["10.244.7.32", INVALID_CONFIG, /10\.244\.7\.32.*outside.*10\.244\.7\.16\/28/],
    ["192.0.2.10", INVALID_CONFIG, /192\.0\.2\.10.*outside/],
    ["10.244.7", INVALID_ENVIRONMENT, /10\.244\.7/],
    ["fd00::1", INVALID_ENVIRONMENT, /fd00::1/],
  ];
  for (const [address, code, message] of refused) {
    await step(`${address} is refused`, async () => {
      const before = await used();
      assertRefused(await node.cni("ADD", await attachment(`IP=${address}`)), code, message);
      assert.equal(await used(), before);
    });
  }

  await step("the last address is given, and then none", async () => {
    const given = new Set(["10.244.7.20/28", "10.244.7.21/28"]);
    while (given.size < ADDRESSES) {
      given.add(addressOf(await node.cni("ADD", await attachment())));
    }
    const expected = Array.from({ length: ADDRESSES }, (_, index) => `10.244.7.${18 + index}/28`);
    assert.deepEqual([...given].sort(), expected);
    const late = await attachment();
    assertRefused(await node.cni("ADD", late), EXHAUSTED, /10\.244\.7\.16\/28/);
    using inside = RtnetlinkSocket.openIn(late.netnsPath);
    assert.equal(inside.linkFind("eth0"), undefined, "nothing is left in the pod");
    using links = node.netns.rtnetlink();
    assert.equal(
      links.linkList().filter(({ kind, name }) => kind === "veth" && name.startsWith("nv")).length,
      ADDRESSES,
    );
    assert.equal(await used(), ADDRESSES);
  });

  await step("after a DEL the one that is free is given, rest or no rest", async () => {
    const [gone] = attachments;
    assert(gone);
    assert.equal((await node.cni("DEL", gone)).code, 0);
    const next = await attachment();
    assert.equal(addressOf(await node.cni("ADD", next)), "10.244.7.20/28");
    await ping(node.netns, "10.244.7.20");
  });

  await step("a released address rests while others are free", async () => {
    for (const each of attachments) assert.equal((await node.cni("DEL", each)).code, 0);
    assert.equal(await used(), 0);
    const last = await attachment("IP=10.244.7.25");
    addressOf(await node.cni("ADD", last));
    assert.equal((await node.cni("DEL", last)).code, 0);
    const given = new Set<string>();
    for (let count = 0; count < ADDRESSES - 1; count++) {
      given.add(addressOf(await node.cni("ADD", await attachment())));
    }
    assert.equal(given.size, ADDRESSES - 1);
    assert(!given.has("10.244.7.25/28"), "the address that was released last comes last");
  });
});
