/** Errors of RPCs on both sides, and the one place where other errors become gRPC status codes. */

/** gRPC status codes (grpc.io, "Status codes and their use in gRPC"). */
export enum RpcCode {
  OK = 0,
  CANCELLED = 1,
  UNKNOWN = 2,
  INVALID_ARGUMENT = 3,
  DEADLINE_EXCEEDED = 4,
  NOT_FOUND = 5,
  ALREADY_EXISTS = 6,
  PERMISSION_DENIED = 7,
  RESOURCE_EXHAUSTED = 8,
  FAILED_PRECONDITION = 9,
  ABORTED = 10,
  OUT_OF_RANGE = 11,
  UNIMPLEMENTED = 12,
  INTERNAL = 13,
  UNAVAILABLE = 14,
  DATA_LOSS = 15,
  UNAUTHENTICATED = 16,
}

/** An RPC that failed: thrown by handlers to answer it, and by clients that got it as the answer. */
export class RpcError extends Error {
  override readonly name: string = "RpcError";

  constructor(readonly code: RpcCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** What an error class of another module implements to choose its status code: a number of {@linkcode RpcCode}. */
export interface HasRpcCode {
  readonly rpcCode: number;
}

/** `value` as it stands in a message: texts quoted, bytes as hex. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Uint8Array) return `0x${value.toHex()}`;
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  return String(value);
}

/**
 * INVALID_ARGUMENT that names the field and its value.
 * @param field as the proto spells it, with its place: `policies[3].dst_port`
 * @param why completes "FIELD VALUE ...": `must be at most 65535`
 */
export function invalidArgument(
  field: string,
  value: unknown,
  why: string,
  options?: ErrorOptions,
): RpcError {
  return new RpcError(RpcCode.INVALID_ARGUMENT, `${field} ${shown(value)}: ${why}`, options);
}

/** NOT_FOUND. @param what the thing that is not there, such as `interface "eth9"` */
export function notFound(what: string, options?: ErrorOptions): RpcError {
  return new RpcError(RpcCode.NOT_FOUND, `${what} not found`, options);
}

/** FAILED_PRECONDITION: the system is not in the state that the call needs. */
export function failedPrecondition(why: string, options?: ErrorOptions): RpcError {
  return new RpcError(RpcCode.FAILED_PRECONDITION, why, options);
}

/** RESOURCE_EXHAUSTED: a map, pool or queue is full. */
export function resourceExhausted(why: string, options?: ErrorOptions): RpcError {
  return new RpcError(RpcCode.RESOURCE_EXHAUSTED, why, options);
}

/** UNAVAILABLE: it may work when tried again. */
export function unavailable(why: string, options?: ErrorOptions): RpcError {
  return new RpcError(RpcCode.UNAVAILABLE, why, options);
}

/** UNIMPLEMENTED: the server does not do this (yet). */
export function unimplemented(what: string, options?: ErrorOptions): RpcError {
  return new RpcError(RpcCode.UNIMPLEMENTED, `${what} is not implemented`, options);
}

/** INTERNAL: something failed that should not. Pass the error below as `cause`. */
export function internal(message: string, options?: ErrorOptions): RpcError {
  return new RpcError(RpcCode.INTERNAL, message, options);
}

function isRpcCode(value: unknown): value is RpcCode {
  return typeof value === "number" && RpcCode[value] !== undefined && value !== RpcCode.OK;
}

/** The status code that an error's class chose, if it did. */
function ownCode(error: Error): RpcCode | undefined {
  const code = (error as Partial<HasRpcCode>).rpcCode;
  return isRpcCode(code) ? code : undefined;
}

/**
 * Any thrown thing as the error that answers the RPC: an RpcError as it is, an error whose class has an
 * `rpcCode` with that, an abort as CANCELLED, everything else as INTERNAL.
 */
export function toRpcError(thrown: unknown): RpcError {
  if (thrown instanceof RpcError) return thrown;
  if (!(thrown instanceof Error)) return new RpcError(RpcCode.INTERNAL, String(thrown));
  const aborted = thrown.name === "AbortError" ? RpcCode.CANCELLED : RpcCode.INTERNAL;
  return new RpcError(ownCode(thrown) ?? aborted, thrown.message, { cause: thrown });
}
