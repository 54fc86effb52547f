import { RpcCode, RpcError } from "../shared/rpc/errors.ts";
import { ExitCode } from "./exit_codes.ts";

/** A failure as the person sees it: one line after `Error: `, and the exit code. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The daemon on the other end of a socket. */
export interface Daemon {
  readonly name: "novanet-agent" | "novanet-dataplane";
  readonly socketPath: string;
  /** The flag that says where its socket is. */
  readonly flag: string;
}

/** Whatever was thrown as a failure; the only place where errors become exit codes. */
export function toCliError(thrown: unknown): CliError {
  if (thrown instanceof CliError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof RpcError) {
    return new CliError(exitCodeOf(thrown.code), message, { cause: thrown });
  }
  if (thrown instanceof Deno.errors.PermissionDenied) {
    return new CliError(ExitCode.PERMISSION, message, { cause: thrown });
  }
  return new CliError(ExitCode.FAILURE, message, { cause: thrown });
}

/** The failure of a call to a daemon, which says what to do when it was not reached at all. */
export function daemonError(daemon: Daemon, thrown: unknown): CliError {
  if (!(thrown instanceof RpcError)) return toCliError(thrown);
  const { name, socketPath, flag } = daemon;
  const cause = { cause: thrown };
  switch (connectFault(thrown)) {
    case "ENOENT":
    case "ECONNREFUSED": {
      const why =
        `${name} does not listen on ${socketPath}: start it, or say where it is with ${flag}`;
      return new CliError(ExitCode.UNREACHABLE, why, cause);
    }
    case "EACCES":
    case "EPERM":
    case "NotCapable":
    case "ECONNRESET":
    case "EPIPE": {
      const why = `${name} refuses this user at ${socketPath}: run novanetctl as root`;
      return new CliError(ExitCode.PERMISSION, why, cause);
    }
    default:
      return new CliError(exitCodeOf(thrown.code), `${name}: ${thrown.message}`, cause);
  }
}

/** Why a daemon was not reached, in a few words. */
export function whyUnreachable({ message, cause }: CliError): string {
  if (!(cause instanceof RpcError)) return message;
  if (cause.code === RpcCode.DEADLINE_EXCEEDED) return "no answer in time";
  switch (connectFault(cause)) {
    case "ENOENT":
      return "no such socket";
    case "ECONNREFUSED":
      return "nobody listens there";
    default:
      return cause.message;
  }
}

/** The system's name of why there is no connection, `undefined` when there was one. */
function connectFault(error: RpcError): string | undefined {
  if (error.code !== RpcCode.UNAVAILABLE) return undefined;
  const { cause } = error;
  if (!(cause instanceof Error)) return undefined;
  return String((cause as Error & { readonly code?: unknown }).code ?? cause.name);
}

function exitCodeOf(code: RpcCode): ExitCode {
  switch (code) {
    case RpcCode.UNAVAILABLE:
    case RpcCode.DEADLINE_EXCEEDED:
      return ExitCode.UNREACHABLE;
    case RpcCode.NOT_FOUND:
      return ExitCode.NOT_FOUND;
    case RpcCode.PERMISSION_DENIED:
    case RpcCode.UNAUTHENTICATED:
      return ExitCode.PERMISSION;
    default:
      return ExitCode.FAILURE;
  }
}
