/**
 * HTTP/2 (RFC 9113) over any byte stream, as much of it as gRPC needs, for both sides.
 *
 * Why not node:http2: in Deno 2.7 each session leaks 30 KiB for ever, a CNI plugin opens one for every pod, and it
 * takes whatever is written to a stream into memory, however slow the peer reads.
 */
import { Http2Code, Http2Error, StreamError } from "./error.ts";
import {
  encodeFrame,
  Flag,
  type Frame,
  FrameReader,
  FrameType,
  PREFACE,
  Setting,
  settingsPayload,
  withoutPadding,
  wordAt,
  words,
} from "./frame.ts";
import { type Header, HeaderDecoder } from "./hpack.ts";
import { Http2Stream, type StreamLink, WINDOW_BYTES } from "./stream.ts";

/** A connected socket. */
export interface ByteStream {
  /** Reads some bytes; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of the bytes. */
  write(bytes: Uint8Array): Promise<number>;
  /** Ends both directions. */
  close(): void;
}

/** Options of {@linkcode Http2Connection}. */
export interface Http2Options {
  /** Takes a stream that the peer opened, and its headers. Only servers have it. */
  readonly onStream?: (stream: Http2Stream, headers: readonly Header[]) => void;
  /** Streams that the peer may have open at once; more are refused. */
  readonly maxStreams?: number;
}

const READ_BYTES = 64 << 10;
/** The window of the whole connection; streams have their own, so that this one need not hold anybody back. */
const CONNECTION_WINDOW_BYTES = 64 << 20;
const DEFAULT_WINDOW_BYTES = 65_535;
const MAX_WINDOW = 2 ** 31 - 1;
/** Bytes that may wait for the socket before a writer has to wait. */
const MAX_WAITING_BYTES = 256 << 10;
/** Bytes of answers to a peer that asks and does not read, before it is cut off. */
const MAX_UNREAD_ANSWERS_BYTES = 16 << 20;
const MAX_HEADER_BYTES = 64 << 10;
/** Streams that a server must allow before it has said how many it does (section 6.5.2 recommends 100). */
const ASSUMED_MAX_STREAMS = 100;
const MAX_STREAM_ID = 2 ** 31 - 1;

/** One connection. It runs from the beginning, and until {@linkcode closed} resolves. */
export class Http2Connection {
  /** Resolves when the connection is gone, with the reason unless it was closed in order. */
  readonly closed: Promise<Error | undefined>;
  readonly #io: ByteStream;
  readonly #options: Http2Options;
  readonly #isServer: boolean;
  readonly #reader: FrameReader;
  readonly #headers = new HeaderDecoder(MAX_HEADER_BYTES);
  readonly #streams = new Map<number, Http2Stream>();
  readonly #link: StreamLink;
  readonly #resolveClosed: (reason: Error | undefined) => void;
  #out: Uint8Array[] = [];
  #waitingBytes = 0;
  #flushing = false;
  #drainWaiters: (() => void)[] = [];
  #slotWaiters: (() => void)[] = [];
  #receiveWindow = CONNECTION_WINDOW_BYTES;
  #peerWindowBytes = DEFAULT_WINDOW_BYTES;
  #peerMaxStreams = ASSUMED_MAX_STREAMS;
  #peerSpoke = false;
  #lastStreamId: number;
  /** Headers that go on in the next frame. */
  #block: { streamId: number; end: boolean; parts: Uint8Array[]; bytes: number } | undefined;
  #retired = false;
  #closing = false;
  #done = false;

