import type { Json } from "./json.ts";

/** Codes of the CNI specification 1.1.0 ("Error"), and ours from 100 up. */
export const CniCode = {
  INCOMPATIBLE_VERSION: 1,
  UNSUPPORTED_FIELD: 2,
  UNKNOWN_CONTAINER: 3,
  INVALID_ENVIRONMENT: 4,
  IO_FAILURE: 5,
  DECODING_FAILURE: 6,
  INVALID_CONFIG: 7,
  TRY_AGAIN_LATER: 11,
  /** STATUS: ADD can't be served. */
  NOT_AVAILABLE: 50,
  /** STATUS: ADD can't be served, and pods that exist may have lost connectivity. */
  NOT_AVAILABLE_DEGRADED: 51,
  /** The agent failed in a way it did not expect; its log says more. */
  INTERNAL: 100,
  /** No free address, or another of the node's resources is used up. */
  EXHAUSTED: 101,
  /** The kernel, or the agent's state, is not what the operation needs: what CHECK reports. */
  UNEXPECTED_STATE: 102,
  /** The agent refused this user: its socket serves root only. */
  PERMISSION: 103,
  /** The address asked for, or the interface, belongs to another pod. */
  ALREADY_EXISTS: 104,
  /** The agent is older than this plugin and does not know the operation. */
  UNIMPLEMENTED: 105,
} as const;

/** One of {@link CniCode}. */
export type CniCode = typeof CniCode[keyof typeof CniCode];

/** An error that becomes the JSON a runtime reads. */
export class CniError extends Error {
  override readonly name = "CniError";
  /** Number in the JSON. */
  readonly code: CniCode;
  /** What a person needs to know beyond the message; empty when nothing. */
  readonly details: string;

  constructor(code: CniCode, message: string, details = "", options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/** gRPC numbers as the plugin groups them; anything else is {@link CniCode.INTERNAL}. */
const CODE_OF_GRPC: ReadonlyMap<number, CniCode> = new Map([
  [1, /* CANCELLED */ CniCode.TRY_AGAIN_LATER],
  [3, /* INVALID_ARGUMENT */ CniCode.INVALID_CONFIG],
  [4, /* DEADLINE_EXCEEDED */ CniCode.TRY_AGAIN_LATER],
  [5, /* NOT_FOUND */ CniCode.UNKNOWN_CONTAINER],
  [6, /* ALREADY_EXISTS */ CniCode.ALREADY_EXISTS],
  [7, /* PERMISSION_DENIED */ CniCode.PERMISSION],
  [8, /* RESOURCE_EXHAUSTED */ CniCode.EXHAUSTED],
  [9, /* FAILED_PRECONDITION */ CniCode.UNEXPECTED_STATE],
  [10, /* ABORTED */ CniCode.TRY_AGAIN_LATER],
  [11, /* OUT_OF_RANGE */ CniCode.INVALID_CONFIG],
  [12, /* UNIMPLEMENTED */ CniCode.UNIMPLEMENTED],
  [14, /* UNAVAILABLE */ CniCode.TRY_AGAIN_LATER],
  [16, /* UNAUTHENTICATED */ CniCode.PERMISSION],
]);

/**
 * Whatever was thrown as the error the runtime is told; the only place where gRPC codes become CNI codes.
 * An error with a gRPC code is known by its name, AgentError: its class would load HTTP/2 for operations that make no call.
 */
export function toCniError(thrown: unknown): CniError {
  if (thrown instanceof CniError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const grpc = grpcCode(thrown);
  if (grpc === undefined) return new CniError(CniCode.INTERNAL, message, "", { cause: thrown });
  const code = CODE_OF_GRPC.get(grpc) ?? CniCode.INTERNAL;
  return new CniError(code, message, hint(code), { cause: thrown });
}

/** @returns the gRPC number an AgentError carries, undefined for other errors. */
export function grpcCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || thrown.name !== "AgentError") return undefined;
  const code = (thrown as Error & { readonly code?: unknown }).code;
  return typeof code === "number" ? code : undefined;
}

/** @returns whether nobody answered in time, so that the call may be made again as it is. */
export function isAgentDown(thrown: unknown): boolean {
  const code = grpcCode(thrown);
  return code === 14 || code === 4;
}

/** The JSON of the specification for an error. `version` is that of the configuration when it was read. */
export function encodeError(error: CniError, version: string): Json {
  const json: Record<string, Json> = { cniVersion: version, code: error.code, msg: error.message };
  if (error.details !== "") json["details"] = error.details;
  return json;
}

function hint(code: CniCode): string {
  switch (code) {
    case CniCode.TRY_AGAIN_LATER:
      return "novanet-agent does not answer; is it running, and is its dataplane? See `novanetctl status`.";
    case CniCode.EXHAUSTED:
      return "See addresses in `novanetctl status`; a larger pod CIDR or fewer pods help.";
    case CniCode.PERMISSION:
      return "The agent's sockets serve root only.";
    case CniCode.UNIMPLEMENTED:
      return "Install the novanet-cni that came with the running agent: `novanet-cni install`.";
    default:
      return "";
  }
}
