import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";
import { versionLine } from "../../shared/version.ts";
import { agentDaemon, agentExt } from "../agent.ts";
import { CliError, type Daemon, daemonError } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { Io } from "../io.ts";
import { toJson } from "../json.ts";
import { messageJson } from "../message_json.ts";
import { openOutput } from "../output_file.ts";
import { type GlobalOptions, type OptionsOf, PROGRAM } from "../options.ts";
import { tar, type TarFile } from "../tar.ts";

/** The most a sysdump holds before it is packed. */
const MAX_BYTES = 256 << 20;

/** `sysdump`: writes a tar.gz. A daemon that is down leaves a note in it. @throws {CliError} when both are. */
export async function sysdump(options: OptionsOf<"sysdump">, io: Io): Promise<void> {
  const toStdout = options.write === "-";
  if (toStdout && io.stdout.columns !== undefined) {
    throw new CliError(ExitCode.USAGE, "a tar.gz is no text for a terminal: leave -w - out");
  }
  const now = io.now();
  const stamp = now.toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "");
  const folder = `novanet-sysdump-${stamp}`;
  const path = options.write ?? `${folder}.tar.gz`;
  using file = toStdout ? undefined : openOutput(io, options.write, path);
  const { files, faults } = await collect(options);
  const packed = await gzip(tar(files.map((file) => inFolder(folder, file)), now));
  await (file ?? io.stdout).write(packed);
  for (const fault of faults) await io.stderr.write(`Note: ${fault.message}\n`);
  if (!toStdout) await io.stdout.write(`${path}\n`);
}

async function collect(options: GlobalOptions): Promise<{ files: TarFile[]; faults: CliError[] }> {
  const dataplane: Daemon = {
    name: "novanet-dataplane",
    socketPath: options.dataplaneSocket,
    flag: "--dataplane-socket",
  };
  const parts = await Promise.allSettled([
    agentFiles(options).catch((thrown) => {
      throw daemonError(agentDaemon(options), thrown);
    }),
    dataplaneFiles(options).catch((thrown) => {
      throw daemonError(dataplane, thrown);
    }),
  ]);
  const faults = parts.flatMap((part) =>
    part.status === "rejected" ? [part.reason as CliError] : []
  );
  const files = parts.flatMap((part) => part.status === "fulfilled" ? part.value : []);
  const [first] = faults;
  if (first !== undefined && files.length === 0) throw first;
  const notes = [versionLine(PROGRAM), ...faults.map(({ message }) => message)];
  return { files: [textFile("novanetctl.txt", notes.join("\n")), ...files], faults };
}

/** What the agent collects, under the names it gives; a file may come in several parts. */
async function agentFiles(options: GlobalOptions): Promise<TarFile[]> {
  using agent = agentExt(options);
  const parts = new Map<string, Uint8Array[]>();
  let total = 0;
  for await (const { name, data } of agent.getSysdump({})) {
    total += data.length;
    if (total > MAX_BYTES) {
      throw new CliError(ExitCode.FAILURE, "the sysdump is larger than 256 MiB");
    }
    parts.set(safeName(name), [...parts.get(name) ?? [], data]);
  }
  return await Promise.all(
    [...parts].map(async ([name, list]) => ({ name, data: await joined(list) })),
  );
}

async function dataplaneFiles(options: GlobalOptions): Promise<TarFile[]> {
  using client = createRpcClient(DataplaneControl, { socketPath: options.dataplaneSocket });
  const method = DataplaneControl.method.getDataplaneStatus;
  const status = await client.getDataplaneStatus({});
  return [textFile("novanet-dataplane.json", toJson(messageJson(method.output, status), 2))];
}

/** A name from the agent must not lead out of the archive's folder. */
function safeName(name: string): string {
  const steps = name.split("/");
  if (!steps.includes("..") && !steps.includes("") && !/\p{Cc}/u.test(name)) return name;
  const why = `novanet-agent sent a file with the name ${JSON.stringify(name)}`;
  throw new CliError(ExitCode.FAILURE, why);
}

function inFolder(folder: string, { name, data }: TarFile): TarFile {
  return { name: `${folder}/${name}`, data };
}

function textFile(name: string, text: string): TarFile {
  return { name, data: new TextEncoder().encode(`${text}\n`) };
}

async function joined(parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return await new Blob(parts.map((part) => part.slice())).bytes();
}

async function gzip(blob: Blob): Promise<Uint8Array> {
  return await new Response(blob.stream().pipeThrough(new CompressionStream("gzip"))).bytes();
}
