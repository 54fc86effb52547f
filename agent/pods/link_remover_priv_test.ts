import assert from "node:assert/strict";
import type { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { openNetns } from "../../shared/netns/mod.ts";
import { type LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { LinkRemover } from "./link_remover.ts";

interface World {
  readonly host: RtnetlinkSocket;
  readonly pods: LabNetns;
  readonly remover: LinkRemover;
  /** How often the kernel was done. */
  readonly rounds: () => number;
}

function labTest(name: string, body: (world: World) => Promise<void>): void {
  Deno.test(name, async () => {
    await using lab = new NetnsLab();
    const [netns, pods] = [await lab.addNetns(), await lab.addNetns()];
    using host = netns.rtnetlink();
    let rounds = 0;
    const remover = new LinkRemover({
      netns: netns.path,
      onDone: () => rounds++,
    });
    await body({ host, pods, remover, rounds: () => rounds });
    await remover.idle();
  });
}

function addPairs({ host, pods }: World, names: readonly string[]) {
  using netns = openNetns(pods.path);
  for (const name of names) {
    host.vethCreate({ name }, { name: `${name}-pod`, netnsFd: netns.fd });
  }
  return names.map((name) => host.linkGet(name).index);
}

const names = (links: RtnetlinkSocket) => links.linkList().map(({ name }) => name);

labTest("a link and its other end are gone when remove() returns", async (world) => {
  const [link] = addPairs(world, ["a"]);
  assert(link);
  await world.remover.remove(link);
  using inside = world.pods.rtnetlink();
  assert.deepEqual(names(inside), ["lo"]);
  assert.deepEqual(names(world.host), ["lo"]);
  await world.remover.idle();
  assert.equal(world.rounds(), 1);
});

labTest("those that are asked for together go together, and no others", async (world) => {
  const [a, b, stays, c] = addPairs(world, ["a", "b", "stays", "c"]);
  assert(a && b && stays && c);
  await Promise.all([a, b, c].map((link) => world.remover.remove(link)));
  assert.deepEqual(names(world.host), ["lo", "stays"]);
  await world.remover.idle();
  assert.equal(world.rounds(), 1);
});

labTest("what is not there is no error, and not in the others' way", async (world) => {
  const links = addPairs(world, ["a", "b"]);
  await Promise.all(
    [4711, ...links].map((link) => world.remover.remove(link)),
  );
  assert.deepEqual(names(world.host), ["lo"]);
  await world.remover.remove(4711);
});

labTest("what the kernel refuses is told to whoever asked", async (world) => {
  const links = addPairs(world, ["a"]);
  const loopback = world.host.linkGet("lo").index;
  const [refused, ...removed] = await Promise.allSettled(
    [loopback, ...links].map((link) => world.remover.remove(link)),
  );
  assert.equal(refused?.status, "rejected");
  assert.deepEqual(removed.map(({ status }) => status), ["fulfilled"]);
  assert.deepEqual(names(world.host), ["lo"]);
});
