import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import { Http2Connection } from "./connection.ts";
import { Http2Error } from "./error.ts";
import { encodeHeaders, type Header, HeaderDecoder } from "./hpack.ts";
import { decodeHuffman } from "./huffman.ts";

const hex = (text: string) => Uint8Array.fromHex(text.replaceAll(" ", ""));
const MAX_BYTES = 65_536;

const REQUESTS: Header[][] = [
  [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "www.example.com"]],
  [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
    ["cache-control", "no-cache"],
  ],
  [
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/index.html"],
    [":authority", "www.example.com"],
    ["custom-key", "custom-value"],
  ],
];

const SEQUENCES: readonly [string, readonly string[], Header[][], number][] = [
  [
    "RFC 7541 C.3, requests without Huffman",
    [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    REQUESTS,
    4096,
  ],
  [
    "RFC 7541 C.4, requests with Huffman",
    [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
    REQUESTS,
    4096,
  ],
  ["RFC 7541 C.6, responses with Huffman and eviction", [
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 " +
    "2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
  ], [
    [
      [":status", "302"],
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
      ["location", "https://www.example.com"],
    ],
    [
      [":status", "307"],
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
      ["location", "https://www.example.com"],
    ],
  ], 256],
];

for (const [name, blocks, expected, tableBytes] of SEQUENCES) {
  Deno.test(`headers decode: ${name}`, () => {
    const decoder = new HeaderDecoder(MAX_BYTES, tableBytes);
    assert.deepEqual(blocks.map((block) => decoder.decode(hex(block))), expected);
  });
}

Deno.test("what we encode decodes to the same", () => {
  const headers: Header[] = [
    [":status", "200"],
    [":method", "POST"],
    ["grpc-message", "x".repeat(300)],
    ["empty", ""],
    ["long", "y".repeat(20_000)],
  ];
  assert.deepEqual(new HeaderDecoder(MAX_BYTES).decode(encodeHeaders(headers)), headers);
});

const BAD: readonly [string, string][] = [
  ["index 0", "80"],
  ["an index beyond the table", "be"],
  ["a number without end", "ff ff ff ff ff ff ff ff ff"],
  ["a number that is cut off", "ff"],
  ["a name that is cut off", "00 05 61"],
  ["a value that is missing", "00 01 61"],
  ["a larger table than allowed", "3f e2 1f"],
  ["Huffman padding of 8 bits", "00 82 ff ff 00"],
  ["Huffman padding with a zero", "00 81 18 00"],
  ["the end of string in Huffman", "00 84 ff ff ff ff 00"],
];

for (const [name, block] of BAD) {
  Deno.test(`a bad header block is refused: ${name}`, () => {
    assert.throws(() => new HeaderDecoder(MAX_BYTES).decode(hex(block)), Http2Error);
  });
}

Deno.test("a small block can't become a large list", () => {
  const decoder = new HeaderDecoder(MAX_BYTES);
  const entry = [0x40, 1, 0x61, 0x7f, 0x81, 0x1e, ...new Uint8Array(4000).fill(0x62)];
  const block = Uint8Array.from([...entry, ...new Uint8Array(1000).fill(0xbe)]);
  assert.throws(() => decoder.decode(block), /too many headers/);
});

Deno.test("random bytes are decoded or refused, never anything else", () => {
  for (let round = 0; round < 20_000; round++) {
    const bytes = crypto.getRandomValues(new Uint8Array(round % 40));
    try {
      new HeaderDecoder(MAX_BYTES).decode(bytes);
      decodeHuffman(bytes);
    } catch (error) {
      assert(error instanceof Http2Error);
    }
  }
});

Deno.test("what nghttp2 encodes decodes: every character that a header may have", async () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/s.sock`;
  using listener = Deno.listen({ transport: "unix", path });
  const received: (readonly Header[])[] = [];
  const serving = (async () => {
    const connection = new Http2Connection(await listener.accept(), {
      onStream(stream, headers) {
        received.push(headers);
        stream.sendHeaders([[":status", "200"]], true);
      },
    });
    await connection.closed;
  })();
  const session = connect("http://localhost", { createConnection: () => connectSocket(path) });
  // Node takes header values as latin1. With enough short codes around it, nghttp2 uses Huffman for any character.
  const characters = Array.from({ length: 256 }, (_, at) => at)
    .filter((at) => at >= 0x20 && at !== 0x7f)
    .map((at) => `${"0".repeat(20)}${String.fromCharCode(at)}a`);
  for (const value of characters) {
    const stream = session.request({ ":path": "/x", "x-value": value }, { endStream: true });
    stream.resume();
    await once(stream, "close");
  }
  session.close();
  await serving;
  const values = received.map((headers) => new Map(headers).get("x-value"));
  assert.deepEqual(values, characters);
  Deno.removeSync(folder, { recursive: true });
});
