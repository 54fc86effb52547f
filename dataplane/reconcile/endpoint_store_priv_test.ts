import assert from "node:assert/strict";
import { Mac } from "../../shared/net/mac.ts";
import { Ipv4 } from "../../shared/net/ipv4.ts";
import { DatapathStateMap } from "../maps/datapath_state.ts";
import { type Endpoint, EndpointsMap } from "../maps/endpoints.ts";
import { PodIfacesMap } from "../maps/pod_ifaces.ts";
import { TableFullError } from "../maps/table_full_error.ts";
import { openTestObjects } from "../testing/kernel.ts";
import { PrivateBpffs } from "../testing/private_bpffs.ts";
import { EndpointStore } from "./endpoint_store.ts";

const GATEWAY_MAC = Mac.parse("02:fe:0a:f4:00:01").bytes;
const SLOTS = 65_536;

function pod(address: string, ifindex: number, identity = 256): Endpoint {
  const ip = Ipv4.parse(address);
  return { ip: ip.value, ifindex, identity, mac: Mac.forPod(ip).bytes, nodeIp: 0 };
}

async function withMaps(
  test: (
    open: () => EndpointStore,
    maps: { endpoints: EndpointsMap; podIfaces: PodIfacesMap; state: DatapathStateMap },
  ) => void,
): Promise<void> {
  using bpffs = new PrivateBpffs();
  using objects = await openTestObjects(bpffs, { endpointMax: 64 });
  using state = new DatapathStateMap(objects.map("DATAPATH_STATE"));
  const maps = {
    endpoints: new EndpointsMap(objects.map("ENDPOINTS")),
    podIfaces: new PodIfacesMap(objects.map("POD_IFACES"), objects.map("POD_IFACES_MORE")),
    state,
  };
  const macOf = (ifindex: number) => ifindex === 404 ? undefined : GATEWAY_MAC;
  test(() => new EndpointStore(maps, macOf), maps);
}

Deno.test("a pod's interface opens and closes with its endpoint", async () => {
  await withMaps((open, { podIfaces, endpoints }) => {
    const store = open();
    const a = pod("10.244.0.2", 7);
    store.upsert(a);
    assert.deepEqual([...endpoints.entries()], [a]);
    const { ip, mac, identity } = a;
    assert.deepEqual(podIfaces.get(7), { ifindex: 7, ip, mac, identity, gatewayMac: GATEWAY_MAC });
    store.upsert({ ...a, identity: 300 });
    assert.equal(podIfaces.get(7)?.identity, 300);
    assert.equal(store.delete(a.ip), true);
    assert.equal(store.delete(a.ip), false);
    assert.equal(podIfaces.get(7), undefined);
    assert.deepEqual([...endpoints.entries()], []);
    assert.equal(store.size, 0);
  });
});

Deno.test("addresses that are no pod of this node open nothing", async () => {
  await withMaps((open, { podIfaces }) => {
    const store = open();
    store.upsert({ ...pod("10.244.1.2", 0), nodeIp: Ipv4.parse("192.0.2.2").value });
    assert.deepEqual([...podIfaces.entries()], []);
    assert.equal(store.size, 1);
  });
});

Deno.test("an address that moves to another interface closes the old one", async () => {
  await withMaps((open, { podIfaces }) => {
    const store = open();
    store.upsert(pod("10.244.0.2", 7));
    store.upsert(pod("10.244.0.2", 8));
    assert.deepEqual([...podIfaces.entries()].map(({ ifindex }) => ifindex), [8]);
    // The interface is another address's by now: the first one's end does not close it.
    store.upsert(pod("10.244.0.3", 8));
    store.delete(Ipv4.parse("10.244.0.2").value);
    assert.equal(podIfaces.get(8)?.ip, Ipv4.parse("10.244.0.3").value);
  });
});

