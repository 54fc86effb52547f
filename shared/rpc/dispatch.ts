/** Handlers of protobuf messages as grpc-js handlers of bytes. */
import { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type status,
  type StatusObject,
} from "@grpc/grpc-js";
import { invalidArgument, RpcCode, RpcError, toRpcError, unavailable } from "./errors.ts";
import { type AnyHandler, type CallContext } from "./service.ts";

/** One finished call. */
export interface CallRecord {
  /** Full name of the service, such as `novanet.v1.AgentControl`. */
  readonly service: string;
  /** Name of the method, such as `AddPod`. */
  readonly method: string;
  /** How it ended. */
  readonly code: RpcCode;
  /** The error that it was answered with, unless `code` is OK. */
  readonly error?: RpcError;
  /** How long it took. */
  readonly seconds: number;
}

/** What all calls of a server share. */
export interface DispatchOptions {
  /** Aborted when the server closes: ends streams. */
  readonly closing: AbortSignal;
  /** Hears of every finished call. */
  readonly onCall: (record: CallRecord) => void;
}

/** The longest text that goes into the grpc-message header. */
const MAX_STATUS_CHARS = 4096;

type UnaryCall = ServerUnaryCall<Uint8Array, Uint8Array>;
type StreamCall = ServerWritableStream<Uint8Array, Uint8Array>;
type BidiCall = ServerDuplexStream<Uint8Array, Uint8Array>;

function statusOf(error: RpcError): StatusObject {
  return {
    // The numbers are gRPC's on both sides.
    code: error.code as number as status,
    details: error.message.toWellFormed().slice(0, MAX_STATUS_CHARS),
    metadata: new Metadata(),
  };
}

function decodeRequest(input: DescMessage, bytes: Uint8Array): object {
  try {
    return fromBinary(input, bytes);
  } catch (cause) {
    throw invalidArgument("request", `of ${bytes.length} bytes`, `is no ${input.typeName}`, {
      cause,
    });
  }
}

/** Encodes an answer; it has the descriptor's shape, since the handler is typed by it. */
function encodeAnswer(output: DescMessage, answer: object): Uint8Array {
  return toBinary(output, create(output, answer as Record<string, unknown>));
}

/** grpc-js wants Buffers; this is a view, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** One call from its begin to its end. */
class ActiveCall implements CallContext {
  readonly #method: DescMethod;
  readonly #options: DispatchOptions;
  readonly #abort = new AbortController();
  readonly #startedMs = performance.now();

  constructor(
    call: UnaryCall | StreamCall | BidiCall,
    method: DescMethod,
    options: DispatchOptions,
  ) {
    this.#method = method;
    this.#options = options;
    (call as EventEmitter).on("cancelled", () => this.#abort.abort());
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Also aborts when the server closes, as streams must. */
  endWithServer(): Disposable {
    const { closing } = this.#options;
    const abort = () => this.#abort.abort(unavailable("the server closes"));
    if (closing.aborted) abort();
    else closing.addEventListener("abort", abort, { once: true });
    return { [Symbol.dispose]: () => closing.removeEventListener("abort", abort) };
  }

  /** Rejects as soon as the call is aborted, with the error to answer. */
  aborted(): Promise<never> {
    const { signal } = this;
    const reason = () => signal.reason instanceof RpcError ? signal.reason : cancelled();
    return new Promise((_, reject) => {
      if (signal.aborted) reject(reason());
      else signal.addEventListener("abort", () => reject(reason()), { once: true });
    });
  }

  finish(thrown?: unknown): RpcError | undefined {
    const error = thrown === undefined ? undefined : toRpcError(thrown);
    this.#options.onCall({
      service: this.#method.parent.typeName,
      method: this.#method.name,
      code: error?.code ?? RpcCode.OK,
      ...(error && { error }),
      seconds: (performance.now() - this.#startedMs) / 1000,
    });
    return error;
  }
}

function cancelled(): RpcError {
  return new RpcError(RpcCode.CANCELLED, "cancelled by the client");
}

/** A grpc-js handler for a unary method. */
export function unaryHandler(
  method: DescMethod,
  handler: AnyHandler,
  options: DispatchOptions,
): handleUnaryCall<Uint8Array, Uint8Array> {
  return async (call, respond) => {
    const active = new ActiveCall(call, method, options);
    try {
      const answer = await handler(decodeRequest(method.input, call.request), active);
      const bytes = encodeAnswer(method.output, answer);
      active.finish();
      respond(null, bytes);
    } catch (thrown) {
      respond(statusOf(active.finish(thrown) as RpcError));
    }
  };
}

/** Ends a stream's source without waiting for it: a handler that hangs must not hold the call. */
function abandon(source: AsyncIterator<object>): void {
  source.return?.().catch(() => {});
}

/** Resolves when the stream takes more; the caller races it with the call's end. */
function drained(call: StreamCall | BidiCall): Promise<void> {
  return new Promise((resolve) => call.once("drain", resolve));
}

/** Sends what the source yields, asking for the next when the transport took the last. */
async function pump(
  call: StreamCall | BidiCall,
  output: DescMessage,
  messages: AsyncIterable<object>,
  aborted: Promise<never>,
): Promise<void> {
  const source = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([source.next(), aborted]);
      if (next.done) return;
      if (!call.write(encodeAnswer(output, next.value))) {
        await Promise.race([drained(call), aborted]);
      }
    }
  } catch (error) {
    abandon(source);
    throw error;
  }
}

async function serveStream(
  call: StreamCall | BidiCall,
  method: DescMethod,
  options: DispatchOptions,
  open: (active: ActiveCall) => AsyncIterable<object>,
): Promise<void> {
  const active = new ActiveCall(call, method, options);
  using _ends = active.endWithServer();
  const aborted = active.aborted();
  aborted.catch(() => {});
  // A client that goes away makes writes fail; `cancelled` says so already.
  call.on("error", () => {});
  try {
    await pump(call, method.output, open(active), aborted);
    active.finish();
    call.end();
  } catch (thrown) {
    // grpc-js takes the status from the event; destroy() would end the stream without one.
    call.emit("error", statusError(active.finish(thrown) as RpcError));
  }
}

/** The error in the shape that grpc-js turns into the status of a stream. */
function statusError(error: RpcError): Error {
  return Object.assign(new Error(error.message), statusOf(error));
}

/** A grpc-js handler for a method that streams its answer. */
export function serverStreamHandler(
  method: DescMethod,
  handler: AnyHandler,
  options: DispatchOptions,
): handleServerStreamingCall<Uint8Array, Uint8Array> {
  return (call) =>
    void serveStream(
      call,
      method,
      options,
      (active) =>
        handler(decodeRequest(method.input, call.request), active) as AsyncIterable<object>,
    );
}

async function* requestsOf(call: BidiCall, input: DescMessage): AsyncGenerator<object> {
  // A plain `for await` over the call would destroy it when the requests end, answers and all.
  const requests = call.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  for await (const bytes of requests) yield decodeRequest(input, bytes);
}

/** A grpc-js handler for a method that streams both ways. */
export function bidiHandler(
  method: DescMethod,
  handler: AnyHandler,
  options: DispatchOptions,
): handleBidiStreamingCall<Uint8Array, Uint8Array> {
  return (call) =>
    void serveStream(
      call,
      method,
      options,
      (active) => handler(requestsOf(call, method.input), active) as AsyncIterable<object>,
    );
}
