import assert from "node:assert/strict";
import { tcxSupported } from "../../shared/ffi/bpf.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { NetnsLab } from "../../shared/testing/lab.ts";
import { LabNode } from "../../shared/testing/node.ts";
import { FailingAdds, type Outcomes } from "./add_fail.ts";
import { AT_FIRST, hooksOf, IN_THE_END } from "./hooks.ts";
import { type Injection, withInjection } from "./injection.ts";
import { scenario } from "./scenario.ts";

/** More than any move makes of one call. */
const MOST_CALLS = 200;
/** A move waits for a second without ADD and DEL, one that failed for another: nodes wait side by side. */
const NODES = 6;
/** On a busy machine strace may come when a pod has moved already. */
const MOST_TRIES = 10;

/** On the node of a dataplane whose calls fail, the pod that is moved. */
interface Moving {
  readonly lab: NetnsLab;
  readonly node: LabNode;
  readonly adds: FailingAdds;
}

const ROWS: readonly Omit<Injection, "nth">[] = [
  { call: "bpf", what: "ENOMEM" },
  { call: "recvfrom", what: "ENOMEM" },
  { call: "sendto", what: "ENOBUFS" },
];

scenario(
  "a pod whose move to TCX fails once has its programs once in the end",
  {},
  async ({ lab, node, step }) => {
    if (!tcxSupported()) return;
    const others = await Promise.all(
      Array.from({ length: NODES - 1 }, () => LabNode.create(lab)),
    );
    await Promise.all(others.map((other) => other.start()));
    const movings = await Promise.all([node, ...others].map(async (each): Promise<Moving> => {
      return { lab, node: each, adds: await FailingAdds.on(lab, each, true) };
    }));
    for (const row of ROWS) {
      await step(`${row.call} ${row.what}`, async () => {
        const outcomes = await Promise.all(
          movings.map((moving, index) => failInTurn(moving, row, index + 1)),
        );
        assert.deepEqual(outcomes.flatMap(({ problems }) => problems), []);
        assert(outcomes.some(({ failed }) => failed > 0), "a move makes no such call");
        assert(outcomes.every(({ covered }) => covered), "a move goes on after the last one tried");
      });
    }
  },
);

/** Lets every so manieth call of a move fail, from `first` on. */
async function failInTurn(
  moving: Moving,
  { call, what }: Omit<Injection, "nth">,
  first: number,
): Promise<Outcomes> {
  const problems: string[] = [];
  for (let [nth, failed] = [first, 0]; nth <= MOST_CALLS; nth += NODES, failed++) {
    try {
      const injected = await failOne(moving, { call, what, nth });
      if (!injected) return { failed, covered: true, problems };
    } catch (error) {
      problems.push(`number ${nth}: ${error}`);
    }
  }
  return { failed: MOST_CALLS, covered: false, problems };
}

/** ADD, a failure while the pod's programs move, DEL. @returns whether there was such a call */
async function failOne({ lab, node, adds }: Moving, injection: Injection): Promise<boolean> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    assert.equal(await adds.add(), undefined);
    const { hostIfName } = await adds.added();
    let inTime = false;
    const injected = await withInjection(lab, node.dataplane.pid, injection, async () => {
      inTime = hooksOf(node, hostIfName).filters.join() === AT_FIRST.filters.join();
      await eventually(() => {
        assert.deepEqual(hooksOf(node, hostIfName), IN_THE_END);
        return true;
      }, { timeoutMs: 20_000, intervalMs: 20 });
      return false;
    });
    await adds.ping();
    await adds.deleteAndCheck();
    if (inTime) return injected;
  }
  throw new Error("strace came too late each time");
}
