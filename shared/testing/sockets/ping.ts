import { isErrno } from "../../ffi/errno.ts";
import { AF_INET, MSG_DONTWAIT, netnsSocket, recv, sendto, SOCK_RAW } from "../../ffi/sys.ts";
import { IpProtocol } from "../../net/ip_protocol.ts";
import { Ipv4 } from "../../net/ipv4.ts";
import { openNetns } from "../../netns/netns.ts";
import { eventually } from "../eventually.ts";
import type { LabNetns } from "../lab.ts";
import { concat, viewOf } from "../packets/bytes.ts";
import { icmpEcho } from "../packets/transport.ts";
import { encodeAddress } from "./address.ts";

let lastId = 0;

/**
 * Sends an ICMP echo request and waits for its reply.
 * @param options.size bytes of data; default 56
 * @returns the TTL with which the reply came in
 * @throws {EventuallyError} when no reply with the same data comes in time
 * @throws {SysError} when the kernel does not send
 */
export async function ping(
  netns: LabNetns,
  ip: string,
  { timeoutMs = 2000, size = 56 }: { timeoutMs?: number; size?: number } = {},
): Promise<number> {
  using fd = openNetns(netns.path);
  using socket = netnsSocket(fd.fd, AF_INET, SOCK_RAW, IpProtocol.ICMP);
  lastId = lastId % 0xffff + 1;
  const message = { id: lastId, seq: 1 };
  const data = Uint8Array.from({ length: size }, (_, index) => index);
  const build = (reply: boolean) =>
    icmpEcho({ ...message, reply }, data).build(Ipv4.parse("0.0.0.0"), Ipv4.parse(ip));
  sendto(socket.fd, build(false), MSG_DONTWAIT, encodeAddress({ ip, port: 0 }));
  const expected = concat(build(true)).toHex();
  const buffer = new Uint8Array(65536);
  return await eventually(() => {
    const packet = receive(socket.fd, buffer);
    if (packet === undefined) return undefined;
    const source = viewOf(packet).getUint32(12);
    const payload = packet.slice(((packet[0] ?? 0) & 0xf) * 4);
    if (source !== Ipv4.parse(ip).value || payload.toHex() !== expected) return undefined;
    return packet[8];
  }, { timeoutMs, intervalMs: 1, what: `an echo reply from ${ip}` });
}

function receive(fd: number, buffer: Uint8Array<ArrayBuffer>) {
  try {
    return buffer.subarray(0, recv(fd, buffer, MSG_DONTWAIT));
  } catch (error) {
    if (isErrno(error, "EAGAIN")) return undefined;
    throw error;
  }
}