Deno.test("interfaces that share a slot do not meet", async () => {
  await withMaps((open, { podIfaces }) => {
    const store = open();
    const pods = [
      pod("10.244.0.2", 9),
      pod("10.244.0.3", 9 + SLOTS),
      pod("10.244.0.4", 9 + 2 * SLOTS),
    ];
    for (const each of pods) store.upsert(each);
    for (const each of pods) assert.equal(podIfaces.get(each.ifindex)?.ip, each.ip);
    store.delete(pods[0]?.ip ?? 0);
    assert.equal(podIfaces.get(9), undefined);
    for (const each of pods.slice(1)) assert.equal(podIfaces.get(each.ifindex)?.ip, each.ip);
    store.upsert({ ...pods[1] as Endpoint, identity: 999 });
    assert.equal(podIfaces.get(9 + SLOTS)?.identity, 999);
    assert.equal([...podIfaces.entries()].length, 2, "each stands once");
  });
});

Deno.test("living connections are judged again when, and only when, something changed", async () => {
  await withMaps((open, { state }) => {
    const store = open();
    const generation = () => state.value.evaluationGeneration;
    const steps: [name: string, step: () => unknown, moves: boolean][] = [
      ["new", () => store.upsert(pod("10.244.0.2", 7)), true],
      ["the same", () => store.upsert(pod("10.244.0.2", 7)), false],
      ["identity", () => store.upsert(pod("10.244.0.2", 7, 300)), true],
      ["interface", () => store.upsert(pod("10.244.0.2", 8, 300)), true],
      ["gone", () => store.delete(Ipv4.parse("10.244.0.2").value), true],
      ["gone again", () => store.delete(Ipv4.parse("10.244.0.2").value), false],
    ];
    for (const [name, step, moves] of steps) {
      const before = generation();
      step();
      assert.equal(generation() - before, moves ? 1 : 0, name);
    }
  });
});

Deno.test("a full map refuses one more, and takes it when there is room", async () => {
  await withMaps((open, { podIfaces }) => {
    const store = open();
    for (let i = 0; i < 64; i++) store.upsert(pod(`10.244.1.${i}`, 100 + i));
    const extra = pod("10.244.2.1", 500);
    assert.throws(
      () => store.upsert(extra),
      (error) => error instanceof TableFullError && error.table === "ENDPOINTS",
    );
    assert.equal(podIfaces.get(500), undefined, "the pod stays closed");
    assert.equal(store.size, 64);
    store.delete(Ipv4.parse("10.244.1.0").value);
    store.upsert(extra);
    assert.equal(podIfaces.get(500)?.ip, extra.ip);
  });
});

Deno.test("a start after a kill: interfaces agree with addresses again", async () => {
  await withMaps((open, { endpoints, podIfaces }) => {
    const [a, b, c] = [pod("10.244.0.2", 7), pod("10.244.0.3", 8), pod("10.244.0.4", 9 + SLOTS)];
    // Killed after ENDPOINTS and before POD_IFACES on the way in (a) and out (b), and with a stale slot (c's).
    endpoints.set(a as Endpoint);
    const iface = { mac: GATEWAY_MAC, gatewayMac: GATEWAY_MAC, identity: 1 };
    podIfaces.set({ ...iface, ifindex: 8, ip: b?.ip ?? 0 });
    podIfaces.set({ ...iface, ifindex: 9, ip: 1 });
    endpoints.set(c as Endpoint);
    const store = open();
    assert.equal(store.size, 2);
    assert.deepEqual(
      [...podIfaces.entries()].map(({ ifindex, ip }) => [ifindex, ip]).sort(),
      [[7, a?.ip], [9 + SLOTS, c?.ip]].sort(),
    );
  });
});

Deno.test("an endpoint whose interface is not there has no gateway MAC", async () => {
  await withMaps((open, { podIfaces }) => {
    open().upsert(pod("10.244.0.2", 404));
    assert.deepEqual(podIfaces.get(404)?.gatewayMac, new Uint8Array(6));
  });
});
