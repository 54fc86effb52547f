import assert from "node:assert/strict";
import { detectTunnelProtocol } from "./tunnel_protocol.ts";

const KERNELS: [what: string, file: string, text: string, expected: string][] = [
  [
    "a module",
    "modules.dep",
    "kernel/drivers/net/geneve.ko.xz: kernel/net/ipv4/udp_tunnel.ko.xz\n",
    "geneve",
  ],
  [
    "built in",
    "modules.builtin",
    "kernel/drivers/net/veth.ko\nkernel/drivers/net/geneve.ko\n",
    "geneve",
  ],
  ["none", "modules.dep", "kernel/drivers/net/vxlan/vxlan.ko:\n", "vxlan"],
  ["no list at all", "other", "", "vxlan"],
];
for (const [what, file, text, expected] of KERNELS) {
  Deno.test(`geneve: ${what}`, () => {
    const dir = Deno.makeTempDirSync({ prefix: "nvt-modules-" });
    try {
      Deno.writeTextFileSync(`${dir}/${file}`, text);
      assert.equal(detectTunnelProtocol(dir), expected);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}
