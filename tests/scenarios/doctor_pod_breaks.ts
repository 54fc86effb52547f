import { hostIfName } from "../../shared/testing/node.ts";
import type { Break } from "./doctor_breaks.ts";

/** What somebody in the pod, or on its interface's other end, can change. */
export const POD_BREAKS: readonly Break[] = [
  {
    name: "a pod with another MAC",
    doIt: async ({ web }) =>
      void await web.netns.run(["ip", "link", "set", "eth0", "address", "02:11:22:33:44:55"]),
    finds: ({ web }) => ({
      kind: "pod interface",
      object: `pod shop/${web.name} eth0`,
      found: /^MAC 02:11:22:33:44:55$/,
    }),
  },
  {
    name: "a pod with another MTU",
    doIt: async ({ web }) => void await web.netns.run(["ip", "link", "set", "eth0", "mtu", "1200"]),
    finds: ({ web }) => ({
      kind: "pod interface",
      object: `pod shop/${web.name} eth0`,
      found: /^MTU 1200$/,
    }),
  },
  {
    name: "another MTU at the host's end",
    doIt: async ({ node, web }) =>
      void await node.netns.run(["ip", "link", "set", hostIfName(web), "mtu", "1300"]),
    finds: ({ web }) => ({ kind: "veth", object: hostIfName(web), found: /^MTU 1300$/ }),
  },
];
