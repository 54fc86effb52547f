import type { Attachment } from "./environment.ts";
import { CniCode, CniError } from "./errors.ts";
import { podOf } from "./pod.ts";

/**
 * A DEL that waits for the agent, as its file holds it. The agent reads every `*.json` of the folder,
 * deletes the pod and then the file; it does so before it serves an ADD.
 */
export interface SpooledDel {
  readonly container_id: string;
  readonly if_name: string;
  /** Path as the runtime gave it, empty when the namespace had gone. */
  readonly netns: string;
  readonly pod_name: string;
  readonly pod_namespace: string;
  /** When the DEL came, milliseconds since 1970. An ADD after it is a new attachment. */
  readonly unix_ms: number;
}

/** Name of the file of a waiting DEL: one for each attachment, so that a repeated DEL replaces it. */
export function spoolFileName(containerId: string, ifName: string): string {
  return `${containerId}@${ifName}.json`;
}

/**
 * Records a DEL, on the disk before it returns: temporary file, fsync, rename, fsync of the folder.
 * The folder is made (0700) when it is not there.
 *
 * @throws {CniError} code 5.
 */
export function spoolDel(spoolDir: string, attachment: Attachment, unixMs: number): void {
  const { containerId, ifName, netns } = attachment;
  const pod = podOf(attachment);
  const entry: SpooledDel = {
    container_id: containerId,
    if_name: ifName,
    netns,
    pod_name: pod.name,
    pod_namespace: pod.namespace,
    unix_ms: unixMs,
  };
  const name = spoolFileName(containerId, ifName);
  const temporary = `${spoolDir}/.${name}.${Deno.pid}.tmp`;
  try {
    Deno.mkdirSync(spoolDir, { recursive: true, mode: 0o700 });
    writeDurably(temporary, new TextEncoder().encode(`${JSON.stringify(entry)}\n`));
    Deno.renameSync(temporary, `${spoolDir}/${name}`);
    syncFolder(spoolDir);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `novanet-agent is down and the DEL cannot be recorded in ${spoolDir}: ${why}`;
    throw new CniError(CniCode.IO_FAILURE, message, "", { cause });
  }
}

function writeDurably(path: string, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true, mode: 0o600 });
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  file.syncSync();
}

/** Makes the rename itself durable. */
function syncFolder(path: string): void {
  using folder = Deno.openSync(path, { read: true });
  folder.syncSync();
}
