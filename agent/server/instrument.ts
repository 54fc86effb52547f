import { RpcCode, toRpcError } from "../../shared/rpc/errors.ts";

/** Told of every unary RPC that ended. */
export type RpcObserver = (method: string, code: string, seconds: number) => void;

/**
 * Measures a service's unary methods; streams pass through unmeasured, since they last as long as their
 * client wishes.
 */
export function instrument<T extends object>(impl: T, observe: RpcObserver): T {
  const measured: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(impl)) {
    measured[name] = (...args: unknown[]) => {
      const started = performance.now();
      const done = (code: RpcCode) =>
        observe(
          name[0]?.toUpperCase() + name.slice(1),
          RpcCode[code] ?? "UNKNOWN",
          (performance.now() - started) / 1000,
        );
      return measure(() => method(...args), done);
    };
  }
  return measured as T;
}

function measure(call: () => unknown, done: (code: RpcCode) => void): unknown {
  try {
    const result = call();
    if (isStream(result)) return result;
    return Promise.resolve(result).then((value) => {
      done(RpcCode.OK);
      return value;
    }, (error) => {
      done(toRpcError(error).code);
      throw error;
    });
  } catch (error) {
    done(toRpcError(error).code);
    throw error;
  }
}

function isStream(value: unknown): boolean {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
