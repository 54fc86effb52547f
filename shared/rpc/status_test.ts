import assert from "node:assert/strict";
import { RpcCode, RpcError } from "./errors.ts";
import { statusHeaders, statusOf, timeoutHeader, timeoutMsOf } from "./status.ts";

for (const text of ["", "plain", "100 %", "a\nb\r\0", "ü€💥", "%41", "~ -"]) {
  Deno.test(`a status passes through headers: ${JSON.stringify(text)}`, () => {
    const headers = statusHeaders(new RpcError(RpcCode.NOT_FOUND, text));
    assert(headers.every(([, value]) => /^[ -~]*$/.test(value)));
    const error = statusOf(new Map(headers))?.error;
    assert.equal(error?.code, RpcCode.NOT_FOUND);
    assert.equal(error.message, text);
  });
}

const STATUSES: readonly [string, [string, string][], RpcCode | "none" | "ok"][] = [
  ["no status", [["x", "y"]], "none"],
  ["OK", [["grpc-status", "0"]], "ok"],
  ["an unknown number", [["grpc-status", "99"]], RpcCode.UNKNOWN],
  ["no number", [["grpc-status", "x"]], RpcCode.UNKNOWN],
  ["a message that is badly encoded", [["grpc-status", "5"], ["grpc-message", "%zz"]], 5],
];

for (const [name, headers, expected] of STATUSES) {
  Deno.test(`headers with ${name}`, () => {
    const status = statusOf(new Map(headers));
    const found = status === undefined ? "none" : status.error?.code ?? "ok";
    assert.equal(found, expected);
  });
}

const TIMEOUTS: readonly [string | undefined, number | undefined][] = [
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["3S", 3000],
  ["4m", 4],
  ["5000u", 5],
  ["6000000n", 6],
  ["99999999m", 99_999_999],
  ["123456789m", undefined],
  ["m", undefined],
  ["-1m", undefined],
  ["1x", undefined],
  [undefined, undefined],
];

for (const [header, expected] of TIMEOUTS) {
  Deno.test(`grpc-timeout ${header} is ${expected} ms`, () => {
    const found = timeoutMsOf(header);
    assert.equal(found === undefined ? undefined : Math.round(found), expected);
  });
}

for (const timeoutMs of [0, 0.5, 1, 10_000, 99_999_999, 1e12]) {
  Deno.test(`a timeout of ${timeoutMs} ms passes through the header`, () => {
    const header = timeoutHeader(timeoutMs);
    assert.match(header, /^\d{1,8}[mS]$/);
    assert((timeoutMsOf(header) ?? 0) >= Math.min(timeoutMs, 99_999_999_000));
  });
}
