/**
 * The way of a packet through the datapath, step by step as bpf/datapath.bpf.c and bpf/lib/verdict.h go, from what the
 * maps hold now. Nothing is changed.
 *
 * @module
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  TraceDelivery,
  TraceStage,
  type TraceVerdictSchema,
} from "../../shared/gen/novanet/ext/v1/trace_pb.ts";
import {
  DropReason,
  PolicyAction,
  PolicyDirection,
  ReservedIdentity,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { ConntrackGroup } from "../../shared/gen/abi.ts";
import type { PodIface } from "../maps/pod_ifaces.ts";
import { type Covering, findConnection, type Hook } from "./connection.ts";
import * as describe from "./describe.ts";
import {
  type FarEnd,
  farEnd,
  findDestination,
  identifySender,
  isPodAddress,
  noIdentity,
  type Sender,
} from "./far_end.ts";
import { type Ends, Judge } from "./judge.ts";
import { connectionKey } from "./packet.ts";
import { Dropped, type MapEntry, type Trail } from "./trail.ts";

/** The end of a way, as RPCs carry it. */
export type Verdict = MessageInitShape<typeof TraceVerdictSchema>;

/** A packet at one hook of a pod's interface. */
interface Passage {
  readonly hook: Hook;
  readonly pod: PodIface;
  /** At the ingress hook. */
  readonly sender: Sender | undefined;
}

const { EGRESS, INGRESS } = PolicyDirection;

/** Follows the trail's packet to its end. @returns what becomes of it @throws SysError */
export function follow(trail: Trail): Verdict {
  return new Walk(trail).run();
}

class Walk {
  readonly #trail: Trail;
  readonly #judge: Judge;
  #established = false;

  constructor(trail: Trail) {
    this.#trail = trail;
    this.#judge = new Judge(trail);
  }

  run(): Verdict {
    try {
      return this.#go();
    } catch (thrown) {
      if (!(thrown instanceof Dropped)) throw thrown;
      const { reason } = thrown;
      const { id, direction } = this.#judge.rule;
      const denied = reason === DropReason.POLICY_DENIED;
      return {
        verdict: PolicyAction.DENY,
        dropReason: reason,
        ...(denied ? { ruleId: id, ruleDirection: direction } : {}),
        delivery: TraceDelivery.DROPPED,
        established: this.#established,
      };
    }
  }

