import assert from "node:assert/strict";
import { AgentExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AgentControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import type { RunningCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import { containerIdOf, type LabNode } from "../../shared/testing/node.ts";
import { ping } from "../../shared/testing/sockets.ts";
import { holdings } from "./holdings.ts";
import { isDead, withInjection } from "./injection.ts";

/** More than any ADD makes of one call. */
const MOST_CALLS = 200;
/** A busy machine under ptrace takes its time. */
const PATIENCE = { timeoutMs: 60_000 };

/** A system call that an ADD makes again and again. */
export interface FailingCall {
  readonly daemon: "agent" | "dataplane";
  /** As strace names it. */
  readonly call: string;
  /** The error that it answers, or `kill`: the daemon dies in it and is started again. */
  readonly what: string;
  /** Every so manieth is tried. */
  readonly stride: number;
}

/** How calls that failed in turn went. */
export interface Outcomes {
  /** How many did. */
  readonly failed: number;
  /** Whether the last ADD made fewer of these calls than the one that was to fail, and succeeded. */
  readonly covered: boolean;
  /** What was wrong, after which of them. */
  readonly problems: readonly string[];
}

/** All that pods bring but connections, which time out. */
async function held(node: LabNode) {
  const { connections: _, ...rest } = await holdings(node);
  return rest;
}

/** Adds pods while something fails, and sees that nothing is left of them. */
export class FailingAdds {
  readonly #lab: NetnsLab;
  readonly #node: LabNode;
  readonly #pod: LabNetns;
  readonly #before: Awaited<ReturnType<typeof held>>;
  readonly #quickAttach: boolean;
  #count = 0;
  #containerId = "";

  private constructor(
    lab: NetnsLab,
    node: LabNode,
    pod: LabNetns,
    before: Awaited<ReturnType<typeof held>>,
    quickAttach: boolean,
  ) {
    this.#lab = lab;
    this.#node = node;
    this.#pod = pod;
    this.#before = before;
    this.#quickAttach = quickAttach;
  }

  /**
   * Takes what the node holds now for what it must hold after each ADD and DEL.
   * @param quickAttach as `novanet-cni install` configures it: filters first, TCX later
   */
  static async on(lab: NetnsLab, node: LabNode, quickAttach: boolean): Promise<FailingAdds> {
    const adds = new FailingAdds(lab, node, await lab.addNetns(), await held(node), quickAttach);
    // What the first ADD of a process does beside is done.
    assert.equal(await adds.add(), undefined);
    await adds.deleteAndCheck();
    return adds;
  }

  /** Lets each of an ADD's calls fail in turn. */
  async failInTurn({ daemon, call, what, stride }: FailingCall): Promise<Outcomes> {
    const problems: string[] = [];
    let [failed, covered] = [0, false];
    for (let nth = 1; nth <= MOST_CALLS; nth += stride) {
      let outcome: RpcError | undefined;
      const process = this.#node[daemon];
      const injection = { call, what, nth };
      const injected = await withInjection(this.#lab, process.pid, injection, async () => {
        const adding = this.add();
        await Promise.race([adding, this.#untilExit(process, adding)]);
        await this.#restartIfExited();
        outcome = await adding;
        return what === "kill" || outcome?.code === RpcCode.UNAVAILABLE;
      });
      if (await isDead(process.pid)) await eventually(() => process.exited);
      try {
        if (outcome === undefined) await this.ping();
        await this.deleteAndCheck();
      } catch (error) {
        const how = outcome?.message ?? "success";
        problems.push(`number ${nth}; ADD: ${how}; then ${error}`);
        await this.#recover();
      }
      if (!injected) {
        covered = outcome === undefined;
        break;
      }
      failed++;
    }
    // The next one works.
    assert.equal(await this.add(), undefined);
    await this.deleteAndCheck();
    return { failed, covered, problems };
  }

  /** ADD. @returns what it failed with */
  async add(): Promise<RpcError | undefined> {
    const agent = this.#node.client(AgentControl, "cni.sock");
    this.#containerId = containerIdOf(`failing ${this.#count++}`);
    try {
      await agent.addPod({
        podName: "failing",
        podNamespace: "default",
        containerId: this.#containerId,
        netns: this.#pod.path,
        ifName: "eth0",
        labels: { app: "failing" },
        quickAttach: this.#quickAttach,
      }, PATIENCE);
      return undefined;
    } catch (error) {
      if (error instanceof RpcError) return error;
      throw error;
    }
  }

  /** The pod that was added last, as the agent has it. */
  async added() {
    const { pods } = await this.#node.client(AgentExt, "novanet.sock").listPods({});
    return pods.find(({ containerId }) => containerId === this.#containerId) ??
      assert.fail("the pod is not there");
  }

  /** The pod that was added answers. @throws {EventuallyError} */
  async ping(): Promise<void> {
    await ping(this.#node.netns, (await this.added()).ip);
  }

  /** DEL succeeds, and nothing is left. @throws {AssertionError} */
  async deleteAndCheck(): Promise<void> {
    await this.#restartIfExited();
    const agent = this.#node.client(AgentControl, "cni.sock");
    await agent.delPod({ containerId: this.#containerId, ifName: "eth0" }, PATIENCE);
    await this.assertNothingLeft();
  }

  /** The node holds what it held, by the inventory and by the doctor. @throws {AssertionError} */
  async assertNothingLeft(): Promise<void> {
    await eventually(async () => {
      assert.deepEqual(await held(this.#node), this.#before);
      return true;
    }, { what: "a node that holds what it held", intervalMs: 20 });
    const { findings } = await this.#node.client(AgentExt, "novanet.sock").inspectNode(
      {},
      PATIENCE,
    );
    const wrong = findings.filter(({ warning }) => !warning);
    assert.deepEqual(wrong, []);
  }

  async #untilExit(process: RunningCommand, adding: Promise<unknown>): Promise<void> {
    let done = false;
    adding.finally(() => done = true);
    await eventually(() => done || process.exited, { intervalMs: 5, timeoutMs: 30_000 });
  }

  /** So that one failure is not taken for the next ones too. */
  async #recover(): Promise<void> {
    await this.#node.agent.kill();
    await this.#node.startAgent();
    await this.#node.client(AgentExt, "novanet.sock").inspectNode({ repair: true }, PATIENCE);
    await this.deleteAndCheck();
  }

  async #restartIfExited(): Promise<void> {
    if (this.#node.dataplane.exited) await this.#node.startDataplane();
    if (this.#node.agent.exited) await this.#node.startAgent();
  }
}
