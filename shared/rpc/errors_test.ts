import assert from "node:assert/strict";
import {
  internal,
  invalidArgument,
  notFound,
  RpcCode,
  RpcError,
  toRpcError,
  unimplemented,
} from "./errors.ts";

const MESSAGES: readonly [RpcError, RpcCode, string][] = [
  [invalidArgument("ip", 0, "must be set"), RpcCode.INVALID_ARGUMENT, "ip 0: must be set"],
  [invalidArgument("name", 'a"b', "is bad"), RpcCode.INVALID_ARGUMENT, 'name "a\\"b": is bad'],
  [
    invalidArgument("mac", Uint8Array.of(1, 255), "must be 6 bytes"),
    RpcCode.INVALID_ARGUMENT,
    "mac 0x01ff: must be 6 bytes",
  ],
  [
    invalidArgument("ips", ["a", 1n], "are too many"),
    RpcCode.INVALID_ARGUMENT,
    'ips ["a", 1]: are too many',
  ],
  [notFound('interface "eth9"'), RpcCode.NOT_FOUND, 'interface "eth9" not found'],
  [unimplemented("UpsertTunnel"), RpcCode.UNIMPLEMENTED, "UpsertTunnel is not implemented"],
];

for (const [error, code, message] of MESSAGES) {
  Deno.test(`error: ${message}`, () => {
    assert.equal(error.code, code);
    assert.equal(error.message, message);
  });
}

class OwnError extends Error {
  readonly rpcCode: number;
  constructor(rpcCode: number) {
    super("own");
    this.rpcCode = rpcCode;
  }
}

const THROWN: readonly [string, unknown, RpcCode][] = [
  ["an RpcError", internal("x"), RpcCode.INTERNAL],
  ["a class that chose its code", new OwnError(RpcCode.NOT_FOUND), RpcCode.NOT_FOUND],
  ["a class that chose OK", new OwnError(0), RpcCode.INTERNAL],
  ["a class that chose no code", new OwnError(99), RpcCode.INTERNAL],
  ["an abort", new DOMException("x", "AbortError"), RpcCode.CANCELLED],
  ["any error", new RangeError("x"), RpcCode.INTERNAL],
  ["a text", "x", RpcCode.INTERNAL],
  ["nothing", undefined, RpcCode.INTERNAL],
];

for (const [name, thrown, code] of THROWN) {
  Deno.test(`what is thrown becomes a status: ${name}`, () => {
    const error = toRpcError(thrown);
    assert.equal(RpcCode[error.code], RpcCode[code]);
    if (thrown instanceof RpcError) assert.equal(error, thrown);
    else if (thrown instanceof Error) assert.equal(error.cause, thrown);
  });
}
