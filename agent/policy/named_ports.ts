import { portNameFault, portNumberFault } from "./objects/syntax.ts";
import type { NamedPort, PortProtocol } from "./objects/types.ts";

/**
 * The reserved identity label that carries a pod's named ports. Named ports differ from pod to pod,
 * and the datapath decides by identity; so pods whose ports differ must not share an identity.
 */
export const PORTS_LABEL = "novanet.io/ports";

const PROTOCOL_NAMES: readonly (readonly [PortProtocol, string])[] = [
  [6, "tcp"],
  [17, "udp"],
  [132, "sctp"],
];

/** @returns the ports sorted by name, protocol and number, without repeats. */
export function canonicalPorts(ports: Iterable<NamedPort>): NamedPort[] {
  const byText = new Map<string, NamedPort>();
  for (const port of ports) byText.set(portText(port), port);
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
}

/**
 * The value of the label `novanet.io/ports`: `dns:udp/53,http:tcp/8080`, the same for the same
 * ports in any order. An identity label, never a Kubernetes label, so of any length.
 * @returns undefined when there are no named ports: then the identity has no such label.
 */
export function namedPortsLabel(ports: Iterable<NamedPort>): string | undefined {
  const label = canonicalPorts(ports).map(portText).join(",");
  return label === "" ? undefined : label;
}

/**
 * The ports of a label value that `namedPortsLabel` made.
 * @throws {NamedPortsError} when the text is not of that form.
 */
export function parseNamedPortsLabel(label: string): NamedPort[] {
  return label.split(",").map((text) => {
    const [, name = "", protocolName, digits] = /^([^:]+):([a-z]+)\/([0-9]{1,5})$/.exec(text) ?? [];
    const protocol = PROTOCOL_NAMES.find(([, known]) => known === protocolName)?.[0];
    const port = Number(digits);
    const fault = portNameFault(name) ?? portNumberFault(port);
    if (protocol === undefined || fault !== undefined) {
      throw new NamedPortsError(label, text);
    }
    return { name, protocol, port };
  });
}

/** A value of the label `novanet.io/ports` that is not of its form. */
export class NamedPortsError extends Error {
  override readonly name = "NamedPortsError";
  /** The whole value. */
  readonly label: string;
  /** The element that is wrong. */
  readonly element: string;

  constructor(label: string, element: string) {
    super(`Cannot read label ${PORTS_LABEL}: ${JSON.stringify(element)} is not name:protocol/port`);
    this.label = label;
    this.element = element;
  }
}

function portText({ name, protocol, port }: NamedPort): string {
  const protocolName = PROTOCOL_NAMES.find(([number]) => number === protocol)?.[1];
  return `${name}:${protocolName}/${port}`;
}
