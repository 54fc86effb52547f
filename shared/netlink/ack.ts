import { AttributeReader, decodeAttributes } from "./attribute.ts";
import { ErrorAttr, LITTLE_ENDIAN, MessageFlag } from "./constants.ts";
import { align4, type NetlinkMessage } from "./message.ts";
import { NetlinkDecodeError } from "./netlink_error.ts";

const MESSAGE_HEADER_SIZE = 16;

/** The kernel's verdict on a request: NLMSG_ERROR, or NLMSG_DONE at the end of a dump. */
export interface Ack {
  /** 0 when it worked, else positive as in errno(3). */
  readonly errno: number;
  /** The extended acknowledgement's text, or "". */
  readonly kernelMessage: string;
}

/**
 * Reads an NLMSG_ERROR (struct nlmsgerr; the request or its header in between).
 * @throws {NetlinkDecodeError} when it is cut short.
 */
export function decodeErrorMessage(message: NetlinkMessage): Ack {
  const errno = readErrno(message);
  if ((message.flags & MessageFlag.ACK_TLVS) === 0) return { errno, kernelMessage: "" };
  const requestOffset = 4;
  const request = message.payload.subarray(requestOffset);
  if (request.length < MESSAGE_HEADER_SIZE) {
    throw new NetlinkDecodeError(
      "error message",
      requestOffset,
      "the request's header is cut short",
    );
  }
  const capped = (message.flags & MessageFlag.CAPPED) !== 0;
  const requestLength = capped ? MESSAGE_HEADER_SIZE : lengthOf(request);
  return { errno, kernelMessage: extendedText(request.subarray(align4(requestLength))) };
}

/**
 * Reads an NLMSG_DONE: an errno, then attributes at once.
 * @throws {NetlinkDecodeError} when it is cut short.
 */
export function decodeDoneMessage(message: NetlinkMessage): Ack {
  // A kernel may end a dump without a status; that is success.
  if (message.payload.length === 0) return { errno: 0, kernelMessage: "" };
  const errno = readErrno(message);
  const hasText = (message.flags & MessageFlag.ACK_TLVS) !== 0;
  return { errno, kernelMessage: hasText ? extendedText(message.payload.subarray(4)) : "" };
}

function readErrno({ payload }: NetlinkMessage): number {
  if (payload.length < 4) throw new NetlinkDecodeError("error message", 0, "no error number");
  const error = new DataView(payload.buffer, payload.byteOffset, 4).getInt32(0, LITTLE_ENDIAN);
  return Math.abs(error);
}

function lengthOf(request: Uint8Array): number {
  const length = new DataView(request.buffer, request.byteOffset).getUint32(0, LITTLE_ENDIAN);
  if (length < MESSAGE_HEADER_SIZE || length > request.length) {
    throw new NetlinkDecodeError("error message", 4, `the request's length is ${length}`);
  }
  return length;
}

function extendedText(bytes: Uint8Array): string {
  return new AttributeReader(decodeAttributes(bytes)).string(ErrorAttr.MSG) ?? "";
}
