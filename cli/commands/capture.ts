import { agentExt } from "../agent.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { Io, Sink } from "../io.ts";
import type { OptionsOf } from "../options.ts";
import { openOutput } from "../output_file.ts";
import { pcapHeader, pcapPacket } from "../pcap.ts";
import { type PodName, podName } from "../pod_name.ts";

/** `capture`: writes pcap until Ctrl-C, the limit or the pod's end. @throws {CliError} */
export async function capture(options: OptionsOf<"capture">, io: Io): Promise<void> {
  const pod = podName(options);
  const toStdout = (options.write ?? "-") === "-";
  if (toStdout && io.stdout.columns !== undefined) {
    const why = "pcap is no text for a terminal: write a file with -w FILE, or | tcpdump -n -r -";
    throw new CliError(ExitCode.USAGE, why);
  }
  const signal = io.interrupted();
  using file = toStdout ? undefined : openOutput(io, options.write, "-");
  const writer = new PcapWriter(file ?? io.stdout, options.snaplen);
  const name = `${pod.namespace}/${pod.name}`;
  if (io.stderr.columns !== undefined) {
    await io.stderr.write(`Capturing ${name}; end with Ctrl-C\n`);
  }
  try {
    await receive(options, pod, writer, signal);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
  await writer.begin();
  await io.stderr.write(`${writer.packets} packets of ${name} captured\n`);
}

async function receive(
  options: OptionsOf<"capture">,
  pod: PodName,
  writer: PcapWriter,
  signal: AbortSignal,
): Promise<void> {
  using agent = agentExt(options);
  const request = { ...pod, snaplen: options.snaplen, maxPackets: BigInt(options.limit ?? 0) };
  for await (const packet of agent.capturePod(request, { signal })) {
    await writer.write(pcapPacket(packet));
    if (writer.packets === options.limit) return;
  }
}

/** Writes the header before the first packet: a pod that is not there leaves no file. */
class PcapWriter {
  packets = 0;
  readonly #sink: Sink;
  readonly #snaplen: number;
  #begun = false;

  constructor(sink: Sink, snaplen: number) {
    this.#sink = sink;
    this.#snaplen = snaplen;
  }

  async begin(): Promise<void> {
    if (this.#begun) return;
    this.#begun = true;
    await this.#sink.write(pcapHeader(this.#snaplen));
  }

  async write(packet: Uint8Array): Promise<void> {
    await this.begin();
    await this.#sink.write(packet);
    this.packets++;
  }
}
