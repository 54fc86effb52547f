import type { RunningCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabPod } from "../../shared/testing/node.ts";
import { nativeTool } from "../lib/tools.ts";

const PORT = "7000";

/** Traffic between two pods that stay: one connection that lasts as long as the soak, and many short ones. */
export class Traffic {
  readonly #tool: string;
  readonly #from: LabPod;
  readonly #to: LabPod;
  readonly #lasting: RunningCommand;
  /** Runs of short connections that broke off. */
  readonly failures: string[] = [];

  private constructor(tool: string, from: LabPod, to: LabPod, seconds: number) {
    this.#tool = tool;
    this.#from = from;
    this.#to = to;
    this.#lasting = from.netns.start([tool, "tcp", to.ip, PORT, String(seconds)]);
  }

  /** @param seconds that the lasting connection lasts */
  static async start(from: LabPod, to: LabPod, seconds: number): Promise<Traffic> {
    const tool = await nativeTool("request_response");
    const server = to.netns.start([tool, "server", PORT]);
    await eventually(() => {
      if (server.exited) throw new Error(server.stderr);
      return server.stdout.includes("ready");
    }, { what: "request_response that serves" });
    return new Traffic(tool, from, to, seconds);
  }

  /** Opens short connections until `goOn` says no. */
  async connectOften(goOn: () => boolean): Promise<void> {
    while (goOn()) {
      const { code, stderr } = await this.#from.netns.try([
        this.#tool,
        "connect",
        this.#to.ip,
        PORT,
        "2",
      ]);
      if (code !== 0) this.failures.push(`connection: ${stderr}`);
    }
  }

  /** What broke the lasting connection; undefined when it is whole. */
  lastingFailure(): string | undefined {
    if (!this.#lasting.exited || this.#lasting.stderr === "") return undefined;
    return `the lasting connection: ${this.#lasting.stderr}`;
  }
}
