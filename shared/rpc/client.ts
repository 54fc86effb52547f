/** Clients of gRPC services on unix sockets, made from their descriptors. */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { callMessages, type CallOptions } from "./call.ts";
import { Channel } from "./channel.ts";
import { RpcCode, RpcError } from "./errors.ts";

/**
 * A faster encoder of one message: the same bytes as toBinary(create(...)), or undefined when it
 * cannot be sure of that.
 */
export type Encoder = (message: object) => Uint8Array | undefined;

/** Options of {@linkcode createRpcClient}. */
export interface RpcClientOptions {
  /** Path of the server's unix socket. */
  readonly socketPath: string;
  /** Milliseconds that a unary call may take; default 10,000. */
  readonly timeoutMs?: number;
  /** Longest answer in bytes; default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Encoders of requests that are worth it. */
  readonly encoders?: ReadonlyMap<DescMessage, Encoder>;
}

/** Options of one unary call. */
export interface UnaryOptions {
  /** Milliseconds that it may take; default: the client's. */
  readonly timeoutMs?: number;
  /** Ends it with CANCELLED. */
  readonly signal?: AbortSignal;
}

/** Options of one streaming call, which lasts until the server ends it or the caller stops. */
export interface StreamOptions {
  /** Ends it with CANCELLED. */
  readonly signal?: AbortSignal;
}

type ClientMethod<M> = M extends
  { methodKind: "unary"; input: infer I extends DescMessage; output: infer O extends DescMessage }
  ? (request: MessageInitShape<I>, options?: UnaryOptions) => Promise<MessageShape<O>>
  : M extends {
    methodKind: "server_streaming";
    input: infer I extends DescMessage;
    output: infer O extends DescMessage;
  } ? (request: MessageInitShape<I>, options?: StreamOptions) => AsyncIterable<MessageShape<O>>
  : never;

/**
 * A service's methods as functions that throw {@linkcode RpcError}. A server that can't be reached, or goes
 * away, is UNAVAILABLE; the next call connects again. Breaking off a stream's iteration cancels the call.
 */
export type RpcClient<S extends DescService> =
  & { readonly [K in keyof S["method"]]: ClientMethod<S["method"][K]> }
  & Disposable
  & {
    /** Ends all calls and the connection. Idempotent; calling again afterwards connects again. */
    close(): void;
    /**
     * A stream's messages as they come in, many at once and still encoded: for streams of very many small ones.
     * @throws {RpcError} while iterating
     */
    batches<M extends S["method"][keyof S["method"]] & { methodKind: "server_streaming" }>(
      method: M,
      request: MessageInitShape<M["input"]>,
      options?: StreamOptions,
    ): AsyncIterable<Uint8Array[]>;
  };

/** A request of any method, as the typed functions take it. */
type Init = MessageInitShape<DescMessage>;

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_MAX_MESSAGE_BYTES = 64 << 20;
const NO_ENCODERS: ReadonlyMap<DescMessage, Encoder> = new Map();

/** One service on one socket. */
class Client {
  readonly #channel: Channel;
  readonly #options: Required<RpcClientOptions>;

  constructor(options: RpcClientOptions) {
    this.#options = {
      timeoutMs: DEFAULT_TIMEOUT_MS,
      maxMessageBytes: DEFAULT_MAX_MESSAGE_BYTES,
      encoders: NO_ENCODERS,
      ...options,
    };
    this.#channel = new Channel(options.socketPath);
  }

  #callOptions(method: DescMethod, signal: AbortSignal | undefined): CallOptions {
    const path = `/${method.parent.typeName}/${method.name}`;
    return { path, signal, maxMessageBytes: this.#options.maxMessageBytes };
  }

  #encode(input: DescMessage, request: Init): Uint8Array {
    return this.#options.encoders.get(input)?.(request) ?? toBinary(input, create(input, request));
  }

  async unary(method: DescMethod, request: Init, options: UnaryOptions = {}): Promise<object> {
    let answer: Uint8Array | undefined;
    const bytes = this.#encode(method.input, request);
    for await (
      const messages of callMessages(this.#channel, bytes, {
        ...this.#callOptions(method, options.signal),
        timeoutMs: options.timeoutMs ?? this.#options.timeoutMs,
      })
    ) {
      if (messages.length > 1 || answer !== undefined) {
        throw badAnswer(method, "has more than one message");
      }
      answer = messages[0];
    }
    if (answer === undefined) throw badAnswer(method, "has no message");
    return decode(method, answer);
  }

  async *stream(
    method: DescMethod,
    request: Init,
    options: StreamOptions = {},
  ): AsyncGenerator<object> {
    const bytes = this.#encode(method.input, request);
    const callOptions = this.#callOptions(method, options.signal);
    for await (const messages of callMessages(this.#channel, bytes, callOptions)) {
      for (const message of messages) yield decode(method, message);
    }
  }

  batches(
    method: DescMethod,
    request: Init,
    options: StreamOptions = {},
  ): AsyncGenerator<Uint8Array[]> {
    const bytes = toBinary(method.input, create(method.input, request));
    return callMessages(this.#channel, bytes, this.#callOptions(method, options.signal));
  }

  close(): void {
    this.#channel[Symbol.dispose]();
  }
}

function badAnswer(method: DescMethod, why: string, options?: ErrorOptions): RpcError {
  return new RpcError(RpcCode.INTERNAL, `the answer to ${method.name} ${why}`, options);
}

function decode(method: DescMethod, bytes: Uint8Array): object {
  try {
    return fromBinary(method.output, bytes);
  } catch (cause) {
    throw badAnswer(method, `is no ${method.output.typeName}`, { cause });
  }
}

/**
 * Makes a client. Nothing is sent before the first call.
 * @throws {TypeError} for a service with client streams, which no client here needs
 */
export function createRpcClient<S extends DescService>(
  service: S,
  options: RpcClientOptions,
): RpcClient<S> {
  const client = new Client(options);
  const methods: Record<PropertyKey, unknown> = {
    close: () => client.close(),
    batches: (method: DescMethod, request: Init, options?: StreamOptions) =>
      client.batches(method, request, options),
    [Symbol.dispose]: () => client.close(),
  };
  for (const method of service.methods) {
    methods[method.localName] = bound(client, method);
  }
  return methods as RpcClient<S>;
}

function bound(client: Client, method: DescMethod): unknown {
  switch (method.methodKind) {
    case "unary":
      return (request: Init, options?: UnaryOptions) => client.unary(method, request, options);
    case "server_streaming":
      return (request: Init, options?: StreamOptions) => client.stream(method, request, options);
    default:
      throw new TypeError(
        `Cannot make a client of ${method.parent.typeName}: ${method.name} streams`,
      );
  }
}
