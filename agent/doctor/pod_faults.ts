import type { Fault } from "../../shared/doctor/fault.ts";
import { netnsIdentityIfThere } from "../pods/requests.ts";
import type { Attachment } from "../state/mod.ts";
import { type DoctorSources, podText } from "./sources.ts";

/** Pods that are looked at before other work has its turn. */
const AT_ONCE = 16;

/** Pods whose namespace is gone, that are half there, or whose own end of the interface is not as it was made. */
export async function podFaults(sources: DoctorSources): Promise<Fault[]> {
  const { registry, controller } = sources;
  const faults: Fault[] = [];
  for (const [index, { containerId, ifName }] of registry.list().entries()) {
    // Pods come and go meanwhile.
    if (index % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setTimeout(resolve));
    const pod = registry.get({ containerId, ifName });
    if (pod !== undefined && !controller.isBusy(pod)) faults.push(...faultsOf(sources, pod));
  }
  return faults;
}

function faultsOf(sources: DoctorSources, pod: Attachment): Fault[] {
  const repair = () => sources.controller.repair(pod);
  if (pod.state !== "ready") return [halfThere(sources, pod)];
  if (netnsIdentityIfThere(pod.netns) !== pod.netnsId) return [withoutNetns(sources, pod)];
  return [...endFaults(sources, pod, repair), ...settingFaults(sources, pod, repair)];
}

function halfThere({ controller }: DoctorSources, pod: Attachment): Fault {
  return {
    kind: "pod",
    object: podText(pod),
    expected: "a pod that is added, or gone",
    found: `${pod.state}, and nobody works on it`,
    remedy: "--fix frees what is left of it",
    repair: async () => void await controller.delete(pod),
  };
}

function withoutNetns({ controller }: DoctorSources, pod: Attachment): Fault {
  return {
    kind: "pod",
    object: podText(pod),
    expected: `its network namespace ${pod.netns}`,
    found: "the network namespace is gone",
    remedy: "--fix frees the pod's address, interface and endpoint, as its DEL would",
    repair: async () => void await controller.delete(pod),
  };
}

function endFaults(
  { network }: DoctorSources,
  pod: Attachment,
  repair: () => Promise<void>,
): Fault[] {
  // The host's end is looked at with all the others.
  if (network.hostLink(pod) === undefined) return [];
  return network.podEndFaults(pod).map(({ expected, found, warning }) => {
    const fault = { kind: "pod interface", object: podText(pod), expected, found };
    return warning
      ? { ...fault, remedy: "remove it in the pod: what is sent from it is dropped", warning }
      : { ...fault, remedy: "--fix sets it up as it was made", repair };
  });
}

function settingFaults(
  { network }: DoctorSources,
  pod: Attachment,
  repair: () => Promise<void>,
): Fault[] {
  return network.settingFaults(pod).map(({ expected, found, text }) => ({
    kind: "sysctl",
    object: text,
    expected,
    found,
    remedy: "--fix sets it",
    repair,
  }));
}
