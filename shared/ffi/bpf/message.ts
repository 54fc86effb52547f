/** What libbpf and the verifier say beside an error number. */
import { SysError } from "../errno.ts";
import { shim } from "../library.ts";

const decoder = new TextDecoder();

/** Takes what libbpf wrote since the last time (warnings; the verifier's log too). */
export function takeLog(): string {
  const size = shim().nv_log_size();
  if (size === 0) return "";
  const buffer = new Uint8Array(size);
  const taken = shim().nv_log_take(buffer, size);
  return decoder.decode(buffer.subarray(0, taken)).trimEnd();
}

/** Makes libbpf tell everything it does (process-wide); takeLog() gives it. */
export function verboseLog(on: boolean): void {
  shim().nv_log_verbose(on ? 1 : 0);
}

/**
 * Passes a result of libbpf through; what libbpf wrote becomes the error's detail.
 * @throws SysError when result is negative
 */
export function checkLibbpf(op: string, result: number): number {
  if (result >= 0) {
    if (shim().nv_log_size() !== 0) takeLog();
    return result;
  }
  throw new SysError(op, -result, takeLog());
}