  #go(): Verdict {
    const { view, packet } = this.#trail;
    const source = view.endpoint(packet.srcIp);
    const isHost = source?.identity === ReservedIdentity.HOST;
    let sender: Sender = { kind: isHost ? "host" : "outside" };
    if (source !== undefined && source.ifindex !== 0) {
      const looked = this.#meetProgram(packet.srcIp, source.ifindex, EGRESS);
      const pod = view.iface(source.ifindex);
      if (looked && pod !== undefined) {
        const far = this.#leavePod(pod);
        if (far !== 0) return this.#deliver(far);
      }
      if (pod !== undefined) sender = { kind: "pod", iface: pod };
    }
    const destination = view.endpoint(packet.dstIp);
    if (destination === undefined || destination.ifindex === 0) {
      return this.#handToHost(sender, destination?.identity === ReservedIdentity.HOST);
    }
    const looked = this.#meetProgram(packet.dstIp, destination.ifindex, INGRESS);
    const pod = view.iface(destination.ifindex);
    if (looked && pod !== undefined) this.#enterPod(pod, sender);
    return this.#deliver(destination.ifindex);
  }

  /** The program on a hook of a pod's interface. @returns whether there is one, which then knows the pod */
  #meetProgram(ip: number, ifindex: number, hook: Hook): boolean {
    const program = hook === EGRESS ? "pod_egress" : "pod_ingress";
    const { facts, view } = this.#trail;
    const where = this.#interfaceText(ifindex);
    const entry = this.#ifaceEntry(ifindex);
    if (!facts.attached(hook)) {
      const text = `${program} is not attached to ${where}: the packet passes unseen`;
      this.#trail.add(TraceStage.INTERFACE, text, entry);
      return false;
    }
    if (view.iface(ifindex) === undefined) {
      const text = `${program} on ${where} knows no pod there: the interface is closed`;
      this.#trail.drop(TraceStage.INTERFACE, text, DropReason.ENDPOINT_NOT_READY, entry);
    }
    const what = hook === EGRESS ? "sends" : "receives";
    const text = `${program} on ${where} sees what pod ${describe.ipText(ip)} ${what}`;
    this.#trail.add(TraceStage.INTERFACE, text, entry);
    return true;
  }

  /** The egress hook. @returns the ifindex of the pod here that gets the packet; 0: the host's stack does */
  #leavePod(pod: PodIface): number {
    const { view, packet } = this.#trail;
    const from = describe.ipText(packet.srcIp);
    const entry = this.#ifaceEntry(pod.ifindex);
    if (pod.ip !== packet.srcIp) {
      const why = `${from} is not the address of the pod there`;
      this.#trail.drop(TraceStage.SOURCE, why, DropReason.SPOOFED_SOURCE_IP, entry);
    }
    this.#trail.add(TraceStage.SOURCE, `${from} is the pod's own address`, entry);
    const passage: Passage = { hook: EGRESS, pod, sender: undefined };
    const known = findConnection(this.#trail, EGRESS, pod.ifindex);
    if (known !== undefined) {
      const far = known.value.ifindex[known.reply ? 0 : 1] ?? 0;
      if (far === 0 || view.iface(far)?.ip === packet.dstIp) {
        this.#passKnown(passage, known);
        return far;
      }
      const text = "the pod that the connection goes to has left: the packet opens a new one";
      this.#trail.add(TraceStage.CONNTRACK, text, this.#ifaceEntry(far));
    }
    const far = this.#open(passage).ifindex[1];
    if (far === 0 || view.iface(far)?.ip === packet.dstIp) return far;
    const why = `the pod behind ifindex ${far} has not the address ${
      describe.ipText(packet.dstIp)
    }`;
    return this.#trail.drop(
      TraceStage.FORWARD,
      why,
      DropReason.NO_ROUTE,
      this.#ifaceEntry(far),
    );
  }

  /** The ingress hook. */
  #enterPod(pod: PodIface, sender: Sender): void {
    const { view, packet } = this.#trail;
    if (pod.ip !== packet.dstIp) {
      const why = `${describe.ipText(packet.dstIp)} is not the address of the pod there`;
      const entry = this.#ifaceEntry(pod.ifindex);
      this.#trail.drop(TraceStage.INTERFACE, why, DropReason.INVALID_DESTINATION, entry);
    }
    // A connection alone does not vouch for a pod's address.
    if (sender.kind === "outside" && isPodAddress(view, packet.srcIp)) {
      identifySender(this.#trail, sender);
    }
    const passage: Passage = { hook: INGRESS, pod, sender };
    const known = findConnection(this.#trail, INGRESS, pod.ifindex);
    if (known !== undefined) this.#passKnown(passage, known);
    else this.#open(passage);
  }

  /** A packet that a connection covers: by the decision of before, or by a new one when that is out of date. */
  #passKnown(passage: Passage, { value, reply }: Covering): void {
    this.#established = true;
    if (value.generation === this.#trail.view.state.evaluationGeneration) {
      this.#judge.remember(value);
      return;
    }
    const { hook, pod, sender } = passage;
    if (pod.identity === 0) noIdentity(this.#trail, "the pod has no identity");
    const podIsOrigin = (hook === EGRESS) === !reply;
    const ifindex = value.ifindex[podIsOrigin ? 1 : 0] ?? 0;
    const identity = podIsOrigin || ifindex !== 0
      ? this.#identityNow(hook)
      : sender !== undefined
      ? identifySender(this.#trail, sender)
      : value.identity[0] ?? 0;
    this.#judge.judge(endsOf(pod, podIsOrigin, { identity, ifindex }), reply);
  }

  #identityNow(hook: Hook): number {
    const { srcIp, dstIp } = this.#trail.packet;
    const { identity } = farEnd(this.#trail, hook === EGRESS ? dstIp : srcIp);
    return identity === 0 ? noIdentity(this.#trail, "nobody is there any more") : identity;
  }

  /** A packet that opens a flow, seen at the origin's hook or the destination's. */
  #open({ hook, pod, sender }: Passage): Ends {
    if (pod.identity === 0) noIdentity(this.#trail, "the pod has no identity");
    const far = sender === undefined
      ? findDestination(this.#trail)
      : { identity: identifySender(this.#trail, sender), ifindex: 0 };
    const ends = endsOf(pod, hook === EGRESS, far);
    this.#judge.judge(ends, false);
    if (this.#trail.facts.hasRoom()) return ends;
    const key = describe.connectionKeyText(connectionKey(this.#trail.packet).key);
    // Its group is told by a hash over both ports, of which one is often not known yet.
    const why =
      `CONNTRACK_MORE is full: there is no room, if the ${ConntrackGroup.CONNTRACK_WAYS} ` +
      "slots that the connection may have in CONNTRACK are taken too";
    const entry = { map: "CONNTRACK", key, value: "" };
    return this.#trail.drop(TraceStage.CONNTRACK, why, DropReason.CONNTRACK_FULL, entry);
  }

  #deliver(ifindex: number): Verdict {
    const to = describe.ipText(this.#trail.packet.dstIp);
    const text = `into pod ${to} behind ${this.#interfaceText(ifindex)}`;
    this.#trail.add(TraceStage.FORWARD, text, this.#ifaceEntry(ifindex));
    return this.#passed(TraceDelivery.POD, ifindex);
  }

  #handToHost({ kind }: Sender, isHost: boolean): Verdict {
    if (kind !== "pod") {
      const text = "neither end is a pod of this node: the datapath does not see the packet";
      this.#trail.add(TraceStage.FORWARD, text);
      return this.#passed(TraceDelivery.UNSEEN, 0);
    }
    const text = isHost
      ? "to the node's own stack, whose address it is"
      : "to the node's stack, which routes it on: its routes and firewall decide there";
    this.#trail.add(TraceStage.FORWARD, text);
    return this.#passed(isHost ? TraceDelivery.NODE : TraceDelivery.ROUTED, 0);
  }

  #passed(delivery: TraceDelivery, ifindex: number): Verdict {
    const { audited, rule } = this.#judge;
    return {
      verdict: audited ? PolicyAction.AUDIT : PolicyAction.ALLOW,
      ruleId: rule.id,
      ruleDirection: rule.direction,
      delivery,
      ifindex,
      established: this.#established,
    };
  }

  #ifaceEntry(ifindex: number): MapEntry {
    const iface = this.#trail.view.iface(ifindex);
    const value = iface === undefined ? "" : describe.ifaceText(iface);
    return { map: "POD_IFACES", key: String(ifindex), value };
  }

  #interfaceText(ifindex: number): string {
    const name = this.#trail.facts.interfaceName(ifindex) ?? "a vanished interface";
    return `${name} (ifindex ${ifindex})`;
  }
}

function endsOf(pod: PodIface, podIsOrigin: boolean, far: FarEnd): Ends {
  return podIsOrigin
    ? { identity: [pod.identity, far.identity], ifindex: [pod.ifindex, far.ifindex] }
    : { identity: [far.identity, pod.identity], ifindex: [far.ifindex, pod.ifindex] };
}
