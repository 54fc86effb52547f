import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
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

/** gRPC codes as the plugin groups them; anything else is {@link CniCode.INTERNAL}. */
const CODE_OF_RPC: ReadonlyMap<RpcCode, CniCode> = new Map([
  [RpcCode.CANCELLED, CniCode.TRY_AGAIN_LATER],
  [RpcCode.INVALID_ARGUMENT, CniCode.INVALID_CONFIG],
  [RpcCode.DEADLINE_EXCEEDED, CniCode.TRY_AGAIN_LATER],
  [RpcCode.NOT_FOUND, CniCode.UNKNOWN_CONTAINER],
  [RpcCode.ALREADY_EXISTS, CniCode.ALREADY_EXISTS],
  [RpcCode.PERMISSION_DENIED, CniCode.PERMISSION],
  [RpcCode.RESOURCE_EXHAUSTED, CniCode.EXHAUSTED],
  [RpcCode.FAILED_PRECONDITION, CniCode.UNEXPECTED_STATE],
  [RpcCode.ABORTED, CniCode.TRY_AGAIN_LATER],
  [RpcCode.OUT_OF_RANGE, CniCode.INVALID_CONFIG],
  [RpcCode.UNIMPLEMENTED, CniCode.UNIMPLEMENTED],
  [RpcCode.UNAVAILABLE, CniCode.TRY_AGAIN_LATER],
  [RpcCode.UNAUTHENTICATED, CniCode.PERMISSION],
]);

/** Whatever was thrown as the error the runtime is told; the only place where gRPC codes become CNI codes. */
export function toCniError(thrown: unknown): CniError {
  if (thrown instanceof CniError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = thrown instanceof RpcError
    ? CODE_OF_RPC.get(thrown.code) ?? CniCode.INTERNAL
    : CniCode.INTERNAL;
  return new CniError(code, message, hint(code, thrown), { cause: thrown });
}

/** @returns whether nobody answered in time, so that the call may be made again as it is. */
export function isAgentDown(thrown: unknown): boolean {
  return thrown instanceof RpcError &&
    (thrown.code === RpcCode.UNAVAILABLE || thrown.code === RpcCode.DEADLINE_EXCEEDED);
}

/** The JSON of the specification for an error. `version` is that of the configuration when it was read. */
export function encodeError(error: CniError, version: string): Json {
  const json: Record<string, Json> = { cniVersion: version, code: error.code, msg: error.message };
  if (error.details !== "") json["details"] = error.details;
  return json;
}

function hint(code: CniCode, thrown: unknown): string {
  switch (code) {
    case CniCode.TRY_AGAIN_LATER:
      return retryHint(thrown);
    case CniCode.EXHAUSTED:
      return "See addresses, tables and warnings in `novanetctl status`; fewer pods, a larger pod CIDR or " +
        "larger tables of novanet-dataplane help.";
    case CniCode.PERMISSION:
      return "The agent's sockets serve root only.";
    case CniCode.UNIMPLEMENTED:
      return "Install the novanet-cni that came with the running agent: `novanet-cni install`.";
    default:
      return "";
  }
}

/** A status that the agent answered has no cause; where it was not reached, or left, the cause says how. */
function retryHint(thrown: unknown): string {
  if (thrown instanceof RpcError && thrown.code !== RpcCode.DEADLINE_EXCEEDED && !thrown.cause) {
    return `novanet-agent says: ${thrown.message}. See \`novanetctl status\`.`;
  }
  return "novanet-agent does not answer; is it running? See `novanetctl status`.";
}
