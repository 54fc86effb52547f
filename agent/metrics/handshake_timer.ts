import { type FlowEvent, FlowEventType } from "../../shared/gen/novanet/v1/novanet_pb.ts";

const MAX_WAITING = 4096;

/** Measures TCP connections from their first packet to the first answer, for a bounded number at once. */
export class HandshakeTimer {
  readonly #started = new Map<string, bigint>();

  /** @returns seconds, when the event is the answer to a connection whose beginning was seen */
  observe(event: FlowEvent): number | undefined {
    if (event.eventType === FlowEventType.NEW && !event.isReply) {
      if (this.#started.size >= MAX_WAITING) this.#forgetOldest();
      this.#started.set(key(event, false), event.timestampNs);
      return undefined;
    }
    if (event.eventType === FlowEventType.END) {
      this.#started.delete(key(event, event.isReply));
      return undefined;
    }
    if (!event.isReply) return undefined;
    const name = key(event, true);
    const started = this.#started.get(name);
    if (started === undefined) return undefined;
    this.#started.delete(name);
    return Math.max(0, Number(event.timestampNs - started)) / 1e9;
  }

  #forgetOldest(): void {
    for (const oldest of this.#started.keys()) {
      this.#started.delete(oldest);
      return;
    }
  }
}

/** The connection's name, seen from the end that opened it. */
function key(event: FlowEvent, reply: boolean): string {
  const { srcIp, srcPort, dstIp, dstPort } = event;
  return reply
    ? `${dstIp}:${dstPort}>${srcIp}:${srcPort}`
    : `${srcIp}:${srcPort}>${dstIp}:${dstPort}`;
}
