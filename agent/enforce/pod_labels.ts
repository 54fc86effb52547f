import { identityLabels, labelFilter, type Labels } from "../identity/mod.ts";
import {
  type LabelSet,
  type NamedPort,
  namedPortsLabel,
  type PodObject,
  type PolicyObjects,
  PORTS_LABEL,
} from "../policy/mod.ts";

/** A pod, as far as its identity goes. */
export interface PodName {
  readonly podNamespace: string;
  readonly podName: string;
  /** As AddPod gave them. */
  readonly labels: Labels;
}

/**
 * Works out pods' labels from the objects in force: those of the Pod object, else those that AddPod
 * gave, less what the filter leaves out. A label that a policy names takes part whatever the filter
 * says: pods that a policy tells apart must not share an identity.
 */
export class PodLabels {
  readonly #pods: PolicyObjects["pods"];
  readonly #keep: (name: string) => boolean;

  /**
   * @param excluded labels that take no part, see labelFilter
   * @param named labels that policies name
   */
  constructor(
    pods: PolicyObjects["pods"],
    excluded: readonly string[],
    named: { has(key: string): boolean },
  ) {
    const passes = labelFilter(excluded);
    this.#pods = pods;
    this.#keep = (name) => passes(name) || named.has(name);
  }

  /** The label set that a pod's identity stands for. */
  identityLabels(pod: PodName): Labels {
    const object = this.object(pod);
    const own = object === undefined ? pod.labels : Object.fromEntries(object.labels);
    const ports = namedPortsLabel(this.namedPorts(pod));
    const extra = ports === undefined ? {} : { [PORTS_LABEL]: ports };
    return identityLabels(pod.podNamespace, own, extra, this.#keep);
  }

  /** The pod's named ports; none without a Pod object. */
  namedPorts(pod: PodName): readonly NamedPort[] {
    return this.object(pod)?.namedPorts ?? [];
  }

  /** The Pod object; undefined when there is none. */
  object({ podNamespace, podName }: PodName): PodObject | undefined {
    return this.#pods.get(`${podNamespace}/${podName}`);
  }
}

/** Labels in the policy compiler's form. */
export function policyLabels(labels: Labels): LabelSet {
  return new Map(Object.entries(labels));
}
