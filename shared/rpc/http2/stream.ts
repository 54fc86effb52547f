import { Http2Code, Http2Error, StreamError } from "./error.ts";
import { DEFAULT_MAX_PAYLOAD, encodeFrame, Flag, FrameType, words } from "./frame.ts";
import { encodeHeaders, type Header } from "./hpack.ts";

/** Bytes that a peer may send ahead of the reader, per stream. */
export const WINDOW_BYTES = 1 << 20;
const MAX_WINDOW = 2 ** 31 - 1;

/** What a stream needs of its connection. */
export interface StreamLink {
  /** Bytes of data that the connection may still send. */
  window: number;
  /** Sends a frame after those that wait. */
  send(frame: Uint8Array): void;
  /** Resolves when few enough bytes wait for the socket; undefined when it is so now. */
  drained(): Promise<void> | undefined;
  /** Forgets a stream that is over. */
  forget(stream: Http2Stream): void;
}

/** One stream of a connection. What the peer sends is taken from it only as fast as it is read. */
export class Http2Stream {
  readonly id: number;
  /** Called when headers come: the first, and trailers. */
  onHeaders: ((headers: readonly Header[]) => void) | undefined;
  /** Called once when the stream ended before both sides had finished it. */
  onError: ((error: StreamError) => void) | undefined;
  readonly #link: StreamLink;
  #incoming: Uint8Array[] = [];
  #receiveWindow = WINDOW_BYTES;
  #consumedBytes = 0;
  #sendWindow: number;
  #remoteEnded = false;
  #localEnded = false;
  #error: StreamError | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(id: number, link: StreamLink, sendWindow: number) {
    this.id = id;
    this.#link = link;
    this.#sendWindow = sendWindow;
  }

  /** Whether nothing more can be sent. */
  get writable(): boolean {
    return !this.#localEnded && this.#error === undefined;
  }

  /** Whether the peer has said all. */
  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }

  /** Sends headers: the first, or trailers with `end`. Does nothing when the stream is over. */
  sendHeaders(headers: readonly Header[], end = false): void {
    if (!this.writable) return;
    const block = encodeHeaders(headers);
    const endFlag = end ? Flag.END_STREAM : 0;
    for (let at = 0;;) {
      const part = block.subarray(at, at + DEFAULT_MAX_PAYLOAD);
      const type = at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
      at += part.length;
      const last = at >= block.length ? Flag.END_HEADERS : 0;
      const flags = last | (type === FrameType.HEADERS ? endFlag : 0);
      this.#link.send(encodeFrame(type, flags, this.id, part));
      if (last !== 0) break;
    }
    if (end) this.#endLocal();
  }

  /**
   * Sends data, as fast as the peer and the socket take it. One call at a time.
   * @param end whether it is the last
   * @throws {StreamError} when the stream ends before all is sent
   */
  async write(bytes: Uint8Array, end = false): Promise<void> {
    let at = 0;
    do {
      if (this.#error !== undefined) throw this.#error;
      const credit = Math.min(
        bytes.length - at,
        this.#sendWindow,
        this.#link.window,
        DEFAULT_MAX_PAYLOAD,
      );
      if (credit <= 0 && at < bytes.length) {
        await new Promise<void>((resolve) => this.#wakeWriter = resolve);
        continue;
      }
      const part = bytes.subarray(at, at + credit);
      at += credit;
      this.#sendWindow -= credit;
      this.#link.window -= credit;
      const last = end && at === bytes.length ? Flag.END_STREAM : 0;
      this.#link.send(encodeFrame(FrameType.DATA, last, this.id, part));
      if (last !== 0) this.#endLocal();
      await this.#link.drained();
    } while (at < bytes.length);
  }

  /**
   * The next bytes from the peer; undefined after the last.
   * @throws {StreamError} when the stream ends before the peer said all
   */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#incoming.shift();
      if (chunk !== undefined) {
        this.#consumed(chunk.length);
        return chunk;
      }
      if (this.#remoteEnded) return undefined;
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
  }

  /** Ends the stream for both sides, unless it is over. */
  reset(code: Http2Code): void {
    if (this.#error !== undefined || (this.#localEnded && this.#remoteEnded)) return;
    this.#link.send(encodeFrame(FrameType.RST_STREAM, 0, this.id, words(code)));
    this.fail(new StreamError(code, "the stream was given up"));
  }

  /** For the connection: headers came. */
  receiveHeaders(headers: readonly Header[], end: boolean): void {
    this.onHeaders?.(headers);
    if (end) this.#endRemote();
  }

  /**
   * For the connection: data came.
   * @param frameBytes what it takes from the window, padding included
   * @throws {Http2Error} when the peer sends more than it may
   */
  receiveData(data: Uint8Array, frameBytes: number, end: boolean): void {
    if (this.#remoteEnded) {
      throw new Http2Error(Http2Code.STREAM_CLOSED, "data came after the end of its stream");
    }
    this.#receiveWindow -= frameBytes;
    if (this.#receiveWindow < 0) {
      throw new Http2Error(Http2Code.FLOW_CONTROL_ERROR, "more data came than the window allows");
    }
    if (data.length > 0) this.#incoming.push(data);
    this.#consumed(frameBytes - data.length);
    if (end) this.#endRemote();
    else this.#wakeReader?.();
  }

  /** For the connection: the peer, or new settings of it, change the window. */
  addSendWindow(bytes: number): boolean {
    this.#sendWindow += bytes;
    this.wakeWriter();
    return this.#sendWindow <= MAX_WINDOW;
  }

  /** For the connection: it may be possible to write again. */
  wakeWriter(): void {
    this.#wakeWriter?.();
  }

  /** For the connection: the stream is over, without having ended. */
  fail(error: StreamError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#link.forget(this);
    this.onError?.(error);
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** Opens the window again for what was read, in large steps. */
  #consumed(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#remoteEnded || this.#error !== undefined) return;
    if (this.#consumedBytes < WINDOW_BYTES / 4) return;
    this.#receiveWindow += this.#consumedBytes;
    this.#link.send(encodeFrame(FrameType.WINDOW_UPDATE, 0, this.id, words(this.#consumedBytes)));
    this.#consumedBytes = 0;
  }

  #endLocal(): void {
    this.#localEnded = true;
    if (this.#remoteEnded) this.#link.forget(this);
  }

  #endRemote(): void {
    this.#remoteEnded = true;
    if (this.#localEnded) this.#link.forget(this);
    this.#wakeReader?.();
  }
}
