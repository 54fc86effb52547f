import { canonicalPorts } from "../named_ports.ts";
import type { Fields } from "./fields.ts";
import { readMetadata } from "./metadata.ts";
import { readProtocol } from "./ports.ts";
import { portNameFault, portNumberFault } from "./syntax.ts";
import type { NamedPort, ObjectSource, PodObject } from "./types.ts";

/** Reads what NovaNet uses of a v1 Pod: names, labels, hostNetwork and named ports. */
export function readPod(object: Fields, source: ObjectSource): PodObject | undefined {
  const metadata = readMetadata(object, "namespaced");
  const spec = object.map("spec");
  const hostNetwork = spec?.boolean("hostNetwork") ?? false;
  const ports: NamedPort[] = [];
  for (const container of spec?.maps("containers") ?? []) readPorts(container, ports);
  for (const container of spec?.maps("initContainers") ?? []) {
    // Only a sidecar runs beside the containers and can be reached.
    if (container.string("restartPolicy") === "Always") readPorts(container, ports);
  }
  if (metadata === undefined) return undefined;
  const { namespace, name, labels } = metadata;
  const namedPorts = canonicalPorts(ports);
  return { kind: "Pod", namespace, name, source, labels, hostNetwork, namedPorts };
}

function readPorts(container: Fields, into: NamedPort[]): void {
  for (const item of container.maps("ports") ?? []) {
    item.refuseUnknown(["name", "containerPort", "protocol", "hostPort", "hostIP"]);
    const name = item.string("name") ?? "";
    const nameFault = name === "" ? undefined : portNameFault(name);
    if (nameFault !== undefined) item.error("name", name, nameFault);
    const port = item.integer("containerPort");
    const portFault = port === undefined ? "required" : portNumberFault(port);
    if (portFault !== undefined) item.error("containerPort", port, portFault);
    const protocol = readProtocol(item);
    if (name === "" || port === undefined || protocol === undefined) continue;
    into.push({ name, protocol, port });
  }
}
