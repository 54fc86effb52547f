import assert from "node:assert/strict";
import { PacketSocket } from "../ffi/packet_socket.ts";
import { openNetns } from "../netns/netns.ts";
import { eventually } from "./eventually.ts";
import type { LabNetns } from "./lab.ts";
import { assertSameFrame, describeFrame } from "./packets/describe.ts";

const DEFAULT_TIMEOUT_MS = 5000;

/** Which frames to keep; absent, all. */
export type FrameFilter = (frame: Uint8Array) => boolean;

/** Keeps IPv4 of one protocol (IpProtocol). The byte alone would also find MAC addresses in ARP. */
export function ipv4Of(protocol: number): FrameFilter {
  return (frame) => frame[12] === 0x08 && frame[13] === 0x00 && frame[23] === protocol;
}

/**
 * Sends and receives whole frames at an interface, beside the kernel's own stack there. It keeps what comes in from
 * the moment it is opened; what the interface sends itself is not seen.
 */
export class RawLink implements Disposable {
  readonly #socket: PacketSocket;
  readonly #filter: FrameFilter;

  /**
   * @param filter frames that it does not like are never seen; the kernel's own chatter, for example.
   * @throws {NetlinkError} ENODEV when there is no such interface.
   */
  constructor(netns: LabNetns, ifName: string, filter: FrameFilter = () => true) {
    using links = netns.rtnetlink();
    using fd = openNetns(netns.path);
    const { index } = links.linkGet(ifName);
    this.#socket = new PacketSocket({ netnsFd: fd.fd, ifindex: index, incomingOnly: true });
    this.#filter = filter;
  }

  /** Sends a frame. @throws {SysError} ENETDOWN when the interface is down. */
  send(frame: Uint8Array): void {
    this.#socket.send(frame);
  }

  /** @returns the frames that have come in since the last call. */
  take(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let next = this.#socket.receive(); next; next = this.#socket.receive()) {
      if (this.#filter(next.data)) frames.push(next.data);
    }
    return frames;
  }

  /**
   * @returns the next frame.
   * @throws {EventuallyError} when none comes in time.
   */
  async next(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Uint8Array> {
    return await eventually(() => this.#nextKept(), { timeoutMs, intervalMs: 1, what: "a frame" });
  }

  /** Fails unless the next frame is this one. @throws {AssertionError} {EventuallyError} */
  async expect(expected: Uint8Array, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    assertSameFrame(await this.next(timeoutMs), expected);
  }

  /**
   * Fails if anything came in before a marker, which is sent by a way that is known to be open and so shows that
   * everything sent earlier has arrived or never will. The marker must be the only frame that satisfies `isMarker`.
   * @throws {AssertionError} {EventuallyError}
   */
  async expectNothingBefore(isMarker: FrameFilter, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    const frame = await this.next(timeoutMs);
    assert(isMarker(frame), `a frame came in:\n${describeFrame(frame)}`);
  }

  /** Closes its socket. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #nextKept(): Uint8Array | undefined {
    for (let next = this.#socket.receive(); next; next = this.#socket.receive()) {
      if (this.#filter(next.data)) return next.data;
    }
    return undefined;
  }
}
