import assert from "node:assert/strict";
import { Mac } from "../../shared/net/mod.ts";
import { type LabNetns, NetnsLab } from "../../shared/testing/lab.ts";
import {
  assertSameFrame,
  ethernet,
  ipv4,
  type Ipv4Spec,
  type TransportLayer,
} from "../../shared/testing/packets.ts";
import { Datapath, type DatapathPod, GATEWAY_MAC, ip, type Outcome } from "./datapath.ts";

/** Who is there: two pods, the host, somebody outside. */
export interface World extends AsyncDisposable {
  readonly datapath: Datapath;
  /** Where the interfaces of the pods are. */
  readonly netns: LabNetns;
  readonly a: DatapathPod;
  readonly b: DatapathPod;
}

export const A = "10.244.0.2";
export const B = "10.244.0.3";
export const HOST = "192.0.2.10";
export const OUTSIDE = "198.51.100.7";
export const IDENTITY_A = 256;
export const IDENTITY_B = 257;
/** The node's uplink: an interface index that no pod has. */
export const UPLINK = 4000;

const pod = (address: string, ifindex: number, identity: number): DatapathPod => ({
  ip: ip(address),
  mac: Mac.forPod(ip(address)),
  ifindex,
  identity,
});

/** The object in the kernel with pods A and B, each behind an interface of a namespace of its own. */
export async function makeWorld(sizes: Readonly<Record<string, number>> = {}): Promise<World> {
  await using building = new AsyncDisposableStack();
  const lab = building.use(new NetnsLab());
  const netns = await lab.addNetns();
  lab.addVeth({ netns, name: "a" }, { netns, name: "pod-a" });
  lab.addVeth({ netns, name: "b" }, { netns, name: "pod-b" });
  const datapath = building.use(new Datapath(netns, sizes));
  using links = netns.rtnetlink();
  const a = pod(A, links.linkGet("a").index, IDENTITY_A);
  const b = pod(B, links.linkGet("b").index, IDENTITY_B);
  datapath.addPod(a);
  datapath.addPod(b);
  datapath.addAddress(ip(HOST), 1);
  const built = building.move();
  return { datapath, netns, a, b, [Symbol.asyncDispose]: () => built.disposeAsync() };
}

/** A frame as a pod sends it. */
export function sent(
  by: DatapathPod,
  dst: string,
  payload: TransportLayer,
  spec: Partial<Ipv4Spec> = {},
): Uint8Array {
  return ethernet(
    { src: by.mac, dst: GATEWAY_MAC },
    ipv4({ src: by.ip, dst, ...spec }, payload),
  );
}

/** A frame as the host's stack hands it to a pod's interface. */
export function arriving(
  at: DatapathPod,
  src: string,
  payload: TransportLayer,
  spec: Partial<Ipv4Spec> = {},
): Uint8Array {
  return ethernet(
    { src: GATEWAY_MAC, dst: at.mac },
    ipv4({ src, dst: at.ip, ttl: 63, ...spec }, payload),
  );
}

/** Fails unless the packet went into the pod whole, one hop older and with the gateway as its sender. */
export function assertDelivered(
  outcome: Outcome,
  to: DatapathPod,
  by: DatapathPod,
  payload: TransportLayer,
  spec: Partial<Ipv4Spec> = {},
): void {
  assert.equal(outcome.verdict, "redirect", `dropped: ${outcome.reason}`);
  assertSameFrame(
    outcome.packet,
    ethernet(
      { src: GATEWAY_MAC, dst: to.mac },
      ipv4({ src: by.ip, dst: to.ip, ...spec, ttl: (spec.ttl ?? 64) - 1 }, payload),
    ),
  );
}
