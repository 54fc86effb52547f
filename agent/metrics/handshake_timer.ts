import { type FlowEvent, FlowEventType } from "../../shared/gen/novanet/v1/novanet_pb.ts";

/** Connections whose answer is awaited; of two that come to the same slot the younger one stays. */
export const SLOTS = 4096;
/** Of a connection: the opener's address, the other one's, both ports. */
const WORDS = 3;

/** Measures TCP connections from their first packet to the first answer, for a bounded number at once. */
export class HandshakeTimer {
  readonly #ends = new Uint32Array(SLOTS * WORDS);
  /** When each began; 0 where nothing is awaited. */
  readonly #started = new BigInt64Array(SLOTS);

  /** @returns seconds, when the event is the answer to a connection whose beginning was seen */
  observe(event: FlowEvent): number | undefined {
    const { srcIp, dstIp, srcPort, dstPort, isReply } = event;
    const slot = isReply
      ? slotOf(dstIp, srcIp, dstPort, srcPort)
      : slotOf(srcIp, dstIp, srcPort, dstPort);
    if (event.eventType === FlowEventType.NEW && !isReply) {
      this.#ends.set([srcIp, dstIp, portsOf(srcPort, dstPort)], slot * WORDS);
      this.#started[slot] = event.timestampNs;
      return undefined;
    }
    const ended = event.eventType === FlowEventType.END;
    if ((!isReply && !ended) || !this.#isAwaited(event, slot)) return undefined;
    const started = this.#started[slot]!;
    this.#started[slot] = 0n;
    return ended ? undefined : Math.max(0, Number(event.timestampNs - started)) / 1e9;
  }

  #isAwaited({ srcIp, dstIp, srcPort, dstPort, isReply }: FlowEvent, slot: number): boolean {
    if (this.#started[slot] === 0n) return false;
    const at = slot * WORDS;
    const [opener, other] = isReply ? [dstIp, srcIp] : [srcIp, dstIp];
    const ports = isReply ? portsOf(dstPort, srcPort) : portsOf(srcPort, dstPort);
    return this.#ends[at] === opener && this.#ends[at + 1] === other &&
      this.#ends[at + 2] === ports;
  }
}

function portsOf(opener: number, other: number): number {
  return (opener << 16 | other) >>> 0;
}

function slotOf(opener: number, other: number, openerPort: number, otherPort: number): number {
  const mixed = Math.imul(opener, 0x9e3779b1) ^ Math.imul(other, 0x85ebca6b) ^
    Math.imul(portsOf(openerPort, otherPort), 0xc2b2ae35);
  return (mixed ^ mixed >>> 15) & (SLOTS - 1);
}
