/** Where output goes. */
export interface Sink {
  /** Columns of the terminal; `undefined` when it is none. */
  readonly columns: number | undefined;
  /** @throws Deno.errors.BrokenPipe when the reader has gone. */
  write(data: string | Uint8Array): Promise<void>;
}

/** A file under construction. */
export interface FileSink extends Sink, Disposable {}

/** Everything a command touches beside the daemons, so that tests need no terminal. */
export interface Io {
  /** Data. */
  readonly stdout: Sink;
  /** Notes and errors. */
  readonly stderr: Sink;
  getEnv(name: string): string | undefined;
  now(): Date;
  /** Aborted by Ctrl-C or SIGTERM, which no longer end the process once this was called. */
  interrupted(): AbortSignal;
  /**
   * Opens a file for writing, 0600, that must not exist yet unless `replace`. What it held stays until the first write;
   * without one, a file that was made now goes again.
   */
  createFile(path: string, replace: boolean): FileSink;
  /** Comes back after some time, or at once when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The terminal or pipe the process was started with. */
export function processIo(): Io {
  return {
    stdout: streamSink(Deno.stdout),
    stderr: streamSink(Deno.stderr),
    getEnv: (name) => Deno.env.get(name),
    now: () => new Date(),
    interrupted,
    createFile,
    sleep,
  };
}

function streamSink(stream: typeof Deno.stdout): Sink {
  const columns = stream.isTerminal() ? terminalColumns() : undefined;
  return { columns, write: (data) => writeAll(stream, data) };
}

function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80;
  }
}

async function writeAll(
  writer: { write(bytes: Uint8Array): Promise<number> },
  data: string | Uint8Array,
): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  for (let done = 0; done < bytes.length;) done += await writer.write(bytes.subarray(done));
}

let interruption: AbortController | undefined;

function interrupted(): AbortSignal {
  if (interruption === undefined) {
    const controller = interruption = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => controller.abort());
    }
  }
  return interruption.signal;
}

function createFile(path: string, replace: boolean): FileSink {
  const { file, isNew } = openFile(path, replace);
  let written = false;
  return {
    columns: undefined,
    write: (data) => {
      // A pipe or a device has nothing to cut.
      if (!written && !isNew && file.statSync().isFile) file.truncateSync(0);
      written = true;
      return writeAll(file, data);
    },
    [Symbol.dispose]: () => {
      file.close();
      if (isNew && !written) Deno.removeSync(path);
    },
  };
}

function openFile(path: string, replace: boolean): { file: Deno.FsFile; isNew: boolean } {
  const options = { write: true, mode: 0o600 };
  try {
    return { file: Deno.openSync(path, { ...options, createNew: true }), isNew: true };
  } catch (thrown) {
    if (!replace || !(thrown instanceof Deno.errors.AlreadyExists)) throw thrown;
    return { file: Deno.openSync(path, { ...options, create: true }), isNew: false };
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
