/** FlowEvent from protobuf, read by hand: the counterpart of flow_writer.ts. Pure. */
import type { FlowEvent } from "../gen/novanet/v1/novanet_pb.ts";
import { TextCache } from "./text_cache.ts";

/** The bytes are no FlowEvent. */
export class FlowFormatError extends Error {
  override readonly name = "FlowFormatError";

  constructor(readonly offset: number, why: string) {
    super(`Cannot read a FlowEvent: ${why} at byte ${offset}`);
  }
}

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;
const MOST_VARINT_BYTES = 10;

const wide = new BigUint64Array(1);
const signed = new BigInt64Array(wide.buffer);
const halves = new Uint32Array(wide.buffer);

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function emptyEvent(): Mutable<FlowEvent> {
  // deno-fmt-ignore
  return {
    $typeName: "novanet.v1.FlowEvent",
    srcIp: 0, dstIp: 0, srcIdentity: 0, dstIdentity: 0, protocol: 0, srcPort: 0, dstPort: 0, verdict: 0,
    bytes: 0n, packets: 0n, timestampNs: 0n, dropReason: 0, tcpFlags: 0, ipVersion: 0, ruleId: 0, rule: "",
    srcPod: "", srcNamespace: "", dstPod: "", dstNamespace: "", direction: 0, isReply: false, lostEvents: 0n,
    eventType: 0, wallTimeUnixNs: 0n, icmpType: 0, icmpCode: 0, ruleDirection: 0,
  };
}

/** Reads events one after the other. */
export class FlowReader {
  readonly #texts = new TextCache();
  #bytes = new Uint8Array();
  #at = 0;

  /** An event, from a message without its frame. Unknown fields are passed over. @throws {FlowFormatError} */
  read(bytes: Uint8Array): FlowEvent {
    this.#bytes = bytes as Uint8Array<ArrayBuffer>;
    this.#at = 0;
    const event = emptyEvent();
    while (this.#at < bytes.length) {
      const tag = this.#number();
      this.#field(event, tag >>> 3, tag & 7);
    }
    return event;
  }

  #field(event: Mutable<FlowEvent>, field: number, wireType: number): void {
    if (field >= 101 && field <= 105 && wireType === LENGTH_DELIMITED) {
      this.#textField(event, field);
    } else if (wireType === VARINT) {
      this.#varintField(event, field);
    } else {
      this.#skip(wireType);
    }
  }

  #textField(event: Mutable<FlowEvent>, field: number): void {
    const start = this.#skip(LENGTH_DELIMITED);
    const text = this.#texts.read(this.#bytes, start, this.#at);
    switch (field) {
      case 101:
        event.rule = text;
        break;
      case 102:
        event.srcPod = text;
        break;
      case 103:
        event.srcNamespace = text;
        break;
      case 104:
        event.dstPod = text;
        break;
      case 105:
        event.dstNamespace = text;
        break;
    }
  }

  // One line for each field, as in the .proto file.
  // deno-fmt-ignore
  #varintField(event: Mutable<FlowEvent>, field: number): void {
    const value = this.#number();
    switch (field) {
      case 1: event.srcIp = value; break;
      case 2: event.dstIp = value; break;
      case 3: event.srcIdentity = value; break;
      case 4: event.dstIdentity = value; break;
      case 5: event.protocol = value; break;
      case 6: event.srcPort = value; break;
      case 7: event.dstPort = value; break;
      case 8: event.verdict = value | 0; break;
      case 9: event.bytes = wide[0]!; break;
      case 10: event.packets = wide[0]!; break;
      case 11: event.timestampNs = signed[0]!; break;
      case 12: event.dropReason = value | 0; break;
      case 13: event.tcpFlags = value; break;
      case 14: event.ipVersion = value | 0; break;
      case 100: event.ruleId = value; break;
      case 106: event.direction = value | 0; break;
      case 107: event.isReply = (halves[0]! | halves[1]!) !== 0; break;
      case 108: event.lostEvents = wide[0]!; break;
      case 109: event.eventType = value | 0; break;
      case 110: event.wallTimeUnixNs = signed[0]!; break;
      case 111: event.icmpType = value; break;
      case 112: event.icmpCode = value; break;
      case 113: event.ruleDirection = value | 0; break;
    }
  }

  /** A varint: its low 32 bits, and all of them in `halves`. */
  #number(): number {
    const bytes = this.#bytes;
    const start = this.#at;
    let [low, high] = [0, 0];
    for (let shift = 0;; shift += 7) {
      const byte = bytes[this.#at++];
      if (byte === undefined) throw new FlowFormatError(start, "a number is cut off");
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) [low, high] = [low | byte << 28, (byte & 0x7f) >>> 4];
      else if (shift < 64) high |= (byte & 0x7f) << shift - 32;
      if (byte < 0x80) break;
      if (this.#at - start >= MOST_VARINT_BYTES) {
        throw new FlowFormatError(start, "a number is too long");
      }
    }
    halves[0] = low;
    halves[1] = high;
    return low >>> 0;
  }

  /** Passes over a field's value. @returns where it starts, its length left out */
  #skip(wireType: number): number {
    const fieldAt = this.#at;
    let bytes: number;
    if (wireType === LENGTH_DELIMITED) bytes = this.#number();
    else if (wireType === FIXED_64) bytes = 8;
    else if (wireType === FIXED_32) bytes = 4;
    else throw new FlowFormatError(fieldAt, `wire type ${wireType} is unknown`);
    const start = this.#at;
    this.#at += bytes;
    if (this.#at > this.#bytes.length) throw new FlowFormatError(fieldAt, "a field is cut off");
    return start;
  }
}