  constructor(io: ByteStream, options: Http2Options = {}) {
    this.#io = io;
    this.#options = options;
    this.#isServer = options.onStream !== undefined;
    this.#lastStreamId = this.#isServer ? 0 : -1;
    this.#reader = new FrameReader(this.#isServer ? PREFACE : new Uint8Array());
    const closed = Promise.withResolvers<Error | undefined>();
    this.closed = closed.promise;
    this.#resolveClosed = closed.resolve;
    this.#link = {
      window: DEFAULT_WINDOW_BYTES,
      send: (frame) => this.#send(frame),
      drained: () => this.#drained(),
      forget: (stream) => this.#forget(stream),
    };
    this.#greet();
    void this.#receive();
  }

  /** Whether new streams can be opened. */
  get usable(): boolean {
    return !this.#retired && !this.#closing && !this.#done;
  }

  /** Whether the peer has spoken HTTP/2. */
  get peerSpoke(): boolean {
    return this.#peerSpoke;
  }

  /** Streams that are not over. */
  get streams(): number {
    return this.#streams.size;
  }

  /**
   * Opens a stream; waits while the peer has as many as it allows.
   * @param onHeaders takes the headers of the answer, and its trailers
   * @throws {StreamError} when the connection is not usable (any more)
   */
  async open(
    headers: readonly Header[],
    onHeaders: (headers: readonly Header[]) => void,
  ): Promise<Http2Stream> {
    while (this.usable && this.#streams.size >= this.#peerMaxStreams) {
      await new Promise<void>((resolve) => this.#slotWaiters.push(resolve));
    }
    if (!this.usable) throw new StreamError(undefined, "the connection is closed");
    this.#lastStreamId += 2;
    if (this.#lastStreamId + 2 > MAX_STREAM_ID) this.#retired = true;
    const stream = this.#newStream(this.#lastStreamId);
    stream.onHeaders = onHeaders;
    stream.sendHeaders(headers);
    return stream;
  }

  /** Takes no more streams, and ends when those that are open are over. */
  close(): void {
    if (this.#closing || this.#done) return;
    this.#closing = true;
    this.#goAway(Http2Code.NO_ERROR, "");
    this.#endIfIdle();
  }

  /** Ends now; streams fail. */
  destroy(reason?: Error): void {
    if (this.#done) return;
    this.#done = true;
    this.#io.close();
    const error = new StreamError(undefined, reason?.message ?? "the connection was closed", {
      cause: reason,
    });
    for (const stream of [...this.#streams.values()]) stream.fail(error);
    this.#wake(this.#drainWaiters);
    this.#wake(this.#slotWaiters);
    this.#resolveClosed(reason);
  }

  #greet(): void {
    const settings: [number, number][] = [[Setting.INITIAL_WINDOW_SIZE, WINDOW_BYTES]];
    const { maxStreams } = this.#options;
    if (maxStreams !== undefined) settings.push([Setting.MAX_CONCURRENT_STREAMS, maxStreams]);
    if (!this.#isServer) {
      settings.push([Setting.ENABLE_PUSH, 0]);
      this.#send(PREFACE);
    }
    this.#send(encodeFrame(FrameType.SETTINGS, 0, 0, settingsPayload(settings)));
    const more = CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES;
    this.#send(encodeFrame(FrameType.WINDOW_UPDATE, 0, 0, words(more)));
  }

  async #receive(): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    try {
      for (;;) {
        const length = await this.#io.read(buffer);
        if (length === null) break;
        for (const frame of this.#reader.push(buffer.slice(0, length))) {
          if (this.#done) return;
          this.#handle(frame);
        }
      }
      this.destroy();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Ends after an error; the peer is told when it was its fault. */
  #fail(error: Error): void {
    if (this.#done) return;
    if (!(error instanceof Http2Error)) {
      this.destroy(error);
      return;
    }
    this.#goAway(error.code, error.message);
    void this.#flushed().then(() => this.destroy(error));
  }

  #goAway(code: Http2Code, why: string): void {
    const last = this.#isServer ? this.#lastStreamId : 0;
    const text = new TextEncoder().encode(why);
    const payload = new Uint8Array(8 + text.length);
    payload.set(words(last, code));
    payload.set(text, 8);
    this.#send(encodeFrame(FrameType.GOAWAY, 0, 0, payload));
  }

  #send(frame: Uint8Array): void {
    if (this.#done) return;
    this.#out.push(frame);
    this.#waitingBytes += frame.length;
    if (!this.#flushing) void this.#flush();
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    try {
      // What is sent in one turn goes out in one write.
      await Promise.resolve();
      while (this.#out.length > 0 && !this.#done) {
        const batch = joined(this.#out);
        this.#out = [];
        for (let at = 0; at < batch.length;) at += await this.#io.write(batch.subarray(at));
        this.#waitingBytes -= batch.length;
        if (this.#waitingBytes < MAX_WAITING_BYTES) this.#wake(this.#drainWaiters);
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#flushing = false;
    }
    this.#endIfIdle();
  }

  #drained(): Promise<void> | undefined {
    if (this.#waitingBytes < MAX_WAITING_BYTES || this.#done) return undefined;
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  async #flushed(): Promise<void> {
    while (this.#waitingBytes > 0 && !this.#done) {
      await new Promise<void>((resolve) => this.#drainWaiters.push(resolve));
    }
  }

  #wake(waiters: (() => void)[]): void {
    for (const waiter of waiters.splice(0)) waiter();
  }

  /** After close(): the end, once all is said. */
  #endIfIdle(): void {
    const over = this.#closing || this.#retired;
    if (over && this.#streams.size === 0 && this.#waitingBytes === 0) this.destroy();
  }

  #newStream(id: number): Http2Stream {
    const stream = new Http2Stream(id, this.#link, this.#peerWindowBytes);
    this.#streams.set(id, stream);
    return stream;
  }

  #forget(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#slotWaiters.shift()?.();
    this.#endIfIdle();
  }

  #handle(frame: Frame): void {
    if (!this.#peerSpoke && frame.type !== FrameType.SETTINGS) {
      throw protocolError("the first frame is not SETTINGS");
    }
    this.#peerSpoke = true;
    const continues = frame.type === FrameType.CONTINUATION;
    if (continues !== (this.#block !== undefined)) throw protocolError("headers were interrupted");
    if (this.#waitingBytes > MAX_UNREAD_ANSWERS_BYTES) {
      throw new Http2Error(Http2Code.ENHANCE_YOUR_CALM, "the peer does not read");
    }
    switch (frame.type) {
      case FrameType.DATA:
        return this.#onData(frame);
      case FrameType.HEADERS:
        return this.#onHeaders(frame);
      case FrameType.CONTINUATION:
        return this.#onContinuation(frame);
      case FrameType.RST_STREAM:
        return this.#onReset(frame);
      case FrameType.SETTINGS:
        return this.#onSettings(frame);
      case FrameType.PING:
        return this.#onPing(frame);
      case FrameType.GOAWAY:
        return this.#onGoAway(frame);
      case FrameType.WINDOW_UPDATE:
        return this.#onWindowUpdate(frame);
      case FrameType.PUSH_PROMISE:
        throw protocolError("a push was not asked for");
      case FrameType.PRIORITY:
        // Advice, and frames of other types must be ignored (section 5.5).
    }
  }

  #onData(frame: Frame): void {
    const { streamId, flags, payload } = frame;
    this.#receiveWindow -= payload.length;
    if (this.#receiveWindow < CONNECTION_WINDOW_BYTES / 2) {
      const bytes = CONNECTION_WINDOW_BYTES - this.#receiveWindow;
      this.#send(encodeFrame(FrameType.WINDOW_UPDATE, 0, 0, words(bytes)));
      this.#receiveWindow += bytes;
    }
    const stream = this.#known(streamId);
    // Data of a stream that we gave up may still be on its way.
    stream?.receiveData(withoutPadding(frame), payload.length, (flags & Flag.END_STREAM) !== 0);
  }

  /** An open stream; undefined for one that is over. @throws {Http2Error} for one that never was */
  #known(streamId: number): Http2Stream | undefined {
    const stream = this.#streams.get(streamId);
    const ours = (streamId & 1) === 1;
    if (stream === undefined && (!ours || streamId > this.#lastStreamId)) {
      throw protocolError(`stream ${streamId} was never opened`);
    }
    return stream;
  }

  #onHeaders(frame: Frame): void {
    const { streamId, flags } = frame;
    if ((streamId & 1) === 0) throw protocolError(`stream ${streamId} can't be opened`);
    const part = withoutPadding(frame);
    this.#block = {
      streamId,
      end: (flags & Flag.END_STREAM) !== 0,
      parts: [part],
      bytes: part.length,
    };
    if (flags & Flag.END_HEADERS) this.#endHeaders();
  }

  #onContinuation({ streamId, flags, payload }: Frame): void {
    const block = this.#block!;
    if (block.streamId !== streamId) throw protocolError("headers were interrupted");
    block.parts.push(payload);
    block.bytes += payload.length;
    if (block.bytes > MAX_HEADER_BYTES || block.parts.length > MAX_HEADER_BYTES / 1024) {
      throw new Http2Error(Http2Code.ENHANCE_YOUR_CALM, "headers are too long");
    }
    if (flags & Flag.END_HEADERS) this.#endHeaders();
  }

  #endHeaders(): void {
    const { streamId, end, parts } = this.#block!;
    this.#block = undefined;
    // Decoded even when nobody wants them: later headers refer to these.
    const headers = this.#headers.decode(joined(parts));
    const known = this.#streams.get(streamId);
    if (known !== undefined) {
      known.receiveHeaders(headers, end);
    } else if (this.#isServer && streamId > this.#lastStreamId) {
      this.#accept(streamId, headers, end);
    } else {
      this.#known(streamId);
    }
  }

  #accept(streamId: number, headers: readonly Header[], end: boolean): void {
    this.#lastStreamId = streamId;
    if (this.#closing || this.#streams.size >= (this.#options.maxStreams ?? Infinity)) {
      const code = words(Http2Code.REFUSED_STREAM);
      this.#send(encodeFrame(FrameType.RST_STREAM, 0, streamId, code));
      return;
    }
    const stream = this.#newStream(streamId);
    stream.receiveHeaders(headers, end);
    this.#options.onStream?.(stream, headers);
  }

  #onReset({ streamId, payload }: Frame): void {
    if (payload.length !== 4) throw frameSizeError("RST_STREAM");
    const code: Http2Code = wordAt(payload, 0);
    const name = Http2Code[code] ?? String(code);
    this.#known(streamId)?.fail(new StreamError(code, `the peer gave the stream up: ${name}`));
  }

  #onSettings({ flags, payload, streamId }: Frame): void {
    if (streamId !== 0) throw protocolError("SETTINGS of a stream");
    if (flags & Flag.ACK) return;
    if (payload.length % 6 !== 0) throw frameSizeError("SETTINGS");
    for (let at = 0; at < payload.length; at += 6) {
      this.#onSetting(payload[at]! * 0x100 + payload[at + 1]!, wordAt(payload, at + 2));
    }
    this.#send(encodeFrame(FrameType.SETTINGS, Flag.ACK, 0));
  }

  #onSetting(id: number, value: number): void {
    if (id === Setting.MAX_CONCURRENT_STREAMS) {
      this.#peerMaxStreams = value;
      this.#wake(this.#slotWaiters);
    }
    if (id !== Setting.INITIAL_WINDOW_SIZE) return;
    if (value > MAX_WINDOW) throw windowError();
    const change = value - this.#peerWindowBytes;
    this.#peerWindowBytes = value;
    for (const stream of this.#streams.values()) {
      if (!stream.addSendWindow(change)) throw windowError();
    }
  }

  #onPing({ flags, payload, streamId }: Frame): void {
    if (streamId !== 0) throw protocolError("PING of a stream");
    if (payload.length !== 8) throw frameSizeError("PING");
    if ((flags & Flag.ACK) === 0) this.#send(encodeFrame(FrameType.PING, Flag.ACK, 0, payload));
  }

  #onGoAway({ payload, streamId }: Frame): void {
    if (streamId !== 0) throw protocolError("GOAWAY of a stream");
    if (payload.length < 8) throw frameSizeError("GOAWAY");
    this.#retired = true;
    const last = wordAt(payload, 0);
    const text = new TextDecoder().decode(payload.subarray(8));
    const why = `the peer goes away${text === "" ? "" : `: ${text}`}`;
    for (const stream of [...this.#streams.values()]) {
      // The server has not looked at these, and never will.
      if (!this.#isServer && stream.id > last) {
        stream.fail(new StreamError(Http2Code.REFUSED_STREAM, why));
      }
    }
    this.#wake(this.#slotWaiters);
    this.#endIfIdle();
  }

  #onWindowUpdate({ payload, streamId }: Frame): void {
    if (payload.length !== 4) throw frameSizeError("WINDOW_UPDATE");
    const bytes = wordAt(payload, 0) & MAX_WINDOW;
    if (bytes === 0) throw protocolError("a window grows by nothing");
    if (streamId !== 0) {
      if (this.#known(streamId)?.addSendWindow(bytes) === false) throw windowError();
      return;
    }
    this.#link.window += bytes;
    if (this.#link.window > MAX_WINDOW) throw windowError();
    for (const stream of this.#streams.values()) stream.wakeWriter();
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function protocolError(why: string): Http2Error {
  return new Http2Error(Http2Code.PROTOCOL_ERROR, why);
}

function frameSizeError(what: string): Http2Error {
  return new Http2Error(Http2Code.FRAME_SIZE_ERROR, `a ${what} frame has a wrong length`);
}

function windowError(): Http2Error {
  return new Http2Error(Http2Code.FLOW_CONTROL_ERROR, "a window is too large");
}
