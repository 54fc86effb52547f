/** Pods that run with programs of a pin directory, whatever the layout of its maps. */

import { BpfMap, readBtf } from "../shared/ffi/bpf.ts";
import { Btf } from "../shared/btf/btf.ts";
import { type Shape, shapeOf } from "../shared/btf/shape.ts";
import { Ipv4 } from "../shared/net/mod.ts";
import { type Link, RtnetlinkSocket } from "../shared/netlink/mod.ts";
import { viewOf } from "./maps/bytes.ts";
import { DIRECTIONS } from "./programs/attachments.ts";
import { openLink, queryFilter } from "./programs/hooks.ts";
import { type PinListing, pinnedProgramIds } from "./programs/pins.ts";

/** A pod whose host interface has our programs. */
export interface RunningPod {
  /** NAMESPACE/NAME; "" when nobody wrote it on the interface. */
  readonly name: string;
  readonly ip: Ipv4;
  readonly interfaceName: string;
  readonly ifindex: number;
}

/** The pods of this network namespace, by name and address. @throws SysError */
export function runningPods(pinDir: string, pins: PinListing): RunningPod[] {
  const addresses = new Map(
    pins.maps.filter(({ map }) => map === "ENDPOINTS")
      .flatMap(({ file }) => [...readEndpoints(`${pinDir}/${file}`)]),
  );
  if (addresses.size === 0) return [];
  using links = RtnetlinkSocket.openIn();
  const hasPrograms = attachedInterfaces(pinDir, pins);
  return links.linkList().flatMap((link) => {
    const ip = addresses.get(link.index);
    return ip !== undefined && hasPrograms(link.index) ? [podOf(link, ip)] : [];
  }).sort((a, b) => a.name.localeCompare(b.name) || a.ip.value - b.ip.value);
}

/** What the agent wrote on the host interface of a pod: NAMESPACE/NAME; "" when there is nothing. */
export function podNameOf({ alias }: Link): string {
  return /^[^/]+\/[^/]+$/.test(alias) ? alias : "";
}

function podOf(link: Link, ip: Ipv4): RunningPod {
  return { name: podNameOf(link), ip, interfaceName: link.name, ifindex: link.index };
}

function attachedInterfaces(pinDir: string, pins: PinListing): (ifindex: number) => boolean {
  const linked = new Set(
    pins.links.flatMap(({ file }) => {
      using link = openLink(`${pinDir}/${file}`);
      return link === undefined ? [] : [link.info().ifindex];
    }),
  );
  const ours = pinnedProgramIds(pinDir);
  const isFiltered = (ifindex: number) =>
    DIRECTIONS.some((direction) => {
      const programId = queryFilter(ifindex, direction);
      return programId !== undefined && ours.has(programId);
    });
  return (ifindex) => linked.has(ifindex) || isFiltered(ifindex);
}

/** Interfaces and addresses of the pods of this node: members of endpoint_value in every layout. */
function* readEndpoints(path: string): Generator<[ifindex: number, ip: Ipv4]> {
  using map = BpfMap.openPinned(path);
  const { btf } = map.info();
  const shape = btf && shapeOf(new Btf(readBtf(btf.id)), btf.valueTypeId);
  const [ip, ifindex] = [offsetOf(shape, "ip"), offsetOf(shape, "ifindex")];
  if (ip === undefined || ifindex === undefined) return;
  for (const [, value] of map.entries()) {
    const view = viewOf(value);
    const index = view.getUint32(ifindex, true);
    if (index !== 0) yield [index, Ipv4.fromU32(view.getUint32(ip, true))];
  }
}

function offsetOf(shape: Shape | undefined, name: string): number | undefined {
  if (shape?.kind !== "struct") return undefined;
  return shape.members.find((member) => member.name === name)?.offset;
}
