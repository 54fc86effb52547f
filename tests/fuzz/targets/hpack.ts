import { Http2Error } from "../../../shared/rpc/http2/error.ts";
import { encodeHeaders, HeaderDecoder } from "../../../shared/rpc/http2/hpack.ts";
import { type FuzzTarget, must } from "../target.ts";

const MAX_BYTES = 65_536;
/** RFC 7541, appendix C: blocks as others encode them, with Huffman codes and the table. */
const BLOCKS = [
  "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
  "040c2f73616d706c652f70617468",
  "100870617373776f726406736563726574",
  "828684410f7777772e6578616d706c652e636f6d",
  "828684be58086e6f2d6361636865",
  "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
  "828684418cf1e3c2e5f23a6ba0ab90f4ff",
  "828684be5886a8eb10649cbf",
  "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
  "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff",
  "3fe11f20",
];

/** The blocks of one direction of a connection, each behind its length in two bytes. */
function* blocksOf(input: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at + 2 <= input.length;) {
    const length = (input[at]! << 8 | input[at + 1]!) & 0xfff;
    yield input.subarray(at + 2, at + 2 + length);
    at += 2 + length;
  }
}

const framed = (block: Uint8Array) => [block.length >> 8, block.length & 0xff, ...block];

/** Header compression. */
export const hpack: FuzzTarget = {
  name: "hpack",
  what: "header blocks of HTTP/2, several on one connection",
  tokens: [Uint8Array.of(0x3f, 0xe1, 0x1f), Uint8Array.of(0x7f, 0xff, 0xff, 0x7f), "grpc-timeout"],
  seeds: () => {
    const blocks = BLOCKS.map((hex) => Uint8Array.fromHex(hex));
    const own = encodeHeaders([[":method", "POST"], [":path", "/a.B/C"], ["x", "y".repeat(300)]]);
    return [...blocks, own].map((block) => Uint8Array.from(framed(block)))
      .concat(Uint8Array.from(blocks.flatMap(framed)));
  },
  open: () =>
    Promise.resolve({
      run(input: Uint8Array): string {
        const decoder = new HeaderDecoder(MAX_BYTES);
        let names = 0;
        try {
          for (const block of blocksOf(input)) {
            const headers = decoder.decode(block);
            const bytes = headers.reduce(
              (sum, [name, value]) => sum + name.length + value.length,
              0,
            );
            must(bytes <= MAX_BYTES, `${bytes} bytes of headers`);
            names += headers.length;
            const again = new HeaderDecoder(MAX_BYTES).decode(encodeHeaders(headers));
            must(JSON.stringify(again) === JSON.stringify(headers), "encoding changes headers");
          }
        } catch (error) {
          if (!(error instanceof Http2Error)) throw error;
          return error.message.replaceAll(/\d+/g, "#");
        }
        return `${Math.min(names, 20)} headers`;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
};
