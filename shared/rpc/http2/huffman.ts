/** The Huffman code of HPACK (RFC 7541, appendix B), which peers may use; what we send is plain. */
import { Http2Code, Http2Error } from "./error.ts";

/**
 * The code is canonical, so that the lengths in bits are all there is to say: of the bytes 0 to 255, as letters with
 * A for 5.
 */
const LENGTHS = "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBB" +
  "AAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJB" +
  "KABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTS" +
  "TTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS" +
  "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVS" +
  "VWVVWWWWWXWWWWWV";
const SHORTEST = 5;
const END_OF_STRING = 256;
const END_OF_STRING_BITS = 30;

/** A binary tree in one array: children of node i at 2i and 2i + 1; negative: the symbol -x - 1; 0: none. */
function buildTree(): Int16Array {
  const lengths = [...LENGTHS].map((letter) => letter.charCodeAt(0) - 65 + SHORTEST);
  lengths[END_OF_STRING] = END_OF_STRING_BITS;
  const symbols = lengths.map((_, symbol) => symbol)
    .sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  const tree: number[] = [0, 0];
  let code = 0;
  let bits = SHORTEST;
  for (const symbol of symbols) {
    code *= 2 ** (lengths[symbol]! - bits);
    bits = lengths[symbol]!;
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const child = node * 2 + (Math.floor(code / 2 ** bit) & 1);
      if (tree[child] === 0) {
        tree[child] = tree.length / 2;
        tree.push(0, 0);
      }
      node = tree[child]!;
    }
    tree[node * 2 + (code & 1)] = -symbol - 1;
    code++;
  }
  return Int16Array.from(tree);
}

let tree: Int16Array | undefined;

/**
 * Decodes a string.
 * @throws {Http2Error} COMPRESSION_ERROR when it holds the end of string or ends in anything but up to 7 ones
 */
export function decodeHuffman(bytes: Uint8Array): string {
  tree ??= buildTree();
  let text = "";
  let node = 0;
  let bitsOfSymbol = 0;
  let onlyOnes = true;
  for (const byte of bytes) {
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >> shift) & 1;
      const next = tree[node * 2 + bit]!;
      bitsOfSymbol++;
      onlyOnes &&= bit === 1;
      if (next >= 0) {
        node = next;
        continue;
      }
      const symbol = -next - 1;
      if (symbol === END_OF_STRING) throw badCode();
      text += String.fromCharCode(symbol);
      node = 0;
      bitsOfSymbol = 0;
      onlyOnes = true;
    }
  }
  if (bitsOfSymbol > 7 || !onlyOnes) throw badCode();
  return text;
}

function badCode(): Http2Error {
  return new Http2Error(Http2Code.COMPRESSION_ERROR, "a header has a bad Huffman code");
}
