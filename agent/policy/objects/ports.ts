import type { Fields } from "./fields.ts";
import { portNameFault, portNumberFault } from "./syntax.ts";
import type { PolicyPort, PortProtocol } from "./types.ts";

const PROTOCOLS: ReadonlyMap<string, PortProtocol> = new Map([["TCP", 6], ["UDP", 17], [
  "SCTP",
  132,
]]);

/** Reads a `protocol` field; TCP when absent, undefined when wrong. */
export function readProtocol(port: Fields): PortProtocol | undefined {
  const text = port.string("protocol");
  if (text === undefined) {
    return port.has("protocol") && !port.isNull("protocol") ? undefined : 6;
  }
  const protocol = PROTOCOLS.get(text);
  if (protocol === undefined) port.error("protocol", text, "expected TCP, UDP or SCTP");
  return protocol;
}

/** Reads a NetworkPolicyPort; undefined when it is wrong. */
export function readPolicyPort(port: Fields): PolicyPort | undefined {
  port.refuseUnknown(["port", "endPort", "protocol"]);
  const before = port.problems.errors.length;
  const protocol = readProtocol(port);
  const value = port.integerOrString("port");
  const endPort = port.integer("endPort");
  const match = typeof value === "number"
    ? readRange(port, value, endPort)
    : readNameOrAll(port, value, endPort);
  if (protocol === undefined || port.problems.errors.length > before) return undefined;
  return { protocol, match };
}

function readRange(port: Fields, from: number, endPort: number | undefined): PolicyPort["match"] {
  const to = endPort ?? from;
  const fromFault = portNumberFault(from);
  const toFault = portNumberFault(to);
  if (fromFault !== undefined) port.error("port", from, fromFault);
  if (endPort !== undefined && toFault !== undefined) port.error("endPort", endPort, toFault);
  if (to < from) port.error("endPort", to, `it is below port ${from}`);
  return { kind: "range", from, to };
}

function readNameOrAll(
  port: Fields,
  name: string | undefined,
  endPort: number | undefined,
): PolicyPort["match"] {
  if (endPort !== undefined) {
    const what = name === undefined ? "there is no port" : "port is a name";
    port.error("endPort", endPort, `not allowed: ${what}; a range starts at a port number`);
  }
  if (name === undefined) return { kind: "all" };
  const fault = portNameFault(name);
  if (fault !== undefined) port.error("port", name, fault);
  return { kind: "named", name };
}
