/** What a service's implementation looks like, from its descriptor. */
import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { EncodedMessages } from "./encoded_messages.ts";

/** What a handler knows of its call beside the request. */
export interface CallContext {
  /** Aborted when the client cancels or goes away, its deadline passes, or the server closes. */
  readonly signal: AbortSignal;
}

type Awaitable<T> = T | Promise<T>;

/** A request that its handler decodes itself, in part or not at all. */
export interface RawRequest<T> {
  /** The message as it came. It never changes, so that it may be kept. */
  readonly bytes: Uint8Array;
  /** All of it. @throws {RpcError} INVALID_ARGUMENT when it is no such message */
  decode(): T;
}

/** What to do with a unary method's request as it came; made by {@linkcode rawUnary}. */
export class RawUnary<I, O> {
  constructor(
    readonly handle: (request: RawRequest<I>, context: CallContext) => Awaitable<O>,
  ) {}
}

/** A handler for unary calls whose requests are too long to be turned into objects. */
export function rawUnary<I, O>(
  handle: (request: RawRequest<I>, context: CallContext) => Awaitable<O>,
): RawUnary<I, O> {
  return new RawUnary(handle);
}

/** One message of a stream, or several that are encoded already. */
type Answer<O extends DescMessage> = MessageInitShape<O> | EncodedMessages;

type Handler<M> = M extends
  { methodKind: infer K; input: infer I extends DescMessage; output: infer O extends DescMessage }
  ? K extends "unary" ?
      | ((request: MessageShape<I>, context: CallContext) => Awaitable<MessageInitShape<O>>)
      | RawUnary<MessageShape<I>, MessageInitShape<O>>
  : K extends "server_streaming"
    ? (request: MessageShape<I>, context: CallContext) => AsyncIterable<Answer<O>>
  : K extends "bidi_streaming" ? (
      requests: AsyncIterable<MessageShape<I>>,
      context: CallContext,
    ) => AsyncIterable<Answer<O>>
  : never
  : never;

/**
 * Handlers by the method's local name. What they throw becomes the call's status by toRpcError; a method that is
 * not there answers UNIMPLEMENTED. A stream's next message is asked for when the one before is on its way.
 */
export type ServiceImpl<S extends DescService> = {
  readonly [K in keyof S["method"]]?: Handler<S["method"][K]>;
};

/** Any handler, as the server calls it once its kind is known. */
export type AnyHandler = (
  request: unknown,
  context: CallContext,
) => Awaitable<object> | AsyncIterable<object>;

/** The full name of a method on the wire. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}
