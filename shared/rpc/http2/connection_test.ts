import assert from "node:assert/strict";
import { eventually } from "../../testing/eventually.ts";
import { type ByteStream, Http2Connection } from "./connection.ts";
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
  wordAt,
  words,
} from "./frame.ts";
import { encodeHeaders, type Header } from "./hpack.ts";
import { type Http2Stream, WINDOW_BYTES } from "./stream.ts";

/** One direction of a socket. */
class Pipe {
  #chunks: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  putBack(chunk: Uint8Array): void {
    this.#chunks.unshift(chunk);
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async next(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#chunks.shift();
  }
}

/** The other end of a connection, which says whatever a test wants. */
class Peer {
  readonly #toUs = new Pipe();
  readonly #fromUs = new Pipe();
  readonly frames: Frame[] = [];
  /** Bytes that one read gives; a small number cuts frames. */
  readBytes = Infinity;

  readonly io: ByteStream = {
    read: async (into) => {
      const chunk = await this.#toUs.next();
      if (chunk === undefined) return null;
      const part = chunk.subarray(0, Math.min(into.length, this.readBytes));
      into.set(part);
      if (part.length < chunk.length) this.#toUs.putBack(chunk.subarray(part.length));
      return part.length;
    },
    write: (bytes) => {
      this.#fromUs.push(bytes.slice());
      return Promise.resolve(bytes.length);
    },
    close: () => {
      this.#fromUs.end();
      this.#toUs.end();
    },
  };

  /** @param isServer whether our side is the client, which begins with a preface */
  constructor(isServer = false) {
    void this.#collect(new FrameReader(isServer ? PREFACE : new Uint8Array()));
  }

  async #collect(reader: FrameReader): Promise<void> {
    for (let chunk = await this.#fromUs.next(); chunk; chunk = await this.#fromUs.next()) {
      this.frames.push(...reader.push(chunk));
    }
  }

  bytes(...parts: Uint8Array[]): void {
    for (const part of parts) this.#toUs.push(part);
  }

  hangUp(): void {
    this.#toUs.end();
  }

  send(type: FrameType, flags: number, streamId: number, payload?: Uint8Array): void {
    this.bytes(encodeFrame(type, flags, streamId, payload));
  }

  /** Begins as a client does. */
  greet(settings: [number, number][] = []): void {
    this.bytes(PREFACE);
    this.send(FrameType.SETTINGS, 0, 0, settingsPayload(settings));
  }

  headers(streamId: number, flags: number = Flag.END_HEADERS): void {
    this.send(FrameType.HEADERS, flags, streamId, encodeHeaders([[":path", "/x"]]));
  }

  /** Waits for a frame of a type that we sent. */
  frame(type: FrameType, streamId?: number): Promise<Frame> {
    return eventually(() =>
      this.frames.find((one) => one.type === type && (streamId ?? one.streamId) === one.streamId)
    );
  }
}

/** A server with the streams that it got. */
function serve(maxStreams = 100) {
  const peer = new Peer();
  const streams: { stream: Http2Stream; headers: readonly Header[] }[] = [];
  const connection = new Http2Connection(peer.io, {
    maxStreams,
    onStream: (stream, headers) => streams.push({ stream, headers }),
  });
  return { peer, streams, connection };
}

const data = (bytes: number) => new Uint8Array(bytes);

