/** The decisions of policy on a flow, as judge_flow of bpf/lib/verdict.h makes them. */

import { type ConntrackEntry, ConntrackFlags } from "../../shared/gen/abi.ts";
import { TraceStage } from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import {
  PolicyAction,
  PolicyDirection,
  ReservedIdentity,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { hasPorts } from "../../shared/net/ip_protocol.ts";
import { decide, type Decision, type Question } from "./decide.ts";
import * as describe from "./describe.ts";
import type { MapEntry, Trail } from "./trail.ts";

const { EGRESS, INGRESS } = PolicyDirection;

/** Index 0 is the flow's origin, 1 its destination. */
export interface Ends {
  readonly identity: readonly [number, number];
  /** Host veth of the pod at that end; 0: no pod whose policies decide here. */
  readonly ifindex: readonly [number, number];
}

/** The rule that a flow event names. */
export interface DecidingRule {
  readonly id: number;
  /** Whose decision it was; BOTH: none was made. */
  readonly direction: PolicyDirection;
}

/** Makes decisions, and remembers which one a flow event would name. */
export class Judge {
  readonly #trail: Trail;
  #rule: DecidingRule = { id: 0, direction: PolicyDirection.BOTH };
  #audited = false;

  constructor(trail: Trail) {
    this.#trail = trail;
  }

  /** The rule of the decision that a flow event names. */
  get rule(): DecidingRule {
    return this.#rule;
  }

  /** Whether a policy in audit mode would have dropped the packet. */
  get audited(): boolean {
    return this.#audited;
  }

  /** Takes over what was decided when a connection was judged last. */
  remember({ flags, ruleId }: ConntrackEntry): void {
    const has = (bits: number) => (flags & bits) !== 0;
    this.#audited = has(ConntrackFlags.CONNTRACK_AUDITED);
    const byIngress = has(ConntrackFlags.CONNTRACK_INGRESS_ALLOWED) &&
      !has(ConntrackFlags.CONNTRACK_EGRESS_AUDITED);
    this.#rule = byIngress
      ? { id: ruleId[1] ?? 0, direction: INGRESS }
      : { id: ruleId[0] ?? 0, direction: EGRESS };
  }

  /**
   * Makes both decisions, as far as the ends are pods here; one that denies ends the walk.
   * @param reply whether the packet runs against the flow's origin
   * @throws Dropped, SysError
   */
  judge(ends: Ends, reply: boolean): void {
    const { srcIp, dstIp, protocol, srcPort, dstPort } = this.#trail.packet;
    const [originIp, destinationIp] = reply ? [dstIp, srcIp] : [srcIp, dstIp];
    const port = !hasPorts(protocol) ? 0 : reply ? srcPort : dstPort;
    const [origin, destination] = ends.identity;
    this.#audited = false;
    let audit: DecidingRule | undefined;
    if (ends.ifindex[0] !== 0) {
      const question = { direction: EGRESS, selected: origin, peer: destination, protocol, port };
      this.#decide(question, destinationIp);
      // What would have dropped the packet first is what the event names.
      if (this.#audited) audit = this.#rule;
    }
    if (ends.ifindex[1] !== 0) {
      const question = { direction: INGRESS, selected: destination, peer: origin, protocol, port };
      this.#decide(question, originIp);
    }
    if (audit !== undefined) this.#rule = audit;
  }

  #decide(question: Omit<Question, "peerCidr">, peerIp: number): void {
    const { direction, peer } = question;
    // The node is the node, whatever block its address lies in.
    const peerCidr = peer === ReservedIdentity.HOST ? 0 : this.#cidrOf(peerIp);
    const decision = decide(this.#trail.view, { ...question, peerCidr });
    const { action, ruleId } = decision;
    this.#rule = { id: ruleId, direction };
    if (action === PolicyAction.AUDIT) this.#audited = true;
    const denied = action !== PolicyAction.ALLOW && action !== PolicyAction.AUDIT;
    const stage = direction === EGRESS ? TraceStage.EGRESS : TraceStage.INGRESS;
    this.#trail.decide(stage, decisionText(direction, decision), decision, denied, {
      ...this.#entryOf(decision),
    });
  }

  #entryOf({ key, action, ruleId }: Decision): MapEntry {
    if (key !== undefined) {
      const value = describe.decisionText(action, ruleId);
      return { map: "POLICIES", key: describe.policyKeyText(key), value };
    }
    const value = `default_deny=${this.#trail.view.state.defaultDeny}`;
    return { map: "DATAPATH_STATE", key: "0", value };
  }

  /** The identity of the CIDR that policy names and that holds an address; 0: none. */
  #cidrOf(ip: number): number {
    const found = this.#trail.view.cidr(ip);
    const who = describe.ipText(ip);
    const entry = { map: "CIDR_IDENTITIES", key: `${who}/32`, value: "" };
    if (found === undefined || found.identity === 0) {
      this.#trail.add(TraceStage.CIDR, `no CIDR that policy names holds ${who}`, entry);
      return 0;
    }
    const { identity, prefixLen } = found;
    const cidr = describe.cidrText(ip, prefixLen);
    const text = `${cidr} is the smallest CIDR that policy names and that holds ${who}`;
    const value = `identity=${identity} prefix_len=${prefixLen}`;
    this.#trail.add(TraceStage.CIDR, text, { ...entry, value });
    return identity;
  }
}

function decisionText(direction: PolicyDirection, { action, key }: Decision): string {
  const whose = direction === EGRESS ? "the sender's egress" : "the receiver's ingress";
  const what = action === PolicyAction.AUDIT
    ? "audited: it passes, and enforced it would drop"
    : action === PolicyAction.ALLOW
    ? "allowed"
    : "denied";
  return `${whose} is ${what}${key === undefined ? " by the cluster's default" : ""}`;
}
