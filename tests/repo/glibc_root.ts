import { join } from "node:path";
import { ROOT } from "../../tools/build/command.ts";
import type { ExecutableName } from "../../tools/permissions.ts";
import { targetOf } from "../../tools/build/target.ts";

/** An executable of dist/ in a root that holds nothing but glibc. */
export class GlibcRoot implements AsyncDisposable {
  /** The folder that the root is mounted on, in the executable's mount namespace. */
  readonly #folder: string;
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<Deno.CommandOutput>;
  #ended = false;

  /** Starts an executable; dispose ends it. */
  constructor(
    executable: ExecutableName,
    args: readonly string[],
    options: { env?: Record<string, string> } = {},
  ) {
    this.#folder = Deno.makeTempDirSync({ prefix: "nvt-root-" });
    this.#child = new Deno.Command("unshare", {
      // deno-fmt-ignore
      args: [
        "--mount", "--net", "--propagation", "private", "sh", join(ROOT, "tests/repo/glibc_root.sh"),
        this.#folder, join(ROOT, targetOf().dist, executable), ...args,
      ],
      clearEnv: true,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#output = this.#child.output();
    this.#output.then(() => this.#ended = true);
  }

  /** Has it ended by itself? */
  get ended(): boolean {
    return this.#ended;
  }

  /** A path inside, as this process reaches it while the executable runs. */
  path(inside: string): string {
    return `/proc/${this.#child.pid}/root${inside}`;
  }

  /** Asks it to end. */
  stop(): void {
    if (!this.#ended) this.#child.kill("SIGTERM");
  }

  /** Waits for its end. */
  async result(): Promise<{ code: number; stdout: string; stderr: string }> {
    const { code, stdout, stderr } = await this.#output;
    const text = new TextDecoder();
    return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGKILL");
    await this.#output;
    Deno.removeSync(this.#folder);
  }
}
