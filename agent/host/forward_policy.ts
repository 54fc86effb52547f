import {
  AF_NETLINK,
  bind,
  MSG_DONTWAIT,
  netnsSocket,
  recv,
  sendto,
  SOCK_RAW,
  socket,
} from "../../shared/ffi/sys.ts";
import { AttributeReader, decodeAttributes } from "../../shared/netlink/attribute.ts";
import { MessageFlag, MessageType } from "../../shared/netlink/constants.ts";
import { decodeMessages, encodeMessage } from "../../shared/netlink/message.ts";
import { type Netns, withNetnsFd } from "../../shared/netns/mod.ts";
import { legacyForwardDrops } from "./legacy_forward_policy.ts";

// include/uapi/linux/netfilter/nfnetlink.h, nf_tables.h and netfilter.h
const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_NFTABLES = 10 << 8;
const NFT_MSG_GETCHAIN = 4;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_HOOK_HOOKNUM = 1;
const NF_INET_FORWARD = 2;
const NF_DROP = 0;
const FAMILIES: Readonly<Record<number, string>> = { 1: "inet", 2: "ip" };
const SOCKADDR_NL_BYTES = 12;
const NFGENMSG_BYTES = 4;

/**
 * Names the chains, of nf_tables (iptables-nft among them) and of iptables-legacy, that drop forwarded
 * IPv4 packets unless a rule lets them through.
 * @returns such as `ip filter FORWARD`; empty also where the kernel has neither
 */
export function forwardDropChains(netns?: Netns): string[] {
  const legacy = legacyForwardDrops(netns) ? ["filter FORWARD of iptables-legacy"] : [];
  return [...nftablesChains(netns), ...legacy];
}

function nftablesChains(netns: Netns): string[] {
  try {
    return listChains(netns);
  } catch {
    return [];
  }
}

function listChains(netns: Netns): string[] {
  using fd = netns === undefined
    ? socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)
    : withNetnsFd(netns, (ns) => netnsSocket(ns, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
  const address = new Uint8Array(SOCKADDR_NL_BYTES);
  new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
  bind(fd.fd, address);
  const type = NFNL_SUBSYS_NFTABLES | NFT_MSG_GETCHAIN;
  const flags = MessageFlag.REQUEST | MessageFlag.DUMP;
  const payload = new Uint8Array(NFGENMSG_BYTES);
  sendto(fd.fd, encodeMessage({ type, flags, seq: 1, pid: 0, payload }));
  const found: string[] = [];
  const buffer = new Uint8Array(65536);
  for (;;) {
    const size = recv(fd.fd, buffer, MSG_DONTWAIT);
    for (const message of decodeMessages(buffer.subarray(0, size))) {
      if (message.type === MessageType.DONE || message.type === MessageType.ERROR) return found;
      const chain = dropChain(message.payload);
      if (chain !== undefined) found.push(chain);
    }
  }
}

function dropChain(payload: Uint8Array): string | undefined {
  const family = FAMILIES[payload[0] ?? 0];
  const read = new AttributeReader(decodeAttributes(payload.subarray(NFGENMSG_BYTES)));
  const hook = be32(read.nested(NFTA_CHAIN_HOOK).fixed(NFTA_HOOK_HOOKNUM, 4));
  const policy = be32(read.fixed(NFTA_CHAIN_POLICY, 4));
  if (family === undefined || hook !== NF_INET_FORWARD || policy !== NF_DROP) return undefined;
  return `${family} ${read.string(NFTA_CHAIN_TABLE)} ${read.string(NFTA_CHAIN_NAME)}`;
}

function be32(bytes: Uint8Array | undefined): number | undefined {
  return bytes && new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}
