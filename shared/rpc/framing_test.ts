import assert from "node:assert/strict";
import { RpcCode, RpcError } from "./errors.ts";
import { encodeMessage, MessageDecoder } from "./framing.ts";

const MESSAGES = [new Uint8Array(), Uint8Array.of(1), new Uint8Array(1000).fill(7)];
const STREAM = Uint8Array.from(MESSAGES.flatMap((message) => [...encodeMessage(message)]));

for (const size of [1, 2, 3, 4, 5, 6, 7, 500, 2000]) {
  Deno.test(`messages that come ${size} bytes at a time are put together`, () => {
    const decoder = new MessageDecoder("answer", 1000);
    const messages: Uint8Array[] = [];
    for (let at = 0; at < STREAM.length; at += size) {
      messages.push(...decoder.push(STREAM.slice(at, at + size)));
    }
    assert.deepEqual(messages, MESSAGES);
    assert(!decoder.incomplete);
  });
}

const BAD: readonly [string, Uint8Array, RpcCode][] = [
  ["too long", encodeMessage(new Uint8Array(1001)).subarray(0, 5), RpcCode.RESOURCE_EXHAUSTED],
  ["compressed", Uint8Array.of(1, 0, 0, 0, 0), RpcCode.UNIMPLEMENTED],
];

for (const [name, bytes, code] of BAD) {
  Deno.test(`a message is refused before it is kept: ${name}`, () => {
    assert.throws(
      () => [...new MessageDecoder("request", 1000).push(bytes)],
      (error) => error instanceof RpcError && error.code === code,
    );
  });
}
