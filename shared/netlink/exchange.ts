import { type Ack, decodeDoneMessage, decodeErrorMessage } from "./ack.ts";
import { MessageFlag, MessageType } from "./constants.ts";
import { decodeMessages, encodeMessage, type NetlinkMessage } from "./message.ts";
import { NetlinkError } from "./netlink_error.ts";

const EINTR = 4;
const MAX_DUMP_ATTEMPTS = 16;

/** Carries datagrams to the kernel and back. */
export interface NetlinkTransport {
  /** The socket's netlink port: answers to it carry this number. */
  readonly portId: number;
  /** @throws {SysError} */
  send(datagram: Uint8Array): void;
  /**
   * @returns the next datagram that the kernel sent; valid until the next call.
   * @throws {SysError} EAGAIN when there is none.
   */
  receive(): Uint8Array;
}

/** What to ask of the kernel. */
export interface NetlinkRequest {
  /** The operation and its object, for errors. */
  readonly op: string;
  /** RTM_*. */
  readonly type: number;
  /** NLM_F_* beside REQUEST. */
  readonly flags?: number;
  readonly payload: Uint8Array;
}

interface Outgoing {
  readonly seq: number;
  readonly datagram: Uint8Array;
}

interface Answer {
  readonly payloads: Uint8Array[];
  readonly interrupted: boolean;
}

/** Requests and their answers over one socket, one at a time; the kernel answers within the call. */
export class NetlinkExchange {
  readonly #transport: NetlinkTransport;
  #seq = 0;

  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  /**
   * Asks for a change, and waits until it is made.
   * @throws {NetlinkError} when the kernel refuses.
   */
  change(request: NetlinkRequest): void {
    this.#ask(request, MessageFlag.ACK);
  }

  /**
   * Asks for a change that takes long, without holding up other work. Nothing else may be asked over this socket
   * until the promise is settled.
   * @param send sends the datagram and waits until the kernel has dealt with it.
   * @throws {NetlinkError} when the kernel refuses.
   */
  async changeAsync(
    request: NetlinkRequest,
    send: (datagram: Uint8Array) => Promise<unknown>,
  ): Promise<void> {
    const { seq, datagram } = this.#encode(request, MessageFlag.ACK);
    await send(datagram);
    this.#collect(request, seq);
  }

  /**
   * As changeAsync, for several changes in one datagram: the kernel makes them one after the other, and goes on after
   * one that it refuses.
   * @returns what it refused, by the number of the request.
   */
  async changeAllAsync(
    requests: readonly NetlinkRequest[],
    send: (datagram: Uint8Array) => Promise<unknown>,
  ): Promise<Map<number, NetlinkError>> {
    const outgoing = requests.map((request) => this.#encode(request, MessageFlag.ACK));
    await send(concatenate(outgoing.map(({ datagram }) => datagram)));
    return this.#verdicts(requests, outgoing.map(({ seq }) => seq));
  }

  /**
   * Asks for one object.
   * @returns its payload, the caller's own; undefined when the kernel acknowledged without sending one.
   * @throws {NetlinkError} when the kernel refuses.
   */
  get(request: NetlinkRequest): Uint8Array | undefined {
    return this.#ask(request, MessageFlag.ACK).payloads[0];
  }

  /**
   * Asks for a whole table. The kernel says when the table changed in between; then it is asked again.
   * @returns the payloads, the caller's own.
   * @throws {NetlinkError} when the kernel refuses; EINTR when the table never kept still.
   */
  dump(request: NetlinkRequest): Uint8Array[] {
    for (let attempt = 0; attempt < MAX_DUMP_ATTEMPTS; attempt++) {
      const { payloads, interrupted } = this.#ask(request, MessageFlag.DUMP);
      if (!interrupted) return payloads;
    }
    throw new NetlinkError(request.op, EINTR, "the table kept changing while it was listed");
  }

  #ask(request: NetlinkRequest, flags: number): Answer {
    const { seq, datagram } = this.#encode(request, flags);
    this.#transport.send(datagram);
    return this.#collect(request, seq);
  }

  #collect(request: NetlinkRequest, seq: number): Answer {
    const payloads: Uint8Array[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of decodeMessages(this.#transport.receive())) {
        if (!this.#answers(message, seq)) continue;
        if ((message.flags & MessageFlag.DUMP_INTR) !== 0) interrupted = true;
        const ack = endOf(message);
        if (ack === undefined) payloads.push(message.payload.slice());
        else if (ack.errno === 0) return { payloads, interrupted };
        else throw new NetlinkError(request.op, ack.errno, ack.kernelMessage);
      }
    }
  }

  /** Answers of several requests come in the order of the requests, any number in one datagram. */
  #verdicts(
    requests: readonly NetlinkRequest[],
    seqs: readonly number[],
  ): Map<number, NetlinkError> {
    const refused = new Map<number, NetlinkError>();
    const pending = new Map(seqs.map((seq, number) => [seq, number]));
    while (pending.size > 0) {
      for (const message of decodeMessages(this.#transport.receive())) {
        const number = pending.get(message.seq);
        const ack = endOf(message);
        if (number === undefined || ack === undefined) continue;
        pending.delete(message.seq);
        const op = requests[number]?.op ?? "";
        if (ack.errno !== 0) {
          refused.set(number, new NetlinkError(op, ack.errno, ack.kernelMessage));
        }
      }
    }
    return refused;
  }

  #encode({ type, flags = 0, payload }: NetlinkRequest, more: number): Outgoing {
    this.#seq = (this.#seq + 1) >>> 0;
    const allFlags = MessageFlag.REQUEST | flags | more;
    const header = { type, flags: allFlags, seq: this.#seq, pid: this.#transport.portId };
    return { seq: this.#seq, datagram: encodeMessage({ ...header, payload }) };
  }

  /** Leftovers of a request that ended early carry its number and are passed over. */
  #answers(message: NetlinkMessage, seq: number): boolean {
    return message.seq === seq && message.pid === this.#transport.portId;
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** @returns the verdict when this message is the last of an answer. */
function endOf(message: NetlinkMessage): Ack | undefined {
  if (message.type === MessageType.ERROR) return decodeErrorMessage(message);
  if (message.type === MessageType.DONE) return decodeDoneMessage(message);
  return undefined;
}
