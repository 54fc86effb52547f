import { FlowReader } from "../../shared/flows/flow_reader.ts";
import { DataplaneControl, type FlowEvent } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { RpcCode, type RpcError, toRpcError, unavailable } from "../../shared/rpc/errors.ts";
import { closeCalls, type DataplaneCalls, openCalls } from "./calls.ts";
import { waitForFileEvent } from "./file_event.ts";

const log = getLogger("agent/dataplane");
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2000;
const PROBE_TIMEOUT_MS = 2000;

/** What happens on the connection. */
export interface DataplaneEvents {
  /**
   * The dataplane answers, for the first time or again: makes it know what the agent knows. Others'
   * calls wait until this is done; when it throws, the connection is tried again.
   */
  onConnected(calls: DataplaneCalls): Promise<void>;
  /** A flow event came. */
  onFlow(event: FlowEvent): void;
  /** The dataplane is gone. */
  onDisconnected(): void;
}

/** Options of {@linkcode DataplaneLink}. */
export interface DataplaneLinkOptions {
  readonly socketPath: string;
  /** How long a call waits for a dataplane that restarts, in milliseconds. Default 5000. */
  readonly waitMs?: number;
}

/**
 * The connection to the dataplane. One flow subscription stays open; its end is how the agent notices
 * that the dataplane went, and the socket's return how it notices that it came back.
 */
export class DataplaneLink implements AsyncDisposable {
  readonly #options: Required<DataplaneLinkOptions>;
  readonly #events: DataplaneEvents;
  readonly #stop = new AbortController();
  #calls: DataplaneCalls | undefined;
  #everConnected = false;
  readonly #waiters = new Set<() => void>();
  #loop: Promise<void> | undefined;

  constructor(options: DataplaneLinkOptions, events: DataplaneEvents) {
    this.#options = { waitMs: 5000, ...options };
    this.#events = events;
  }

  /** Whether the dataplane answers and knows all that the agent knows. */
  get connected(): boolean {
    return this.#calls !== undefined;
  }

  /** Whether it has been so since this process began. */
  get everConnected(): boolean {
    return this.#everConnected;
  }

  /** Connects, and stays so until disposed. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#release();
    await this.#loop;
  }

  /**
   * Runs calls against the dataplane; one that restarts meanwhile is waited for, and `work` runs again,
   * so it must be safe to repeat.
   * @throws {RpcError} UNAVAILABLE when it does not come back in time; what `work` throws
   */
  async call<T>(work: (calls: DataplaneCalls) => Promise<T>): Promise<T> {
    const deadline = Date.now() + this.#options.waitMs;
    for (;;) {
      const calls = await this.#ready(deadline);
      try {
        return await work(calls);
      } catch (error) {
        if (toRpcError(error).code !== RpcCode.UNAVAILABLE || Date.now() >= deadline) throw error;
        // The stream's end, which comes at once, takes the calls away; if it does not, this gives up.
        await this.#changed(calls, deadline);
      }
    }
  }

  /**
   * Runs calls without waiting for a dataplane that is away.
   * @throws {RpcError} UNAVAILABLE when it is; what `work` throws
   */
  async callNow<T>(work: (calls: DataplaneCalls) => Promise<T>): Promise<T> {
    if (this.#calls === undefined) throw this.#away();
    return await work(this.#calls);
  }

  /** Runs calls if the dataplane is there now; does nothing when it is not. */
  async callIfConnected(work: (calls: DataplaneCalls) => Promise<unknown>): Promise<void> {
    if (this.#calls === undefined) return;
    try {
      await work(this.#calls);
    } catch (error) {
      if (toRpcError(error).code !== RpcCode.UNAVAILABLE) throw error;
    }
  }

  async #ready(deadline: number): Promise<DataplaneCalls> {
    while (this.#calls === undefined) {
      if (this.#stop.signal.aborted || !await this.#wait(deadline)) {
        throw this.#away();
      }
    }
    return this.#calls;
  }

  #away(): RpcError {
    return unavailable(`the dataplane does not answer on ${this.#options.socketPath}`);
  }

  async #changed(calls: DataplaneCalls, deadline: number): Promise<void> {
    while (this.#calls === calls && await this.#wait(deadline));
  }

  /** @returns false when the deadline came first */
  #wait(deadline: number): Promise<boolean> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(wake);
        resolve(false);
      }, Math.max(0, deadline - Date.now()));
      this.#waiters.add(wake);
    });
  }

  #release(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  async #run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    let told = false;
    while (!this.#stop.signal.aborted) {
      const calls = openCalls(this.#options.socketPath);
      try {
        await this.#session(calls);
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        const { message } = toRpcError(error);
        log.debug("no dataplane", { error: message });
        // Not at once: the two daemons start at the same time.
        if (!told && !this.#everConnected && retryMs === MAX_RETRY_MS) {
          log.warn("no dataplane so far; pods can't be added", { error: message });
          told = true;
        }
      } finally {
        this.#disconnect();
        closeCalls(calls);
      }
      await waitForFileEvent(this.#options.socketPath, retryMs, this.#stop.signal);
      retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
    }
  }

  /** Ends, without an error, when a connection that was up goes down. */
  async #session(calls: DataplaneCalls): Promise<void> {
    await calls.control.getDataplaneStatus({}, { timeoutMs: PROBE_TIMEOUT_MS });
    const session = new AbortController();
    const signal = AbortSignal.any([session.signal, this.#stop.signal]);
    const flows = this.#readFlows(calls, signal);
    try {
      const lost = flows.then(() => {
        throw unavailable("the dataplane went away");
      });
      await Promise.race([this.#events.onConnected(calls), lost]);
      this.#calls = calls;
      this.#everConnected = true;
      log.info("connected", { socket: this.#options.socketPath });
      this.#release();
      await flows;
    } finally {
      session.abort();
      await flows;
    }
  }

  async #readFlows(calls: DataplaneCalls, signal: AbortSignal): Promise<void> {
    const reader = new FlowReader();
    try {
      const stream = calls.control.batches(DataplaneControl.method.streamFlows, {}, { signal });
      for await (const messages of stream) {
        for (const message of messages) this.#events.onFlow(reader.read(message));
      }
    } catch (error) {
      if (!signal.aborted) log.debug("flow stream ended", { error: toRpcError(error).message });
    }
  }

  #disconnect(): void {
    if (this.#calls === undefined) return;
    this.#calls = undefined;
    this.#release();
    if (this.#stop.signal.aborted) return;
    log.warn("disconnected", { socket: this.#options.socketPath });
    this.#events.onDisconnected();
  }
}
