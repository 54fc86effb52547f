import { runCommand } from "../../shared/testing/command.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { type Attachment, containerIdOf, type LabNode } from "../../shared/testing/node.ts";

/** CNI's "try again later": what ADD says while the agent or the dataplane is away. */
const TRY_AGAIN = 11;
const DEL_TIMEOUT_MS = 60_000;
/** Which namespaces are gone before their DEL, as when a runtime's sandbox died. */
const EARLY_DELETE_SHARE = 0.2;

/** What happened so far. */
export interface ChurnCounts {
  added: number;
  deleted: number;
  /** ADDs that were told to try again. */
  putOff: number;
  /** ADDs that failed with anything else, and DELs that never succeeded. */
  readonly failures: string[];
}

/** Pods that come and go, many at once. */
export class Churn {
  readonly counts: ChurnCounts = { added: 0, deleted: 0, putOff: 0, failures: [] };
  readonly #node: LabNode;
  readonly #random: () => number;
  readonly #atOnce: number;
  #next = 0;
  #daemonsStable = true;

  /** @param random as Math.random; @param atOnce pods that come and go at the same time */
  constructor(node: LabNode, random: () => number, atOnce: number) {
    this.#node = node;
    this.#random = random;
    this.#atOnce = atOnce;
  }

  /** While daemons are killed a call may be cut off in the middle: then any error code of ADD is its good right. */
  set daemonsStable(stable: boolean) {
    this.#daemonsStable = stable;
  }

  /** How many pods have begun to come. */
  get begun(): number {
    return this.#next;
  }

  /** Lets pods come and go until `goOn` says no. */
  async run(goOn: () => boolean): Promise<void> {
    await Promise.all(Array.from({ length: this.#atOnce }, async () => {
      while (goOn()) await this.#onePod();
    }));
  }

  async #onePod(): Promise<void> {
    const number = this.#next++;
    const name = `nvt-${Deno.pid}-s${number}`;
    await runCommand(["ip", "netns", "add", name]);
    let present = true;
    const remove = async () => {
      if (present) await runCommand(["ip", "netns", "delete", name]);
      present = false;
    };
    try {
      const attachment: Attachment = {
        containerId: containerIdOf(name),
        netnsPath: `/run/netns/${name}`,
        podName: `pod-${number}`,
        podNamespace: number % 2 === 0 ? "even" : "odd",
      };
      await this.#add(attachment, number);
      if (this.#random() < EARLY_DELETE_SHARE) await remove();
      await this.#del(attachment);
    } finally {
      await remove();
    }
  }

  async #add(attachment: Attachment, number: number): Promise<void> {
    const labels = [{ key: "app", value: `app-${number % 7}` }];
    const { code, stdout, stderr } = await this.#node.cni("ADD", attachment, {
      args: { cni: { labels } },
      quickAttach: number % 2 === 0,
    });
    if (code === 0) {
      this.counts.added++;
    } else if (this.#isPutOff(stdout) || !this.#daemonsStable) {
      this.counts.putOff++;
    } else {
      this.counts.failures.push(`ADD: ${stdout}${stderr}`);
    }
  }

  #isPutOff(stdout: string): boolean {
    try {
      return (JSON.parse(stdout) as { code?: number }).code === TRY_AGAIN;
    } catch {
      return false;
    }
  }

  /** A runtime repeats DEL until it succeeds. */
  async #del(attachment: Attachment): Promise<void> {
    let last = "";
    try {
      await eventually(async () => {
        const { code, stdout, stderr } = await this.#node.cni("DEL", attachment);
        last = `${stdout}${stderr}`;
        return code === 0;
      }, { timeoutMs: DEL_TIMEOUT_MS, intervalMs: 200 });
      this.counts.deleted++;
    } catch {
      this.counts.failures.push(`DEL: ${last}`);
    }
  }
}