const VIOLATIONS: readonly [string, Http2Code, (peer: Peer) => void][] = [
  ["no preface", Http2Code.PROTOCOL_ERROR, (peer) => peer.bytes(data(24))],
  ["no SETTINGS first", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.bytes(PREFACE);
    peer.send(FrameType.PING, 0, 0, data(8));
  }],
  ["a frame above the limit", Http2Code.FRAME_SIZE_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.DATA, 0, 1, data(16_385));
  }],
  ["data of a stream that never was", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.DATA, 0, 1, data(1));
  }],
  ["data of no stream", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.DATA, 0, 0, data(1));
  }],
  ["a stream with an even number", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.headers(2);
  }],
  ["a frame between headers and their rest", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.headers(1, 0);
    peer.send(FrameType.PING, 0, 0, data(8));
  }],
  ["the rest of another stream's headers", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.headers(1, 0);
    peer.send(FrameType.CONTINUATION, Flag.END_HEADERS, 3);
  }],
  ["a rest without headers", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.CONTINUATION, Flag.END_HEADERS, 1);
  }],
  ["headers without end", Http2Code.ENHANCE_YOUR_CALM, (peer) => {
    peer.greet();
    peer.headers(1, 0);
    for (let at = 0; at < 100; at++) peer.send(FrameType.CONTINUATION, 0, 1, data(1));
  }],
  ["headers that do not decode", Http2Code.COMPRESSION_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.HEADERS, Flag.END_HEADERS, 1, Uint8Array.of(0x80));
  }],
  ["more padding than payload", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.HEADERS, Flag.END_HEADERS | Flag.PADDED, 1, Uint8Array.of(9, 0));
  }],
  ["a push", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, data(4));
  }],
  ["SETTINGS of a stream", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.SETTINGS, 0, 1);
  }],
  ["SETTINGS of 5 bytes", Http2Code.FRAME_SIZE_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.SETTINGS, 0, 0, data(5));
  }],
  [
    "a window setting that is too large",
    Http2Code.FLOW_CONTROL_ERROR,
    (peer) => peer.greet([[Setting.INITIAL_WINDOW_SIZE, 2 ** 31]]),
  ],
  ["PING of 7 bytes", Http2Code.FRAME_SIZE_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.PING, 0, 0, data(7));
  }],
  ["GOAWAY of 7 bytes", Http2Code.FRAME_SIZE_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.GOAWAY, 0, 0, data(7));
  }],
  ["a window that grows by nothing", Http2Code.PROTOCOL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.WINDOW_UPDATE, 0, 0, words(0));
  }],
  ["a connection window that is too large", Http2Code.FLOW_CONTROL_ERROR, (peer) => {
    peer.greet();
    peer.send(FrameType.WINDOW_UPDATE, 0, 0, words(2 ** 31 - 1));
  }],
  ["a stream window that is too large", Http2Code.FLOW_CONTROL_ERROR, (peer) => {
    peer.greet();
    peer.headers(1);
    peer.send(FrameType.WINDOW_UPDATE, 0, 1, words(2 ** 31 - 1));
  }],
  ["RST_STREAM of 3 bytes", Http2Code.FRAME_SIZE_ERROR, (peer) => {
    peer.greet();
    peer.headers(1);
    peer.send(FrameType.RST_STREAM, 0, 1, data(3));
  }],
  ["more data than the window", Http2Code.FLOW_CONTROL_ERROR, (peer) => {
    peer.greet();
    peer.headers(1);
    for (let sent = 0; sent <= WINDOW_BYTES; sent += 16_384) {
      peer.send(FrameType.DATA, 0, 1, data(16_384));
    }
  }],
  ["data after the end of the stream", Http2Code.STREAM_CLOSED, (peer) => {
    peer.greet();
    peer.headers(1, Flag.END_HEADERS | Flag.END_STREAM);
    peer.send(FrameType.DATA, 0, 1, data(1));
  }],
];

for (const [name, code, act] of VIOLATIONS) {
  Deno.test(`a peer that breaks the protocol is told why and cut off: ${name}`, async () => {
    const { peer, connection } = serve();
    act(peer);
    const reason = await connection.closed;
    assert(reason instanceof Http2Error, String(reason));
    assert.equal(Http2Code[reason.code], Http2Code[code]);
    assert.equal(wordAt((await peer.frame(FrameType.GOAWAY)).payload, 4), code);
    assert(!connection.usable);
  });
}

Deno.test("frames may be cut anywhere", async () => {
  const { peer, streams, connection } = serve();
  peer.readBytes = 1;
  peer.greet();
  peer.headers(1);
  peer.send(FrameType.DATA, Flag.END_STREAM, 1, Uint8Array.of(1, 2, 3));
  const { stream, headers } = await eventually(() => streams[0]);
  assert.deepEqual(headers, [[":path", "/x"]]);
  assert.deepEqual(await stream.read(), Uint8Array.of(1, 2, 3));
  assert.equal(await stream.read(), undefined);
  connection.destroy();
});

