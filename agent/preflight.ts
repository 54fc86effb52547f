import { dirname } from "node:path";
import { effectiveCapabilities } from "../shared/ffi/sys.ts";

/** Bits of linux/capability.h, and what the agent needs them for. */
const CAPABILITIES: readonly (readonly [bit: number, name: string, use: string])[] = [
  [12, "CAP_NET_ADMIN", "interfaces and routes"],
  [21, "CAP_SYS_ADMIN", "pods' network namespaces"],
];

/** The process may not do what an agent does. */
export class PreflightError extends Error {
  override readonly name = "PreflightError";

  /** @param problems what is missing, one phrase each */
  constructor(readonly problems: readonly string[]) {
    super(`Cannot start: ${problems.join("; ")} (the agent runs as root)`);
  }
}

/** What the agent writes to. */
export interface NeededPaths {
  readonly stateDir: string;
  /** Sockets by configuration key. */
  readonly sockets: Readonly<Record<string, string>>;
}

/**
 * Looks before anything is touched whether this process may do what an agent does.
 * @param capabilities the effective set
 * @throws {PreflightError} that names all that is missing
 */
export function preflight(paths: NeededPaths, capabilities = effectiveCapabilities()): void {
  const problems = [
    ...missingCapabilities(capabilities),
    ...unwritable("state_dir", paths.stateDir, paths.stateDir),
    ...Object.entries(paths.sockets)
      .flatMap(([key, path]) => unwritable(key, path, dirname(path))),
  ];
  if (problems.length > 0) throw new PreflightError(problems);
}

/** Capabilities that are not in a set, and what for they are needed, one phrase each. */
export function missingCapabilities(set = effectiveCapabilities()): string[] {
  return CAPABILITIES.filter(([bit]) => (set >> BigInt(bit) & 1n) === 0n)
    .map(([, name, use]) => `capability ${name} is missing (${use})`);
}

/** Tries it: modes, mounts and security modules all have a say. */
function unwritable(key: string, path: string, folder: string): string[] {
  const probe = `${folder}/.novanet-preflight-${Deno.pid}`;
  try {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o750 });
    Deno.writeTextFileSync(probe, "", { mode: 0o600 });
    Deno.removeSync(probe);
    return [];
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/: .* '.*'$/, "") : String(error);
    return [`${key} ${path}: cannot write in ${folder}: ${why}`];
  }
}
