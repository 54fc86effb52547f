import { AF_INET, getsockopt, netnsReadFile, netnsSocket, SOCK_RAW } from "../../shared/ffi/sys.ts";
import { type Netns, openNetns, withNetnsFd } from "../../shared/netns/mod.ts";

// include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter/x_tables.h and netfilter.h
const SOL_IP = 0;
const IPPROTO_RAW = 255;
const IPT_SO_GET_INFO = 64;
const IPT_SO_GET_ENTRIES = 65;
const TABLE = "filter";
const TABLE_NAME_BYTES = 32;
const GETINFO_BYTES = 84;
const GETINFO_UNDERFLOW_FORWARD = 64;
const GETINFO_SIZE = 80;
const GET_ENTRIES_BYTES = 40;
const ENTRY_TARGET_OFFSET = 88;
const TARGET_VERDICT = 32;
/** -NF_DROP - 1 */
const VERDICT_DROP = -1;

/**
 * Whether the FORWARD chain of iptables-legacy drops what no rule lets through. The kernel is asked only
 * when it has the table already: asking makes it load one.
 */
export function legacyForwardDrops(netns?: Netns): boolean {
  try {
    using own = netns === undefined ? openNetns() : undefined;
    return withNetnsFd(netns ?? own ?? "", (fd) => hasTable(fd) && dropsForwarded(fd));
  } catch {
    // A kernel without ip_tables has no such chain.
    return false;
  }
}

function hasTable(netnsFd: number): boolean {
  const names = netnsReadFile(netnsFd, "/proc/thread-self/net/ip_tables_names");
  return names.split("\n").includes(TABLE);
}

/** A chain's policy is its last entry, which the kernel calls its underflow. */
function dropsForwarded(netnsFd: number): boolean {
  using socket = netnsSocket(netnsFd, AF_INET, SOCK_RAW, IPPROTO_RAW);
  const info = ask(socket.fd, IPT_SO_GET_INFO, request(GETINFO_BYTES));
  const size = info.getUint32(GETINFO_SIZE, true);
  const question = request(GET_ENTRIES_BYTES + size);
  new DataView(question.buffer).setUint32(TABLE_NAME_BYTES, size, true);
  const entries = ask(socket.fd, IPT_SO_GET_ENTRIES, question);
  const policy = GET_ENTRIES_BYTES + info.getUint32(GETINFO_UNDERFLOW_FORWARD, true);
  const target = policy + entries.getUint16(policy + ENTRY_TARGET_OFFSET, true);
  return entries.getInt32(target + TARGET_VERDICT, true) === VERDICT_DROP;
}

function ask(fd: number, option: number, question: Uint8Array<ArrayBuffer>): DataView {
  const answer = getsockopt(fd, SOL_IP, option, question);
  return new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
}

/** A structure that begins with the table's name. */
function request(bytes: number): Uint8Array<ArrayBuffer> {
  const question = new Uint8Array(bytes);
  new TextEncoder().encodeInto(TABLE, question);
  return question;
}