Deno.test("padding, priorities and unknown frames are skipped", async () => {
  const { peer, streams, connection } = serve();
  peer.greet();
  const block = encodeHeaders([[":path", "/x"]]);
  const padded = Uint8Array.of(2, 0, 0, 0, 0, 9, ...block, 0, 0);
  const flags = Flag.PADDED | Flag.PRIORITY | Flag.END_HEADERS;
  peer.send(FrameType.HEADERS, flags, 1, padded);
  peer.send(FrameType.PRIORITY, 0, 1, data(5));
  peer.send(0x77 as FrameType, 0xff, 5, data(3));
  peer.send(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 1, Uint8Array.of(1, 42, 0));
  const { stream } = await eventually(() => streams[0]);
  assert.deepEqual(await stream.read(), Uint8Array.of(42));
  connection.destroy();
});

Deno.test("PING and SETTINGS are answered", async () => {
  const { peer, connection } = serve();
  peer.greet();
  peer.send(FrameType.PING, 0, 0, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  const ping = await peer.frame(FrameType.PING);
  assert.equal(ping.flags, Flag.ACK);
  assert.deepEqual(ping.payload, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  assert(peer.frames.some(({ type, flags }) => type === FrameType.SETTINGS && flags === Flag.ACK));
  connection.destroy();
});

Deno.test("data goes out as the windows allow, and no faster", async () => {
  const { peer, streams, connection } = serve();
  peer.greet([[Setting.INITIAL_WINDOW_SIZE, 10]]);
  peer.headers(1);
  const { stream } = await eventually(() => streams[0]);
  const written = stream.write(data(100_000), true);
  const sent = () =>
    peer.frames.filter(({ type }) => type === FrameType.DATA)
      .reduce((sum, { payload }) => sum + payload.length, 0);
  await eventually(() => sent() === 10);
  peer.send(FrameType.WINDOW_UPDATE, 0, 1, words(5));
  await eventually(() => sent() === 15);
  // A setting changes windows that are in use (section 6.9.2): 15 are sent, 40 - 25 are left.
  peer.send(FrameType.SETTINGS, 0, 0, settingsPayload([[Setting.INITIAL_WINDOW_SIZE, 40]]));
  await eventually(() => sent() === 45);
  peer.send(FrameType.WINDOW_UPDATE, 0, 1, words(1_000_000));
  await eventually(() => sent() === 65_535);
  peer.send(FrameType.WINDOW_UPDATE, 0, 0, words(1_000_000));
  await written;
  await eventually(() => sent() === 100_000);
  assert.equal(peer.frames.findLast(({ type }) => type === FrameType.DATA)?.flags, Flag.END_STREAM);
  connection.destroy();
});

Deno.test("the window opens when data is read, not when it comes", async () => {
  const { peer, streams, connection } = serve();
  peer.greet();
  peer.headers(1);
  for (let at = 0; at < 40; at++) peer.send(FrameType.DATA, 0, 1, data(16_384));
  peer.send(FrameType.PING, 0, 0, data(8));
  await peer.frame(FrameType.PING);
  const updates = () =>
    peer.frames.filter(({ type, streamId }) => type === FrameType.WINDOW_UPDATE && streamId === 1);
  assert.deepEqual(updates(), []);
  const { stream } = streams[0]!;
  for (let at = 0; at < 40; at++) await stream.read();
  await eventually(() => updates().length > 0);
  connection.destroy();
});

Deno.test("streams above the limit are refused", async () => {
  const { peer, streams, connection } = serve(2);
  peer.greet();
  for (const id of [1, 3, 5]) peer.headers(id);
  const reset = await peer.frame(FrameType.RST_STREAM, 5);
  assert.equal(wordAt(reset.payload, 0), Http2Code.REFUSED_STREAM);
  assert.equal(streams.length, 2);
  streams[0]!.stream.reset(Http2Code.CANCEL);
  peer.headers(7);
  await eventually(() => streams.length === 3);
  connection.destroy();
});

Deno.test("a reset ends reading, writing and waiting", async () => {
  const { peer, streams, connection } = serve();
  peer.greet([[Setting.INITIAL_WINDOW_SIZE, 0]]);
  peer.headers(1);
  const { stream } = await eventually(() => streams[0]);
  const errors: StreamError[] = [];
  stream.onError = (error) => errors.push(error);
  const isCancel = (error: unknown) =>
    error instanceof StreamError && error.code === Http2Code.CANCEL;
  const read = assert.rejects(stream.read(), isCancel);
  const write = assert.rejects(stream.write(data(1)), isCancel);
  peer.send(FrameType.RST_STREAM, 0, 1, words(Http2Code.CANCEL));
  await Promise.all([read, write]);
  assert.equal(errors.length, 1);
  assert.equal(connection.streams, 0);
  connection.destroy();
});

Deno.test("close waits for open streams, and refuses new ones", async () => {
  const { peer, streams, connection } = serve();
  peer.greet();
  peer.headers(1, Flag.END_HEADERS | Flag.END_STREAM);
  const { stream } = await eventually(() => streams[0]);
  connection.close();
  assert.equal(wordAt((await peer.frame(FrameType.GOAWAY)).payload, 0), 1);
  peer.headers(3);
  await peer.frame(FrameType.RST_STREAM, 3);
  stream.sendHeaders([[":status", "200"]], true);
  assert.equal(await connection.closed, undefined);
  await peer.frame(FrameType.HEADERS, 1);
});

Deno.test("a peer that hangs up ends streams", async () => {
  const { peer, streams, connection } = serve();
  peer.greet();
  peer.headers(1);
  const { stream } = await eventually(() => streams[0]);
  const read = assert.rejects(
    stream.read(),
    (error) => error instanceof StreamError && error.code === undefined,
  );
  peer.hangUp();
  await read;
  await connection.closed;
});

Deno.test("a client leaves a server that goes away, with the streams that it did not see", async () => {
  const peer = new Peer(true);
  const connection = new Http2Connection(peer.io);
  peer.send(FrameType.SETTINGS, 0, 0);
  const seen = await connection.open([[":path", "/1"]], () => {});
  const unseen = await connection.open([[":path", "/2"]], () => {});
  peer.send(FrameType.GOAWAY, 0, 0, words(seen.id, Http2Code.NO_ERROR));
  await assert.rejects(
    unseen.read(),
    (error) => error instanceof StreamError && error.code === Http2Code.REFUSED_STREAM,
  );
  assert(!connection.usable);
  await assert.rejects(connection.open([], () => {}), StreamError);
  peer.send(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, seen.id, encodeHeaders([]));
  seen.sendHeaders([], true);
  assert.equal(await seen.read(), undefined);
  await connection.closed;
});

Deno.test("a client opens no more streams than the server allows", async () => {
  const peer = new Peer(true);
  const connection = new Http2Connection(peer.io);
  const one: [number, number][] = [[Setting.MAX_CONCURRENT_STREAMS, 1]];
  peer.send(FrameType.SETTINGS, 0, 0, settingsPayload(one));
  await eventually(() => connection.peerSpoke);
  const first = await connection.open([], () => {});
  let opened = false;
  const second = connection.open([], () => {}).then((stream) => {
    opened = true;
    return stream;
  });
  peer.send(FrameType.PING, 0, 0, data(8));
  await peer.frame(FrameType.PING);
  assert(!opened);
  first.reset(Http2Code.CANCEL);
  assert.equal((await second).id, first.id + 2);
  connection.destroy();
});

Deno.test("random frames end the connection or are ignored, and nothing else", async () => {
  for (let round = 0; round < 300; round++) {
    const { peer, connection } = serve();
    peer.greet();
    for (let at = 0; at < 20; at++) {
      const [type = 0, flags = 0, id = 0, length = 0] = crypto.getRandomValues(new Uint8Array(4));
      const payload = crypto.getRandomValues(new Uint8Array(length % 40));
      peer.send(type % 11, flags, id % 6, payload);
    }
    peer.hangUp();
    const reason = await connection.closed;
    assert(reason === undefined || reason instanceof Http2Error, reason?.stack);
  }
});
