/** Do the kernel's tables of endpoints hold what this dataplane believes? */

import type { Fault } from "../../shared/doctor/fault.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import type { Endpoint } from "../maps/endpoints.ts";
import type { PodIface } from "../maps/pod_ifaces.ts";
import {
  type EndpointMaps,
  type EndpointStore,
  type MacLookup,
  sameIface,
} from "./endpoint_store.ts";

const NOTHING = "no entry";
const REMEDY = "--fix writes what the dataplane believes";
const STRAY_REMEDY = "--fix removes the entry";

/** What is looked at. */
export interface EndpointAudit {
  readonly store: EndpointStore;
  readonly maps: EndpointMaps;
  readonly macOf: MacLookup;
}

/** Entries of ENDPOINTS, POD_IFACES and POD_IFACES_MORE that are missing, are too many, or are others. @throws SysError */
export function endpointFaults(audit: EndpointAudit): Fault[] {
  return [...addressFaults(audit), ...interfaceFaults(audit)];
}

function addressFaults({ store, maps: { endpoints, state } }: EndpointAudit): Fault[] {
  const stored = new Map([...endpoints.entries()].map((endpoint) => [endpoint.ip, endpoint]));
  const faults: Fault[] = [];
  for (const wanted of store.values()) {
    const found = stored.get(wanted.ip);
    stored.delete(wanted.ip);
    if (found !== undefined && endpointText(found) === endpointText(wanted)) continue;
    faults.push({
      kind: "endpoint map",
      object: `ENDPOINTS ${Ipv4.fromU32(wanted.ip)}`,
      expected: endpointText(wanted),
      found: found === undefined ? NOTHING : endpointText(found),
      remedy: REMEDY,
      repair: () => {
        endpoints.set(wanted);
        state.judgeAgain();
      },
    });
  }
  for (const stray of stored.values()) {
    faults.push({
      kind: "endpoint map",
      object: `ENDPOINTS ${Ipv4.fromU32(stray.ip)}`,
      expected: NOTHING,
      found: endpointText(stray),
      remedy: STRAY_REMEDY,
      repair: () => {
        endpoints.delete(stray.ip);
        state.judgeAgain();
      },
    });
  }
  return faults;
}

function interfaceFaults({ store, maps: { podIfaces, state }, macOf }: EndpointAudit): Fault[] {
  const stored = new Map([...podIfaces.entries()].map((iface) => [iface.ifindex, iface]));
  const faults: Fault[] = [];
  for (const endpoint of store.values()) {
    if (endpoint.ifindex === 0) continue;
    const gatewayMac = macOf(endpoint.ifindex);
    if (gatewayMac === undefined) {
      faults.push(withoutInterface(endpoint));
      stored.delete(endpoint.ifindex);
      continue;
    }
    const { ip, ifindex, identity, mac } = endpoint;
    const wanted: PodIface = { ip, ifindex, identity, mac, gatewayMac };
    const found = stored.get(ifindex);
    stored.delete(ifindex);
    if (found !== undefined && sameIface(found, wanted)) continue;
    faults.push({
      kind: "interface map",
      object: `POD_IFACES ${ifindex}`,
      expected: ifaceText(wanted),
      found: found === undefined ? NOTHING : ifaceText(found),
      remedy: REMEDY,
      repair: () => {
        podIfaces.set(wanted);
        state.judgeAgain();
      },
    });
  }
  for (const stray of stored.values()) {
    faults.push({
      kind: "interface map",
      object: `POD_IFACES ${stray.ifindex}`,
      expected: NOTHING,
      found: ifaceText(stray),
      remedy: STRAY_REMEDY,
      repair: () => podIfaces.delete(stray.ifindex),
    });
  }
  return faults;
}

/** Only the agent knows whether the pod or the endpoint is too much. */
function withoutInterface({ ip, ifindex }: Endpoint): Fault {
  return {
    kind: "endpoint",
    object: `${Ipv4.fromU32(ip)}`,
    expected: `interface ${ifindex} exists`,
    found: "there is no such interface",
    remedy: "the agent's --fix makes the pod's interface anew, or removes the endpoint",
  };
}

function endpointText({ ifindex, identity, mac, nodeIp }: Endpoint): string {
  const node = nodeIp === 0 ? "" : `, node ${Ipv4.fromU32(nodeIp)}`;
  return `interface ${ifindex}, identity ${identity}, MAC ${Mac.fromBytes(mac)}${node}`;
}

function ifaceText({ ip, identity, mac, gatewayMac }: PodIface): string {
  const macs = `MAC ${Mac.fromBytes(mac)}, gateway's ${Mac.fromBytes(gatewayMac)}`;
  return `address ${Ipv4.fromU32(ip)}, identity ${identity}, ${macs}`;
}
