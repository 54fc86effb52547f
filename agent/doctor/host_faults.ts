import type { Fault } from "../../shared/doctor/fault.ts";
import type { EndpointInfo } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import {
  type Link,
  type Neighbour,
  type Route,
  RouteProtocol,
  RtnetlinkSocket,
} from "../../shared/netlink/mod.ts";
import type { Ipv4 } from "../../shared/net/mod.ts";
import { hostMac } from "../pods/network.ts";
import { HOST_IF_PREFIX } from "../pods/names.ts";
import type { Attachment } from "../state/mod.ts";
import { type DoctorSources, podText } from "./sources.ts";

/** `nv` and what {@linkcode hostIfNames} puts behind it. */
const HOST_IF_NAME = new RegExp(`^${HOST_IF_PREFIX}.{11}$`);
const REPAIR_POD = "--fix sets it up again";

/** What the host's network namespace has of links, routes and neighbours, read at one time. */
interface HostTables {
  readonly links: readonly Link[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
}

/**
 * Links, routes and neighbours of the host that pods lack, or that belong to no pod.
 * @param found the dataplane's endpoints; undefined when it does not answer
 * @throws {NetlinkError}
 */
export function hostFaults(
  sources: DoctorSources,
  found: readonly EndpointInfo[] | undefined,
): Fault[] {
  using socket = RtnetlinkSocket.openIn();
  const tables: HostTables = {
    links: socket.linkList(),
    routes: socket.routeList(),
    neighbours: socket.neighList(),
  };
  const { registry, controller } = sources;
  const pods = registry.list().filter((pod) => pod.state === "ready" && !controller.isBusy(pod));
  return [
    ...pods.flatMap((pod) => missingOf(sources, tables, pod)),
    ...strayLinks(sources, tables, found),
    ...strayRoutes(sources, tables),
    ...strayNeighbours(sources, tables),
  ];
}

function missingOf(
  { controller }: DoctorSources,
  { links, routes, neighbours }: HostTables,
  pod: Attachment,
): Fault[] {
  const index = pod.hostIfindex;
  const repair = () => controller.repair(pod);
  const link = links.find(({ name }) => name === pod.hostIfName);
  if (link === undefined || link.index !== index) {
    return [{
      kind: "veth",
      object: pod.hostIfName,
      expected: `interface ${index} of ${podText(pod)}`,
      found: link === undefined ? "no such interface" : `interface ${link.index}`,
      remedy: "--fix makes the pod's interface anew, with the same address",
      repair,
    }];
  }
  return [
    ...linkFaults(pod, link, repair),
    ...routeFaults(pod, routes, links, repair),
    ...neighbourFaults(pod, neighbours, repair),
  ];
}

type Repair = () => Promise<void>;

function linkFaults(pod: Attachment, link: Link, repair: Repair): Fault[] {
  const fault = { kind: "veth", object: pod.hostIfName };
  const mac = hostMac(pod.gateway);
  if (link.kind !== "veth" || link.mac?.equals(mac) !== true) {
    return [{
      ...fault,
      expected: `a veth with MAC ${mac}`,
      found: `${link.kind || "another kind"} with MAC ${link.mac ?? "none"}`,
      remedy: "delete the pod, so that it is made anew",
    }];
  }
  const compare = (expected: string, found: string) =>
    expected === found ? [] : [{ ...fault, expected, found, remedy: REPAIR_POD, repair }];
  return [
    ...compare("up", link.up ? "up" : "down"),
    ...compare(`MTU ${pod.mtu}`, `MTU ${link.mtu}`),
  ];
}

function routeFaults(
  pod: Attachment,
  routes: readonly Route[],
  links: readonly Link[],
  repair: Repair,
): Fault[] {
  const route = bestRoute(routes, pod);
  if (route?.oif === pod.hostIfindex && route.gateway === undefined) return [];
  return [{
    kind: "route",
    object: `${pod.ip}/32`,
    expected: `dev ${pod.hostIfName}`,
    found: routeText(route, links),
    remedy: REPAIR_POD,
    repair,
  }];
}

function neighbourFaults(
  pod: Attachment,
  neighbours: readonly Neighbour[],
  repair: Repair,
): Fault[] {
  const { hostIfindex, hostIfName, ip, mac } = pod;
  const neighbour = neighbours.find((each) => each.index === hostIfindex && each.ip.equals(ip));
  if (neighbour?.permanent === true && neighbour.mac?.equals(mac) === true) return [];
  return [{
    kind: "neighbour",
    object: `${ip} dev ${hostIfName}`,
    expected: `permanent, MAC ${mac}`,
    found: neighbourText(neighbour),
    remedy: REPAIR_POD,
    repair,
  }];
}

function bestRoute(routes: readonly Route[], { ip }: Attachment): Route | undefined {
  return routes.filter(({ destination }) =>
    destination.prefixLen === 32 && destination.address.equals(ip)
  )
    .sort((a, b) => a.metric - b.metric)[0];
}

/** By its MAC: anybody may give an interface a name such as ours. */
function isOwnLink(link: Link | undefined, gateway: Ipv4): boolean {
  return link?.kind === "veth" && link.mac?.equals(hostMac(gateway)) === true;
}

function ownIndexes(links: readonly Link[], gateway: Ipv4): ReadonlySet<number | undefined> {
  return new Set(links.filter((link) => isOwnLink(link, gateway)).map(({ index }) => index));
}

/** A warning about what has a place of ours and may have been made by somebody else. */
function notOurs(fault: Omit<Fault, "remedy">, why: string): Fault {
  const remedy = `remove it, if nobody needs it: ${why}`;
  return { ...fault, remedy, warning: true };
}

/** Interfaces that look like ours and that no pod has. */
function strayLinks(
  { registry, unknown, network, link }: DoctorSources,
  { links }: HostTables,
  endpoints: readonly EndpointInfo[] | undefined,
): Fault[] {
  const known = new Set(registry.list().map(({ hostIfName }) => hostIfName));
  const kept = unknown.names;
  const isOwn = (each: Link) => isOwnLink(each, registry.gateway);
  return links.filter((each) =>
    !known.has(each.name) && !kept.has(each.name) &&
    (isOwn(each) || (each.kind === "veth" && HOST_IF_NAME.test(each.name)))
  ).map((each) => {
    const { name, index, mac } = each;
    const endpoint = endpoints?.find(({ ifindex }) => ifindex === index);
    const fault = { kind: "veth", object: name, expected: "no such interface: no pod has it" };
    if (!isOwn(each)) {
      const found = `interface ${index} with MAC ${mac ?? "none"}`;
      return notOurs({ ...fault, found }, "only its name is as NovaNet's");
    }
    if (endpoints === undefined) {
      const remedy = "start novanet-dataplane, which tells whether a running pod has it";
      return { ...fault, found: `interface ${index}`, remedy };
    }
    if (endpoint === undefined) {
      return {
        ...fault,
        found: `interface ${index}, without an endpoint`,
        remedy: "--fix removes the interface",
        repair: () => network.removeLink(index),
      };
    }
    return {
      ...fault,
      found: `interface ${index} of ${endpoint.namespace}/${endpoint.podName || "a pod"}`,
      remedy: "--fix takes the running pod over",
      repair: () => link.callNow((calls) => unknown.adopt(calls)),
    };
  });
}

/** Routes of ours, and those to single addresses of our pods, that lead elsewhere than to a pod that has the address. */
function strayRoutes(
  { registry, unknown, podCidr }: DoctorSources,
  { routes, links }: HostTables,
): Fault[] {
  const kept = unknown.ips;
  const own = ownIndexes(links, registry.gateway);
  return routes.filter((route) => {
    const { destination: { address, prefixLen }, protocol, oif } = route;
    const toPods = prefixLen === 32 && podCidr.contains(address);
    if (!toPods && protocol !== RouteProtocol.NOVANET) return false;
    if (kept.has(address.value)) return false;
    const pod = prefixLen === 32 ? registry.byIp(address.value) : undefined;
    // What stands in for a pod's route is repaired with the pod.
    return pod === undefined || (oif !== pod.hostIfindex && bestRoute(routes, pod) !== route);
  }).map((route) => {
    const fault = {
      kind: "route",
      object: `${route.destination}`,
      expected: "no such route: no pod has it",
      found: routeText(route, links),
    };
    if (route.protocol !== RouteProtocol.NOVANET && !own.has(route.oif)) {
      return notOurs(fault, "NovaNet did not make it");
    }
    return { ...fault, remedy: "--fix removes the route", repair: () => removeRoute(route) };
  });
}

function removeRoute(route: Route): void {
  const { destination, oif, gateway, table, protocol, scope, type, metric } = route;
  using socket = RtnetlinkSocket.openIn();
  socket.routeDel({ destination, oif, gateway, table, protocol, scope, type, metric });
}

/** Permanent neighbours of pods' addresses, or on pods' interfaces, that are not the pod's. */
function strayNeighbours(
  { registry, unknown, podCidr }: DoctorSources,
  { neighbours, links }: HostTables,
): Fault[] {
  const kept = unknown.ips;
  const own = ownIndexes(links, registry.gateway);
  const podOf = new Map(registry.list().map((pod) => [pod.hostIfindex, pod]));
  return neighbours.filter(({ index, ip, permanent }) => {
    const pod = podOf.get(index);
    if (!permanent || kept.has(ip.value) || pod?.ip.equals(ip)) return false;
    return pod !== undefined || podCidr.contains(ip);
  }).map(({ index, ip, mac }) => {
    const fault = {
      kind: "neighbour",
      object: `${ip} dev ${linkName(links, index)}`,
      expected: "no such neighbour: no pod has it",
      found: `permanent, MAC ${mac ?? "none"}`,
    };
    if (!own.has(index)) return notOurs(fault, "its interface is not NovaNet's");
    return {
      ...fault,
      remedy: "--fix removes the neighbour",
      repair: () => {
        using socket = RtnetlinkSocket.openIn();
        socket.neighDel(index, ip);
      },
    };
  });
}

function routeText(route: Route | undefined, links: readonly Link[]): string {
  if (route === undefined) return "no route";
  const { oif, gateway, metric } = route;
  const via = gateway === undefined ? "" : `via ${gateway} `;
  const dev = oif === undefined ? "no interface" : `dev ${linkName(links, oif)}`;
  return `${via}${dev}${metric === 0 ? "" : ` metric ${metric}`}`;
}

function neighbourText(neighbour: Neighbour | undefined): string {
  if (neighbour === undefined) return "no neighbour";
  return `${neighbour.permanent ? "permanent" : "not permanent"}, MAC ${neighbour.mac ?? "none"}`;
}

function linkName(links: readonly Link[], index: number): string {
  return links.find((link) => link.index === index)?.name ?? `interface ${index}`;
}
