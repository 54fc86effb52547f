import { CniCode, CniError } from "./errors.ts";
import { invalidConfig, objectField } from "./fields.ts";
import { isObject, type JsonObject, member } from "./json.ts";
import { type CniVersion, isAtLeast } from "./versions.ts";

/** What ADD made for a pod. */
export interface PodInterface {
  /** Interface in the pod. */
  readonly ifName: string;
  readonly mac: string;
  /** Path of the pod's network namespace. */
  readonly netns: string;
  /** Bytes; 0 when not known. */
  readonly mtu: number;
  /** The host's end of the veth, empty when not known. */
  readonly hostIfName: string;
  readonly hostMac: string;
  /** The pod's address, without prefix length. */
  readonly ip: string;
  readonly prefixLen: number;
  readonly gateway: string;
}

/** What a CHECK expects of the kernel. */
export interface ExpectedInterface {
  /** Empty when the result gave none. */
  readonly mac: string;
  /** IPv4 addresses with prefix length. */
  readonly ips: readonly string[];
}

/** What the plugins before this one in the chain reported. */
export interface Chain {
  /** All of prevResult; what we do not know of it is passed on. */
  readonly result: JsonObject;
  readonly interfaces: readonly JsonObject[];
  readonly ips: readonly JsonObject[];
  readonly routes: readonly JsonObject[];
  readonly dns: JsonObject | undefined;
}

/**
 * Decodes prevResult for ADD, before anything is made.
 *
 * @param previous prevResult as it came, `undefined` when we are the first.
 * @throws {CniError} code 7 when it has no such form, or has our interface already.
 */
export function decodeChain(
  previous: JsonObject | undefined,
  ifName: string,
  netns: string,
): Chain {
  const result = previous ?? {};
  const interfaces = objects(result, "interfaces");
  if (findInterface(interfaces, ifName, netns) !== -1) {
    const why = `prevResult already has interface ${ifName} in ${netns}`;
    const details = "novanet-cni makes the pod's interface: put it before plugins that extend one.";
    throw new CniError(CniCode.INVALID_CONFIG, why, details);
  }
  return {
    result,
    interfaces,
    ips: objects(result, "ips"),
    routes: objects(result, "routes"),
    dns: objectField(result, "dns", "prevResult.dns"),
  };
}

/**
 * The result of ADD in the form of the configuration's version. What plugins before us reported stays in
 * front, as the specification asks; ours is appended, and its interface index counts from there.
 *
 * @param dns `dns` of the configuration; one in the chain wins.
 */
export function encodeResult(
  version: CniVersion,
  chain: Chain,
  made: PodInterface,
  dns: JsonObject | undefined,
): JsonObject {
  const passedDns = chain.dns ?? dns;
  return {
    ...chain.result,
    cniVersion: version,
    interfaces: [...chain.interfaces, ...encodeInterfaces(version, made)],
    ips: [
      ...chain.ips.map((ip) => inVersion(version, ip)),
      encodeIp(version, made, chain.interfaces.length),
    ],
    routes: [...chain.routes, { dst: "0.0.0.0/0", gw: made.gateway }],
    ...(passedDns === undefined ? {} : { dns: passedDns }),
  };
}

/**
 * Picks from prevResult what is ours to check.
 *
 * @throws {CniError} code 7 when prevResult does not list the interface.
 */
export function expectedInterface(
  previous: JsonObject | undefined,
  ifName: string,
  netns: string,
): ExpectedInterface {
  if (previous === undefined) {
    throw invalidConfig("prevResult is missing; CHECK compares it with the node");
  }
  const interfaces = objects(previous, "interfaces");
  const index = findInterface(interfaces, ifName, netns);
  const found = interfaces[index];
  if (found === undefined) throw invalidConfig(`prevResult has no interface ${ifName} in ${netns}`);
  const mac = member(found, "mac");
  return { mac: typeof mac === "string" ? mac : "", ips: addressesOf(previous, index) };
}

function addressesOf(previous: JsonObject, index: number): string[] {
  const addresses = objects(previous, "ips")
    .filter((ip) => member(ip, "interface") === index)
    .map((ip) => member(ip, "address"))
    .filter((address) => typeof address === "string" && !address.includes(":"));
  if (addresses.length > 0) return addresses as string[];
  throw invalidConfig(`prevResult has no IPv4 address for its interfaces[${index}]`);
}

function findInterface(interfaces: readonly JsonObject[], ifName: string, netns: string): number {
  return interfaces.findIndex((candidate) =>
    member(candidate, "name") === ifName && member(candidate, "sandbox") === netns
  );
}

/** The host's end is listed because bandwidth shapes there. `mtu` came with 1.1.0. */
function encodeInterfaces(version: CniVersion, made: PodInterface): JsonObject[] {
  const mtu: JsonObject = made.mtu > 0 && isAtLeast(version, "1.1.0") ? { mtu: made.mtu } : {};
  const pod = { name: made.ifName, mac: made.mac, ...mtu, sandbox: made.netns };
  if (made.hostIfName === "") return [pod];
  const hostMac: JsonObject = made.hostMac === "" ? {} : { mac: made.hostMac };
  return [pod, { name: made.hostIfName, ...hostMac, ...mtu }];
}

function encodeIp(version: CniVersion, made: PodInterface, index: number): JsonObject {
  const address = `${made.ip}/${made.prefixLen}`;
  return inVersion(version, { address, gateway: made.gateway, interface: index });
}

/** `ips[].version` is required before 1.0.0 and gone since. */
function inVersion(version: CniVersion, ip: JsonObject): JsonObject {
  const { version: _, ...rest } = ip;
  if (isAtLeast(version, "1.0.0")) return rest;
  const address = member(rest, "address");
  return { version: typeof address === "string" && address.includes(":") ? "6" : "4", ...rest };
}

function objects(json: JsonObject, key: string): JsonObject[] {
  const list = member(json, key);
  if (list === undefined || list === null) return [];
  if (Array.isArray(list) && list.every(isObject)) return list;
  throw invalidConfig(`prevResult.${key} ${JSON.stringify(list)} is not a list of objects`);
}
