/** From a method's descriptor and handler to a function that serves its calls. */
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import { EncodedMessages } from "./encoded_messages.ts";
import { invalidArgument, RpcCode, RpcError, toRpcError, unavailable } from "./errors.ts";
import type { ServerCall } from "./server_call.ts";
import { type AnyHandler, RawUnary } from "./service.ts";

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
  /** The longest message, both ways. */
  readonly maxMessageBytes: number;
  /** Hears of every finished call. */
  readonly onCall: (record: CallRecord) => void;
}

/** Serves one call of a method to its end; never rejects. */
export type Serve = (call: ServerCall) => Promise<void>;

/** A method with its handler. */
class ServedMethod {
  readonly #method: DescMethod;
  readonly #handler: AnyHandler;
  /** A request as the handler takes it. */
  readonly #request: (bytes: Uint8Array) => object;
  readonly #options: DispatchOptions;

  constructor(
    method: DescMethod,
    handler: AnyHandler | RawUnary<object, object>,
    options: DispatchOptions,
  ) {
    const decoded = (bytes: Uint8Array) => decode(method.input, bytes);
    const raw = handler instanceof RawUnary;
    this.#method = method;
    this.#handler = raw ? handler.handle as AnyHandler : handler;
    this.#request = raw ? (bytes) => ({ bytes, decode: () => decoded(bytes) }) : decoded;
    this.#options = options;
  }

  /** Runs `work`, ends the call with what it throws, and reports. */
  async serve(call: ServerCall, work: () => Promise<void>): Promise<void> {
    const startedMs = performance.now();
    let error: RpcError | undefined;
    try {
      await work();
    } catch (thrown) {
      error = toRpcError(thrown);
    }
    call.end(error);
    this.#options.onCall({
      service: this.#method.parent.typeName,
      method: this.#method.name,
      code: error?.code ?? RpcCode.OK,
      ...(error && { error }),
      seconds: (performance.now() - startedMs) / 1000,
    });
  }

  readonly unary: Serve = (call) =>
    this.serve(call, async () => {
      const request = await call.unlessAborted(this.#onlyRequest(call));
      const answer = Promise.resolve(this.#handler(request, call) as Promise<object>);
      await call.send(this.#encode(await call.unlessAborted(answer)));
    });

  readonly serverStream: Serve = (call) =>
    this.serve(call, async () => {
      await this.#stream(call, await call.unlessAborted(this.#onlyRequest(call)));
    });

  readonly bidi: Serve = (call) => this.serve(call, () => this.#stream(call, this.#requests(call)));

  async #stream(call: ServerCall, request: unknown): Promise<void> {
    using _ = this.#endWithServer(call);
    const answers = this.#handler(request, call) as AsyncIterable<object>;
    const source = answers[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await call.unlessAborted(source.next());
        if (next.done) return;
        if (next.value instanceof EncodedMessages) await call.sendFramed(next.value.bytes);
        else await call.send(this.#encode(next.value));
      }
    } finally {
      // Without waiting: a handler that hangs must not hold the call.
      source.return?.().catch(() => {});
    }
  }

  /** Streams may last for ever, so they do not outlive the server's first step of closing. */
  #endWithServer(call: ServerCall): Disposable {
    const { closing } = this.#options;
    const abort = () => call.abort(unavailable("the server closes"));
    if (closing.aborted) abort();
    else closing.addEventListener("abort", abort, { once: true });
    return { [Symbol.dispose]: () => closing.removeEventListener("abort", abort) };
  }

  async *#requests(call: ServerCall): AsyncGenerator<object> {
    for await (const bytes of call.requests(this.#options.maxMessageBytes)) {
      yield this.#request(bytes);
    }
  }

  async #onlyRequest(call: ServerCall): Promise<object> {
    let only: object | undefined;
    for await (const request of this.#requests(call)) {
      if (only !== undefined) {
        throw new RpcError(RpcCode.INVALID_ARGUMENT, "there is more than one request");
      }
      only = request;
    }
    if (only === undefined) throw new RpcError(RpcCode.INVALID_ARGUMENT, "there is no request");
    return only;
  }

  /** The handler's type says that the answer has the descriptor's shape. */
  #encode(answer: object): Uint8Array {
    const { output } = this.#method;
    const bytes = toBinary(output, create(output, answer as Record<string, unknown>));
    const { maxMessageBytes } = this.#options;
    if (bytes.length > maxMessageBytes) {
      throw new RpcError(
        RpcCode.RESOURCE_EXHAUSTED,
        `the answer has ${bytes.length} bytes, more than ${maxMessageBytes}`,
      );
    }
    return bytes;
  }
}

function decode(input: DescMessage, bytes: Uint8Array): object {
  try {
    return fromBinary(input, bytes);
  } catch (cause) {
    throw invalidArgument("request", `of ${bytes.length} bytes`, `is no ${input.typeName}`, {
      cause,
    });
  }
}

/**
 * Makes a method's server.
 * @throws {TypeError} for client streams, which no service here has, and for streams from bytes
 */
export function servedMethod(
  method: DescMethod,
  handler: AnyHandler | RawUnary<object, object>,
  options: DispatchOptions,
): Serve {
  if (handler instanceof RawUnary && method.methodKind !== "unary") {
    throw new TypeError(`Cannot serve ${method.name} from bytes: it is not unary`);
  }
  const served = new ServedMethod(method, handler, options);
  switch (method.methodKind) {
    case "unary":
      return served.unary;
    case "server_streaming":
      return served.serverStream;
    case "bidi_streaming":
      return served.bidi;
    case "client_streaming":
      throw new TypeError(`Cannot serve ${method.name}: client streams are not supported`);
  }
}
