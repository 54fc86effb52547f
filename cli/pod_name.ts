import { CliError } from "./errors.ts";
import { ExitCode } from "./exit_codes.ts";
import type { PodRef } from "./values.ts";

/** A pod's full name. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** The pod of a command's POD and -n; without a namespace in either it is "default". @throws {CliError} */
export function podName(
  { pod, namespace }: { readonly pod: PodRef; readonly namespace: string | undefined },
): PodName {
  if (pod.namespace !== undefined && namespace !== undefined && pod.namespace !== namespace) {
    const why = `the pod's namespace is ${pod.namespace}, but --namespace says ${namespace}`;
    throw new CliError(ExitCode.USAGE, why);
  }
  return { name: pod.name, namespace: pod.namespace ?? namespace ?? "default" };
}
