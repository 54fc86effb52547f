import assert from "node:assert/strict";
import { NetnsLab } from "../testing/lab.ts";
import { MessageType } from "./constants.ts";
import { NetlinkExchange, type NetlinkTransport } from "./exchange.ts";
import { decodeLink, encodeLinkSelector } from "./link.ts";
import { NetlinkSocket } from "./netlink_socket.ts";

const PAIRS = 40;

Deno.test("a link that is renamed or deleted while links are listed: the list is of one moment", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  using links = netns.rtnetlink();
  for (let n = 0; n < PAIRS; n++) links.vethCreate({ name: `a${n}` }, { name: `b${n}` });

  using socket = NetlinkSocket.open(netns.path);
  let sent = 0;
  let received = 0;
  const disturbed: NetlinkTransport = {
    portId: socket.portId,
    send: (datagram) => {
      sent++;
      socket.send(datagram);
    },
    receive: () => {
      const datagram = socket.receive().slice();
      // After the first part of the first try, when the kernel has most of the list still before it.
      if (++received === 1) assert(links.linkDelete("a0"));
      return datagram;
    },
  };
  const payload = encodeLinkSelector(0);
  const answer = new NetlinkExchange(disturbed).dump({
    op: "list",
    type: MessageType.GETLINK,
    payload,
  });
  const names = answer.map((each) => decodeLink(each).name);
  assert.equal(sent, 2);
  assert.equal(names.length, 1 + 2 * (PAIRS - 1));
  assert.equal(new Set(names).size, names.length);
  assert(!names.includes("a0"));
});
