/** What a packet that is followed left behind: its steps, and how it ended. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type TraceStage, type TraceStepSchema } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import { DropReason, type PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import type { Decision } from "./decide.ts";
import type { KernelView } from "./kernel_view.ts";
import type { TracedPacket } from "./packet.ts";

/** One step, as RPCs carry it. */
export type Step = MessageInitShape<typeof TraceStepSchema>;

/** A map that was asked, and what it answered. */
export interface MapEntry {
  readonly map: string;
  readonly key: string;
  /** Empty: no such entry. */
  readonly value: string;
}

/** What the kernel says beside the maps. */
export interface HookFacts {
  /** Whether our program is on the hook where the sender's packet leaves it, or where it enters the receiver. */
  readonly attached: (hook: PolicyDirection) => boolean;
  /** The name of an interface; undefined when it is gone. */
  readonly interfaceName: (ifindex: number) => string | undefined;
  /** Whether there is room for one more connection, whatever its group in CONNTRACK. */
  readonly hasRoom: () => boolean;
}

/** Thrown to end a walk: the packet drops. */
export class Dropped {
  constructor(readonly reason: DropReason) {}
}

/** A packet under way, and the steps that it took. */
export class Trail {
  readonly steps: Step[] = [];

  /** @param view what the packet sees: one policy generation */
  constructor(
    readonly view: KernelView,
    readonly facts: HookFacts,
    readonly packet: TracedPacket,
  ) {}

  /** Adds a step that the packet passes. */
  add(stage: TraceStage, text: string, entry?: MapEntry): void {
    this.steps.push({ stage, text, ...entry });
  }

  /** Adds the step at which the packet drops, and ends the walk. */
  drop(stage: TraceStage, text: string, dropReason: DropReason, entry?: MapEntry): never {
    this.steps.push({ stage, text, dropReason, ...entry });
    throw new Dropped(dropReason);
  }

  /** Adds a decision; one that denies ends the walk. */
  decide(stage: TraceStage, text: string, decision: Decision, denied: boolean, entry: MapEntry) {
    const dropReason = denied ? DropReason.POLICY_DENIED : DropReason.NONE;
    const { action, ruleId, lookups } = decision;
    const decided = { decided: true, action, ruleId, lookups };
    this.steps.push({ stage, text, dropReason, ...decided, ...entry });
    if (denied) throw new Dropped(dropReason);
  }
}
