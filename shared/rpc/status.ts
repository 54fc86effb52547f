/** The status of a call as it stands in HTTP headers (gRPC over HTTP2). */
import { RpcCode, RpcError } from "./errors.ts";
import type { Header } from "./http2/hpack.ts";

/** The longest text that goes into a header. */
const MAX_MESSAGE_CHARS = 4096;

/** The headers of a status; undefined is OK. */
export function statusHeaders(error: RpcError | undefined): Header[] {
  if (error === undefined) return [["grpc-status", String(RpcCode.OK)]];
  const text = error.message.slice(0, MAX_MESSAGE_CHARS).toWellFormed();
  return [
    ["grpc-status", String(error.code)],
    ["grpc-message", text.replaceAll(/[^ -$&-~]/gu, encodeURIComponent)],
  ];
}

/** What is not validly encoded stays as it is. */
function decodedMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** How a call ended. */
export interface CallStatus {
  /** The error, unless it is OK. */
  readonly error: RpcError | undefined;
}

/** The status in headers or trailers, if there is one. */
export function statusOf(headers: ReadonlyMap<string, string>): CallStatus | undefined {
  const text = headers.get("grpc-status");
  if (text === undefined) return undefined;
  const number = Number(text);
  if (number === RpcCode.OK) return { error: undefined };
  const code = RpcCode[number] === undefined ? RpcCode.UNKNOWN : number as RpcCode;
  return { error: new RpcError(code, decodedMessage(headers.get("grpc-message") ?? "")) };
}

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** The value of a grpc-timeout header in milliseconds; undefined when there is none or it is not valid. */
export function timeoutMsOf(header: string | undefined): number | undefined {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header ?? "") ?? [];
  const unitMs = UNIT_MS[unit ?? ""];
  return unitMs === undefined ? undefined : Number(digits) * unitMs;
}

/** The grpc-timeout header for a time in milliseconds, or for three years when it is longer: at most 8 digits. */
export function timeoutHeader(timeoutMs: number): string {
  const wholeMs = Math.max(1, Math.ceil(timeoutMs));
  return wholeMs <= 99_999_999
    ? `${wholeMs}m`
    : `${Math.min(Math.ceil(wholeMs / 1000), 99_999_999)}S`;
}

/** What setTimeout takes: a longer time would be over at once. */
export function timerMs(timeoutMs: number): number {
  return Math.min(timeoutMs, 2 ** 31 - 1);
}
