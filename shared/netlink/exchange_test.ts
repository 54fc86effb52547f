import assert from "node:assert/strict";
import { SysError } from "../ffi/errno.ts";
import { MessageFlag, MessageType } from "./constants.ts";
import { NetlinkExchange, type NetlinkTransport } from "./exchange.ts";
import { decodeMessages, encodeMessage, type NetlinkMessage } from "./message.ts";
import { NetlinkError } from "./netlink_error.ts";

const PORT = 77;
const REQUEST = { op: "test", type: MessageType.GETLINK, payload: Uint8Array.of(1, 2, 3, 4) };

/** Answers each request with the next script: messages, given the request's number. */
class ScriptedTransport implements NetlinkTransport {
  readonly portId = PORT;
  readonly sent: NetlinkMessage[] = [];
  readonly #scripts: ((seq: number) => NetlinkMessage[])[];
  #waiting: Uint8Array[] = [];

  constructor(...scripts: ((seq: number) => NetlinkMessage[])[]) {
    this.#scripts = scripts;
  }

  send(datagram: Uint8Array): void {
    const [request] = decodeMessages(datagram);
    assert(request);
    this.sent.push(request);
    this.#waiting.push(...(this.#scripts.shift()?.(request.seq) ?? []).map(encodeMessage));
  }

  receive(): Uint8Array {
    const datagram = this.#waiting.shift();
    if (datagram === undefined) throw new SysError("recv", 11);
    return datagram;
  }
}

function message(type: number, seq: number, more: Partial<NetlinkMessage> = {}): NetlinkMessage {
  return { type, flags: 0, seq, pid: PORT, payload: new Uint8Array(4), ...more };
}

const link = (seq: number, byte: number, flags = 0) =>
  message(MessageType.NEWLINK, seq, { flags, payload: Uint8Array.of(byte, 0, 0, 0) });
const done = (seq: number, flags = 0) => message(MessageType.DONE, seq, { flags });
const ack = (seq: number) => message(MessageType.ERROR, seq, { payload: new Uint8Array(20) });

Deno.test("a change asks for an acknowledgement and ends with it", () => {
  const transport = new ScriptedTransport((seq) => [ack(seq)]);
  new NetlinkExchange(transport).change({ ...REQUEST, flags: MessageFlag.CREATE });
  const [request] = transport.sent;
  assert.equal(request?.flags, MessageFlag.REQUEST | MessageFlag.ACK | MessageFlag.CREATE);
  assert.equal(request.pid, PORT);
  assert.deepEqual(request.payload, REQUEST.payload);
});

Deno.test("answers to other requests and other sockets are passed over", () => {
  const transport = new ScriptedTransport((seq) => [
    link(seq - 1, 9),
    message(MessageType.ERROR, seq - 1, { payload: Uint8Array.of(0xff, 0xff, 0xff, 0xff) }),
    message(MessageType.DONE, seq, { pid: PORT + 1 }),
    link(seq, 1),
    done(seq),
  ]);
  const payloads = new NetlinkExchange(transport).dump(REQUEST);
  assert.deepEqual(payloads.map(([byte]) => byte), [1]);
});

for (const where of ["a message", "the end"] as const) {
  Deno.test(`a dump that is marked interrupted at ${where} is asked for again`, () => {
    const flags = MessageFlag.DUMP_INTR;
    const transport = new ScriptedTransport(
      (seq) =>
        where === "the end" ? [link(seq, 1), done(seq, flags)] : [link(seq, 1, flags), done(seq)],
      (seq) => [link(seq, 2), link(seq, 3), done(seq)],
    );
    const payloads = new NetlinkExchange(transport).dump(REQUEST);
    assert.deepEqual(payloads.map(([byte]) => byte), [2, 3]);
    assert.equal(transport.sent.length, 2);
    assert.notEqual(transport.sent[0]?.seq, transport.sent[1]?.seq);
  });
}

Deno.test("a table that never keeps still is EINTR in the end", () => {
  const script = (seq: number) => [done(seq, MessageFlag.DUMP_INTR)];
  const transport = new ScriptedTransport(...Array.from({ length: 100 }, () => script));
  assert.throws(() => new NetlinkExchange(transport).dump(REQUEST), (error) => {
    assert(error instanceof NetlinkError);
    assert.equal(error.code, "EINTR");
    return true;
  });
});

Deno.test("a dump that fails half way throws", () => {
  const transport = new ScriptedTransport((seq) => [
    link(seq, 1),
    message(MessageType.DONE, seq, { payload: Uint8Array.of(0xf4, 0xff, 0xff, 0xff) }),
  ]);
  assert.throws(() => new NetlinkExchange(transport).dump(REQUEST), { code: "ENOMEM", op: "test" });
});

Deno.test("no answer at all is the socket's error", () => {
  const exchange = new NetlinkExchange(new ScriptedTransport());
  assert.throws(() => exchange.change(REQUEST), { code: "EAGAIN" });
});
