import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { attachClsact, BpfMap, BpfProgram, type Direction, TcxLink } from "../../shared/ffi/bpf.ts";
import {
  CidrKeyCodec,
  CidrValueCodec,
  DatapathStateCodec,
  EndpointValueCodec,
  Layout,
  PodIfaceValueCodec,
  PolicyShapeKeyCodec,
  PolicyShapeValueCodec,
  PolicyValueCodec,
} from "../../shared/gen/abi.ts";
import {
  AttachType,
  ConfigKey,
  DataplaneControl,
  PolicyAction,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import { inNetns } from "../../shared/netns/mod.ts";
import { hostIfName, type LabNode, type LabPod } from "../../shared/testing/node.ts";
import type { NetnsLab } from "../../shared/testing/lab.ts";

/** What a break has to work on. */
export interface Bench {
  readonly lab: NetnsLab;
  readonly node: LabNode;
  /** A pod that others talk to. */
  readonly web: LabPod;
}

/** What the doctor must find: its kind, how its object begins, and what is there. */
export interface Wanted {
  readonly kind: string;
  readonly object: string;
  readonly found: RegExp;
}

/** One thing broken by hand, and what the doctor must say of it. */
export interface Break {
  readonly name: string;
  readonly doIt: (bench: Bench) => void | Promise<void>;
  /** Called after all of its list are broken. */
  readonly finds: (bench: Bench) => Wanted;
}

const { LAYOUT_VERSION } = Layout;
/** An address that no pod has. */
const FREE = "10.244.0.200";
const FREE_IP = Ipv4.parse(FREE).value;
const STRAY_LINK = "nv0123456789a";
const STRAY_INDEX = 60_000;
/** What a pod's name completes. */
const IDENTITY_KEY_OF = "SELECT identity_key FROM attachments WHERE pod_name =";
const RULE = "shop/guard:ingress";

const u32 = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
const ifindexOf = (bench: Bench) => linkOf(bench).index;

function linkOf({ node, web }: Bench) {
  using links = node.netns.rtnetlink();
  return links.linkGet(hostIfName(web));
}

/** A veth with the MAC of the node's interfaces, which says that it is ours. */
async function addOwnLink(bench: Bench, name: string, peer: string): Promise<void> {
  const argv = ["ip", "link", "add", name, "address", `${linkOf(bench).mac}`, "type", "veth"];
  await bench.node.netns.run([...argv, "peer", "name", peer]);
}

/** Works on a pinned map as bpftool does. */
function withMap({ node }: Bench, name: string, work: (map: BpfMap) => void): void {
  using map = BpfMap.openPinned(`${node.pinDir}/${name}_v${LAYOUT_VERSION}`);
  work(map);
}

/** Changes the first value that a map has. */
function changeFirst(
  bench: Bench,
  name: string,
  change: (value: Uint8Array<ArrayBuffer>) => void,
): void {
  withMap(bench, name, (map) => {
    for (const [key, value] of map.entries()) {
      const [k, v] = [key.slice(), value.slice()];
      change(v);
      return map.update(k, v);
    }
    throw new Error(`${name} is empty`);
  });
}

function deleteFirst(bench: Bench, name: string): void {
  withMap(bench, name, (map) => {
    for (const key of map.keys()) return void map.delete(key.slice());
    throw new Error(`${name} is empty`);
  });
}

function withDatabase({ node }: Bench, sql: string): void {
  using db = new DatabaseSync(join(node.dir, "state", "agent.db"), {
    enableForeignKeyConstraints: false,
  });
  db.exec(sql);
}

function linkPin({ node, ...bench }: Bench, direction: Direction): string {
  return `${node.pinDir}/link_${ifindexOf({ node, ...bench })}_${direction}`;
}

function run(...argv: string[]) {
  return async ({ node }: Bench) => void await node.netns.run(argv);
}

/** Every kind of thing that can be too much, too little or wrong; those of one list are broken together. */
export const BREAKS: readonly (readonly Break[])[] = [
  [
    {
      name: "an extra veth of ours",
      doIt: (bench) => addOwnLink(bench, STRAY_LINK, "stray0"),
      finds: () => ({ kind: "veth", object: STRAY_LINK, found: /without an endpoint/ }),
    },
    {
      name: "a veth that only our MAC gives away",
      doIt: (bench) => addOwnLink(bench, "stray1", "stray2"),
      finds: () => ({ kind: "veth", object: "stray1", found: /without an endpoint/ }),
    },
    {
      name: "a stray route",
      doIt: run("ip", "route", "add", `${FREE}/32`, "dev", "uplink", "proto", "78"),
      finds: () => ({ kind: "route", object: `${FREE}/32`, found: /^dev uplink$/ }),
    },
    {
      name: "a missing neighbour",
      doIt: async ({ node, web }) =>
        void await node.netns.run(["ip", "neighbour", "delete", web.ip, "dev", hostIfName(web)]),
      finds: ({ web }) => ({
        kind: "neighbour",
        object: `${web.ip} dev ${hostIfName(web)}`,
        found: /^(no neighbour|not permanent)/,
      }),
    },
    {
      name: "a stray neighbour",
      doIt: async ({ node, web }) => {
        const argv = ["ip", "neighbour", "add", FREE, "lladdr", "02:00:00:00:00:02"];
        await node.netns.run([...argv, "dev", hostIfName(web), "nud", "permanent"]);
      },
      finds: ({ web }) => ({
        kind: "neighbour",
        object: `${FREE} dev ${hostIfName(web)}`,
        found: /02:00:00:00:00:02/,
      }),
    },
    {
      name: "a kernel setting of a pod's interface",
      doIt: async ({ node, web }) =>
        void await node.netns.run([
          "sysctl",
          "-qw",
          `net.ipv4.conf.${hostIfName(web)}.forwarding=0`,
        ]),
      finds: ({ web }) => ({
        kind: "sysctl",
        object: `net/ipv4/conf/${hostIfName(web)}/forwarding`,
        found: /^0$/,
      }),
    },
  ],
  [
    {
      name: "a missing veth",
      doIt: async ({ node, web }) =>
        void await node.netns.run(["ip", "link", "delete", hostIfName(web)]),
      finds: ({ web }) => ({ kind: "veth", object: hostIfName(web), found: /no such interface/ }),
    },
    {
      name: "a stray file in the spool",
      doIt: ({ node }) =>
        Deno.writeTextFileSync(join(node.dir, "state", "spool", "x.json.bad"), "{"),
      finds: ({ node }) => ({
        kind: "spool",
        object: join(node.dir, "state", "spool", "x.json.bad"),
        found: /no deferred deletion/,
      }),
    },
  ],
  [
    {
      name: "a veth that is down",
      doIt: async ({ node, web }) =>
        void await node.netns.run(["ip", "link", "set", hostIfName(web), "down"]),
      finds: ({ web }) => ({ kind: "veth", object: hostIfName(web), found: /^down$/ }),
    },
    {
      name: "a socket that others may open",
      doIt: ({ node }) => Deno.chmodSync(node.socket("dataplane.sock"), 0o666),
      finds: ({ node }) => ({
        kind: "socket",
        object: node.socket("dataplane.sock"),
        found: /0666/,
      }),
    },
  ],
  [
    {
      name: "a missing route",
      doIt: async ({ node, web }) =>
        void await node.netns.run(["ip", "route", "delete", `${web.ip}/32`]),
      finds: ({ web }) => ({ kind: "route", object: `${web.ip}/32`, found: /^no route$/ }),
    },
    {
      name: "a wrong neighbour",
      doIt: async ({ node, web }) => {
        const argv = ["ip", "neighbour", "replace", web.ip, "lladdr", "02:00:00:00:00:01"];
        await node.netns.run([...argv, "dev", hostIfName(web), "nud", "permanent"]);
      },
      finds: ({ web }) => ({
        kind: "neighbour",
        object: `${web.ip} dev ${hostIfName(web)}`,
        found: /02:00:00:00:00:01/,
      }),
    },
    {
      name: "a pod without its default route",
      doIt: async ({ web }) => void await web.netns.run(["ip", "route", "delete", "default"]),
      finds: ({ web }) => ({
        kind: "pod interface",
        object: `pod shop/${web.name} eth0`,
        found: /^no route$/,
      }),
    },
  ],
  [
    {
      name: "a wrong route",
      doIt: async ({ node, web }) =>
        void await node.netns.run(["ip", "route", "replace", `${web.ip}/32`, "dev", "uplink"]),
      finds: ({ web }) => ({ kind: "route", object: `${web.ip}/32`, found: /^dev uplink$/ }),
    },
    {
      name: "a pod without its address",
      doIt: async ({ web }) => void await web.netns.run(["ip", "address", "flush", "dev", "eth0"]),
      finds: ({ web }) => ({
        kind: "pod interface",
        object: `pod shop/${web.name} eth0`,
        found: /^not there$/,
      }),
    },
  ],
  [
    {
      name: "a second route beside a pod's",
      doIt: async ({ node, web }) =>
        void await node.netns.run([
          "ip",
          "route",
          "add",
          `${web.ip}/32`,
          "dev",
          "uplink",
          "proto",
          "78",
          "metric",
          "7",
        ]),
      finds: ({ web }) => ({
        kind: "route",
        object: `${web.ip}/32`,
        found: /^dev uplink metric 7$/,
      }),
    },
    {
      name: "a detached program",
      doIt: (bench) => {
        using link = TcxLink.openPinned(linkPin(bench, "ingress"));
        link.detach();
      },
      finds: ({ web }) => ({
        kind: "program",
        object: `${hostIfName(web)} ingress`,
        found: /^no program$/,
      }),
    },
    {
      name: "a stray pin of a map",
      doIt: (bench) => withMap(bench, "CONFIG", (map) => map.pin(`${bench.node.pinDir}/OLD_v0`)),
      finds: ({ node }) => ({
        kind: "pin",
        object: `${node.pinDir}/OLD_v0`,
        found: /nothing needs/,
      }),
    },
    {
      name: "a stray pin of another's name",
      doIt: (bench) => withMap(bench, "CONFIG", (map) => map.pin(`${bench.node.pinDir}/stray`)),
      finds: ({ node }) => ({
        kind: "pin",
        object: `${node.pinDir}/stray`,
        found: /nothing needs/,
      }),
    },
    {
      name: "a missing pin of a map",
      doIt: ({ node }) => Deno.removeSync(`${node.pinDir}/POLICIES_v${LAYOUT_VERSION}`),
      finds: ({ node }) => ({
        kind: "pin",
        object: `${node.pinDir}/POLICIES_v${LAYOUT_VERSION}`,
        found: /^no file$/,
      }),
    },
    {
      name: "a missing pin of a program",
      doIt: ({ node }) => Deno.removeSync(programPin(node, "pod_ingress")),
      finds: () => ({ kind: "pin", object: "", found: /^no file$/ }),
    },
  ],
  [
    {
      name: "a removed pin of a link",
      doIt: (bench) => Deno.removeSync(linkPin(bench, "egress")),
      finds: ({ web }) => ({
        kind: "program",
        object: `${hostIfName(web)} egress`,
        found: /^no program$/,
      }),
    },
    {
      name: "a stray pin of a link",
      doIt: (bench) => {
        using link = TcxLink.openPinned(linkPin(bench, "ingress"));
        link.pin(`${bench.node.pinDir}/link_${STRAY_INDEX}_ingress`);
      },
      finds: ({ node }) => ({
        kind: "pin",
        object: `${node.pinDir}/link_${STRAY_INDEX}_ingress`,
        found: /nothing needs/,
      }),
    },
    {
      name: "a second program, by a filter",
      doIt: (bench) => {
        using program = BpfProgram.openPinned(programPin(bench.node, "pod_egress"));
        const index = ifindexOf(bench);
        inNetns(bench.node.netns.path, () => attachClsact(program, index, "ingress"));
      },
      finds: ({ web }) => ({
        kind: "program",
        object: `${hostIfName(web)} ingress`,
        found: /^a second one, by clsact$/,
      }),
    },
    {
      name: "a program on an interface of ours that no pod has",
      doIt: async ({ node, ...bench }) => {
        await addOwnLink({ node, ...bench }, STRAY_LINK, "stray0");
        const dataplane = node.client(DataplaneControl, "dataplane.sock");
        const attachType = AttachType.ATTACH_TC_INGRESS;
        await dataplane.attachProgram({ interfaceName: STRAY_LINK, attachType });
      },
      finds: () => ({ kind: "program", object: `${STRAY_LINK} ingress`, found: /^program \d+$/ }),
    },
    {
      name: "a pod whose namespace is gone",
      doIt: async ({ lab, node }) => {
        const pod = await node.addPod(`gone-${Date.now()}`);
        const argv = ["ip", "netns", "delete", pod.netns.name];
        await node.netns.run(argv);
        // The lab removes its namespaces itself.
        lab.start(["ip", "netns", "add", pod.netns.name]);
      },
      finds: () => ({ kind: "pod", object: "", found: /network namespace is gone/ }),
    },
  ],
  [
    {
      name: "a deleted entry of ENDPOINTS",
      doIt: (bench) =>
        withMap(bench, "ENDPOINTS", (map) => void map.delete(u32(Ipv4.parse(bench.web.ip).value))),
      finds: ({ web }) => ({
        kind: "endpoint map",
        object: `ENDPOINTS ${web.ip}`,
        found: /^no entry$/,
      }),
    },
    {
      name: "a stray entry of ENDPOINTS",
      doIt: (bench) =>
        withMap(bench, "ENDPOINTS", (map) => {
          const mac = Mac.parse("02:00:00:00:00:03").bytes;
          const endpoint = { ip: FREE_IP, ifindex: 0, mac, identity: 4711, nodeIp: 0 };
          map.update(u32(FREE_IP), EndpointValueCodec.encode(endpoint));
        }),
      finds: () => ({ kind: "endpoint map", object: `ENDPOINTS ${FREE}`, found: /identity 4711/ }),
    },
    {
      name: "a cleared element of POD_IFACES",
      doIt: (bench) =>
        withMap(bench, "POD_IFACES", (map) => {
          map.update(u32(ifindexOf(bench)), new Uint8Array(PodIfaceValueCodec.size));
        }),
      finds: (bench) => ({
        kind: "interface map",
        object: `POD_IFACES ${ifindexOf(bench)}`,
        found: /no entry/,
      }),
    },
    {
      name: "a stray element of POD_IFACES",
      doIt: (bench) =>
        withMap(bench, "POD_IFACES", (map) => {
          const mac = Mac.parse("02:00:00:00:00:04").bytes;
          const iface = { ifindex: STRAY_INDEX, ip: FREE_IP, identity: 300, mac, gatewayMac: mac };
          map.update(u32(STRAY_INDEX), PodIfaceValueCodec.encode(iface));
        }),
      finds: () => ({
        kind: "interface map",
        object: `POD_IFACES ${STRAY_INDEX}`,
        found: /identity 300/,
      }),
    },
    {
      name: "a deleted entry of POLICIES",
      doIt: (bench) => deleteFirst(bench, "POLICIES"),
      finds: () => ({ kind: "policy map", object: "POLICIES", found: /^no entry$/ }),
    },
    {
      name: "a stray entry of POLICIES",
      doIt: (bench) =>
        withMap(bench, "POLICIES", (map) => {
          const key = new Uint8Array(16);
          key.set(u32(4713));
          const action = new Uint8Array([1, 1]);
          const value = { generation: 0, action, ruleId: [9, 9] };
          map.update(key, PolicyValueCodec.encode(value));
        }),
      finds: () => ({
        kind: "policy map",
        object: "POLICIES 4713 -> *, any protocol, any port, both",
        found: /ALLOW by rule 9/,
      }),
    },
    {
      name: "a deleted entry of POLICY_SHAPES",
      doIt: (bench) => deleteFirst(bench, "POLICY_SHAPES"),
      finds: () => ({ kind: "policy shape map", object: "POLICY_SHAPES", found: /^no entry$/ }),
    },
    {
      name: "a stray entry of POLICY_SHAPES",
      doIt: (bench) =>
        withMap(bench, "POLICY_SHAPES", (map) => {
          const key = PolicyShapeKeyCodec.encode({ identity: 4719, direction: 1 });
          const shape = { exactProtocol: 1, anyProtocol: 2 };
          map.update(key, PolicyShapeValueCodec.encode({ shape }));
        }),
      finds: () => ({
        kind: "policy shape map",
        object: "POLICY_SHAPES identity 4719,",
        found: /^0x1, any protocol 0x2$/,
      }),
    },
    {
      name: "a deleted entry of CIDR_IDENTITIES",
      doIt: (bench) => deleteFirst(bench, "CIDR_IDENTITIES"),
      finds: () => ({ kind: "CIDR map", object: "CIDR_IDENTITIES", found: /^no entry$/ }),
    },
    {
      name: "a stray entry of CIDR_IDENTITIES",
      doIt: (bench) =>
        withMap(bench, "CIDR_IDENTITIES", (map) => {
          const addressBe = new Uint8Array([198, 51, 100, 0]);
          const key = CidrKeyCodec.encode({ prefixLen: 24, addressBe });
          map.update(
            key,
            CidrValueCodec.encode({ generation: 0, identity: [2 ** 24 + 99, 2 ** 24 + 99] }),
          );
        }),
      finds: () => ({
        kind: "CIDR map",
        object: "CIDR_IDENTITIES 198.51.100.0/24",
        found: /identity/,
      }),
    },
    {
      name: "a changed element of CONFIG",
      doIt: (bench) =>
        withMap(bench, "CONFIG", (map) => {
          map.update(u32(ConfigKey.POD_CIDR_PL), new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0]));
        }),
      finds: () => ({ kind: "configuration map", object: "CONFIG POD_CIDR_PL", found: /^3$/ }),
    },
    {
      name: "a changed address in CONFIG",
      doIt: (bench) =>
        withMap(bench, "CONFIG", (map) => {
          map.update(u32(ConfigKey.NODE_IP), new Uint8Array([1, 2, 3, 4, 0, 0, 0, 0]));
        }),
      finds: () => ({
        kind: "configuration map",
        object: "CONFIG NODE_IP",
        found: /^4\.3\.2\.1$/,
      }),
    },
    {
      name: "a changed member of DATAPATH_STATE",
      doIt: (bench) =>
        changeFirst(bench, "DATAPATH_STATE", (value) => {
          const state = DatapathStateCodec.decode(value);
          value.set(DatapathStateCodec.encode({ ...state, defaultDeny: 1 }));
        }),
      finds: () => ({ kind: "state map", object: "DATAPATH_STATE defaultDeny", found: /^1$/ }),
    },
  ],
  [
    {
      name: "a changed entry of ENDPOINTS",
      doIt: (bench) =>
        withMap(bench, "ENDPOINTS", (map) => {
          const key = u32(Ipv4.parse(bench.web.ip).value);
          const endpoint = EndpointValueCodec.decode(map.lookup(key) ?? new Uint8Array());
          map.update(key, EndpointValueCodec.encode({ ...endpoint, identity: 4712 }));
        }),
      finds: ({ web }) => ({
        kind: "endpoint map",
        object: `ENDPOINTS ${web.ip}`,
        found: /identity 4712/,
      }),
    },
    {
      name: "a changed entry of POLICIES",
      doIt: (bench) =>
        changeFirst(bench, "POLICIES", (value) => {
          const policy = PolicyValueCodec.decode(value);
          value.set(PolicyValueCodec.encode({ ...policy, ruleId: [4714, 4714] }));
        }),
      finds: () => ({ kind: "policy map", object: "POLICIES", found: /by rule 4714$/ }),
    },
  ],
  [
    {
      name: "a stray policy entry that the dataplane was told",
      doIt: async ({ node }) => {
        const dataplane = node.client(DataplaneControl, "dataplane.sock");
        await dataplane.upsertPolicy({ srcIdentity: 4715, action: PolicyAction.DENY, ruleId: 7 });
      },
      finds: () => ({
        kind: "policy",
        object: "4715 -> *, any protocol, any port, both",
        found: /DENY by rule 7/,
      }),
    },
    {
      name: "a stray endpoint that the dataplane was told",
      doIt: async ({ node }) => {
        const dataplane = node.client(DataplaneControl, "dataplane.sock");
        const mac = Mac.parse("02:00:00:00:00:05").bytes;
        await dataplane.upsertEndpoint({ ip: FREE_IP, mac, identityId: 4716 });
      },
      finds: () => ({ kind: "endpoint", object: FREE, found: /identity 4716/ }),
    },
    {
      name: "configuration that the dataplane was told",
      doIt: async ({ node }) => {
        const dataplane = node.client(DataplaneControl, "dataplane.sock");
        await dataplane.updateConfig({ entries: { [ConfigKey.DEFAULT_DENY]: 1n } });
      },
      finds: () => ({ kind: "configuration", object: "DEFAULT_DENY", found: /^1$/ }),
    },
  ],
  [
    {
      name: "an endpoint that the dataplane was told to delete",
      doIt: async ({ node, web }) => {
        const dataplane = node.client(DataplaneControl, "dataplane.sock");
        await dataplane.deleteEndpoint({ ip: Ipv4.parse(web.ip).value });
      },
      finds: ({ web }) => ({ kind: "endpoint", object: web.ip, found: /^no endpoint$/ }),
    },
    {
      name: "a stray address in the database",
      doIt: (bench) =>
        withDatabase(bench, `INSERT INTO addresses (ip, state) VALUES (${FREE_IP}, 'used')`),
      finds: () => ({ kind: "address", object: FREE, found: /marked as used/ }),
    },
    {
      name: "a missing attachment in the database",
      doIt: (bench) => withDatabase(bench, "DELETE FROM attachments WHERE pod_name = 'web'"),
      finds: () => ({ kind: "database", object: "pod shop/web eth0", found: /no row/ }),
    },
    {
      name: "a stray identity in the database",
      doIt: (bench) =>
        withDatabase(bench, `INSERT INTO identities VALUES ('stray', 4717, '{"app":"stray"}')`),
      finds: () => ({ kind: "identity", object: "4717", found: /stray/ }),
    },
    {
      name: "a stray rule name in the database",
      doIt: (bench) =>
        withDatabase(bench, "INSERT INTO rules VALUES (4718, 'stray/rule:ingress[0]')"),
      finds: () => ({
        kind: "rule name",
        object: "4718 stray/rule:ingress[0]",
        found: /^number 4718$/,
      }),
    },
  ],
  [
    {
      name: "a missing address in the database",
      doIt: (bench) =>
        withDatabase(bench, `DELETE FROM addresses WHERE ip = ${Ipv4.parse(bench.web.ip).value}`),
      finds: ({ web }) => ({ kind: "address", object: web.ip, found: /not marked as used/ }),
    },
    {
      name: "a stray attachment in the database",
      doIt: (bench) =>
        withDatabase(
          bench,
          `INSERT INTO addresses (ip, state) VALUES (${FREE_IP}, 'used');
         INSERT INTO attachments SELECT 'stray', if_name, pod_namespace, 'stray', netns, netns_id, ${FREE_IP},
           mac, gateway, prefix_len, mtu, 'nvstray', 0, labels, identity_key, state, created_unix_ms
         FROM attachments WHERE pod_name = 'web'`,
        ),
      finds: () => ({ kind: "database", object: "pod shop/stray eth0", found: new RegExp(FREE) }),
    },
  ],
  [
    {
      name: "a missing identity in the database",
      doIt: (bench) =>
        withDatabase(
          bench,
          `DELETE FROM identities WHERE key IN (${IDENTITY_KEY_OF} 'friend')`,
        ),
      finds: () => ({ kind: "identity", object: "", found: /^no row in the database$/ }),
    },
    {
      name: "an identity with another number in the database",
      doIt: (bench) =>
        withDatabase(
          bench,
          `UPDATE identities SET id = 4720 WHERE key IN (${IDENTITY_KEY_OF} 'web')`,
        ),
      finds: () => ({ kind: "identity", object: "", found: /^number 4720 in the database$/ }),
    },
    {
      name: "a missing rule name in the database",
      doIt: (bench) => withDatabase(bench, `DELETE FROM rules WHERE name = '${RULE}[0]'`),
      finds: () => ({ kind: "rule name", object: "", found: /^no row in the database$/ }),
    },
    {
      name: "a rule name with another number in the database",
      doIt: (bench) => withDatabase(bench, `UPDATE rules SET id = 4721 WHERE name = '${RULE}[1]'`),
      finds: () => ({ kind: "rule name", object: "", found: /^number 4721$/ }),
    },
  ],
];

function programPin(node: LabNode, program: string): string {
  for (const { name } of Deno.readDirSync(node.pinDir)) {
    if (name.startsWith(`prog_${program}_`)) return `${node.pinDir}/${name}`;
  }
  throw new Error("no pinned program");
}
