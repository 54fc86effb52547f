import { decodeDoneMessage, decodeErrorMessage } from "../../../shared/netlink/ack.ts";
import { decodeAddress } from "../../../shared/netlink/address.ts";
import { decodeAttributes } from "../../../shared/netlink/attribute.ts";
import { NetlinkExchange } from "../../../shared/netlink/exchange.ts";
import { decodeLink } from "../../../shared/netlink/link.ts";
import { decodeMessages, encodeMessage } from "../../../shared/netlink/message.ts";
import { decodeNeighbour } from "../../../shared/netlink/neighbour.ts";
import { NetlinkDecodeError, NetlinkError } from "../../../shared/netlink/netlink_error.ts";
import { decodeQdisc } from "../../../shared/netlink/qdisc.ts";
import { decodeRoute } from "../../../shared/netlink/route.ts";
import { GOLDEN } from "../../../shared/netlink/testdata/golden.ts";
import { type FuzzTarget, must } from "../target.ts";

/** Around the bytes under test: what a decoder returns must not change with them. */
const MARGIN = 64;
const PORT_ID = 77;
const MOST_DATAGRAMS = 40;

const message = (payload: Uint8Array, flags: number) => ({
  type: 2,
  flags,
  seq: 0,
  pid: 0,
  payload,
});

/** By the first byte of an input: what takes the rest. */
const DECODERS: readonly (readonly [name: string, decode: (bytes: Uint8Array) => unknown])[] = [
  ["messages", decodeMessages],
  ["attributes", decodeAttributes],
  ["link", decodeLink],
  ["address", decodeAddress],
  ["route", decodeRoute],
  ["neighbour", decodeNeighbour],
  ["qdisc", decodeQdisc],
  ["error", (bytes) => decodeErrorMessage(message(bytes, 0x200))],
  ["capped error", (bytes) => decodeErrorMessage(message(bytes, 0x300))],
  ["done", (bytes) => decodeDoneMessage(message(bytes, 0x200))],
  ["exchange", exchange],
];

/** A whole conversation with a kernel that answers these bytes to a dump, all of it in one datagram again and again. */
function exchange(bytes: Uint8Array): unknown {
  let datagrams = 0;
  const transport = {
    portId: PORT_ID,
    send: () => {},
    receive: () => {
      if (++datagrams > MOST_DATAGRAMS) {
        throw new NetlinkDecodeError("conversation", 0, "nothing more comes");
      }
      return bytes;
    },
  };
  try {
    return new NetlinkExchange(transport).dump({ op: "list", type: 18, payload: new Uint8Array() });
  } catch (error) {
    if (error instanceof NetlinkError) return error.message;
    throw error;
  }
}

/** The same bytes amid others: a decoder that reads beyond them gives two different answers. */
function amid(bytes: Uint8Array, filler: number): Uint8Array {
  const around = new Uint8Array(bytes.length + 2 * MARGIN).fill(filler);
  around.set(bytes, MARGIN);
  return around.subarray(MARGIN, MARGIN + bytes.length);
}

function outcome(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): readonly string[] {
  try {
    const value = decode(bytes);
    const text = JSON.stringify(
      value,
      (_, each) =>
        each instanceof Uint8Array ? each.toHex() : typeof each === "bigint" ? `${each}` : each,
    );
    return [text ?? "nothing", `${Array.isArray(value) ? `${value.length} values` : typeof value}`];
  } catch (error) {
    must(error instanceof NetlinkDecodeError, `${error instanceof Error ? error.stack : error}`);
    return [error.message, error.message.replaceAll(/\d+/g, "#")];
  }
}

function seeds(): Uint8Array[] {
  const datagrams = Object.values(GOLDEN).flat().map((hex) => Uint8Array.fromHex(hex));
  const own = datagrams.flatMap((datagram) =>
    decodeMessages(datagram).map((each) => encodeMessage({ ...each, seq: 1, pid: PORT_ID }))
  );
  return [
    ...datagrams.map((bytes) => Uint8Array.of(0, ...bytes)),
    ...own.map((bytes) => Uint8Array.of(10, ...bytes)),
    ...datagrams.flatMap((datagram) =>
      decodeMessages(datagram).flatMap(({ payload }) =>
        DECODERS.map((_, at) => Uint8Array.of(at, ...payload))
      )
    ),
  ];
}

/** The parsers of what the kernel says over rtnetlink. */
export const netlink: FuzzTarget = {
  name: "netlink",
  what: "parsers of netlink messages, on mutated real ones",
  seeds,
  open: () =>
    Promise.resolve({
      run(input: Uint8Array): string {
        const [name, decode] = DECODERS[(input[0] ?? 0) % DECODERS.length]!;
        const bytes = input.subarray(1);
        const [value, kind] = outcome(decode, amid(bytes, 0));
        must(outcome(decode, amid(bytes, 0xff))[0] === value, `${name} reads beyond its bytes`);
        return `${name}: ${kind}`;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
};
