const DEFAULT_TIMEOUT_MS = 30_000;

/** What a finished command left. */
export interface CommandResult {
  /** The exit code; 128 and up after a signal. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a command. */
export interface CommandOptions {
  /** After this long it is killed with all its children; default 30 s. */
  readonly timeoutMs?: number | undefined;
  /** Added to this process's environment. */
  readonly env?: Record<string, string> | undefined;
  readonly cwd?: string | undefined;
  /** Given on standard input, which is else empty. */
  readonly stdin?: string | Uint8Array<ArrayBuffer> | undefined;
}

/** A command that failed or ran too long. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  /** What was run, and what it left. */
  readonly argv: readonly string[];
  readonly result: CommandResult;

  constructor(argv: readonly string[], result: CommandResult, why: string) {
    super(`${argv.join(" ")}: ${why}\n${result.stdout}${result.stderr}`.trimEnd());
    this.argv = argv;
    this.result = result;
  }
}

/**
 * A running command, leader of a session of its own, so that ending it ends its children. Its output is kept.
 * The owner must dispose of it.
 */
export class RunningCommand implements AsyncDisposable {
  readonly argv: readonly string[];
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<unknown>;
  #stdout = "";
  #stderr = "";
  readonly #startedMs = performance.now();
  #exited = false;

  private constructor(argv: readonly string[], child: Deno.ChildProcess) {
    this.argv = argv;
    this.pid = child.pid;
    this.#child = child;
    this.#output = Promise.all([
      collect(child.stdout, (text) => this.#stdout += text),
      collect(child.stderr, (text) => this.#stderr += text),
      child.status.then(() => this.#exited = true),
    ]);
  }

  /**
   * Starts a command.
   * @throws {Deno.errors.NotFound} when setsid(1) is not there; a missing command itself exits with 127.
   */
  static start(argv: readonly string[], options: CommandOptions = {}): RunningCommand {
    const child = new Deno.Command("setsid", {
      args: [...argv],
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    }).spawn();
    const running = new RunningCommand(argv, child);
    if (options.stdin !== undefined) void feed(child.stdin, options.stdin);
    return running;
  }

  /** What it has written to standard output so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** What it has written to standard error so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Milliseconds since its start. */
  get runningMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Whether it has ended. */
  get exited(): boolean {
    return this.#exited;
  }

  /** Sends a signal to the command alone; nothing when it has ended. */
  signal(signal: Deno.Signal): void {
    if (!this.#exited) this.#child.kill(signal);
  }

  /** Waits for its end, and until its output is read. */
  async wait(): Promise<CommandResult> {
    const { code } = await this.#child.status;
    await this.#output;
    return { code, stdout: this.#stdout, stderr: this.#stderr };
  }

  /** Kills the command and its children (SIGKILL), and waits for its end. */
  async kill(): Promise<CommandResult> {
    try {
      Deno.kill(-this.pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      // Nobody of the session is left, or setsid has not made it yet.
      if (!this.#exited) this.#killAlone();
    }
    return await this.wait();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #killAlone(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended, which #exited does not tell yet.
      if (!(error instanceof TypeError)) throw error;
    }
  }
}

/**
 * Runs a command to its end.
 * @returns what it left; the exit code is 0.
 * @throws {CommandError} when it exits with another code or runs too long.
 */
export async function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const result = await tryCommand(argv, options);
  if (result.code !== 0) throw new CommandError(argv, result, `exit code ${result.code}`);
  return result;
}

/**
 * Runs a command to its end, whatever its exit code.
 * @throws {CommandError} when it runs too long.
 */
export async function tryCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  await using running = RunningCommand.start(argv, options);
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  let timer: number | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  try {
    const result = await Promise.race([running.wait(), late]);
    if (result !== undefined) return result;
    throw new CommandError(argv, await running.kill(), `killed after ${timeoutMs} ms`);
  } finally {
    clearTimeout(timer);
  }
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void) {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
}

async function feed(stdin: WritableStream<Uint8Array>, data: string | Uint8Array<ArrayBuffer>) {
  const writer = stdin.getWriter();
  try {
    await writer.write(typeof data === "string" ? new TextEncoder().encode(data) : data);
    await writer.close();
  } catch {
    // The command did not read to the end; its exit code tells.
  }
}
