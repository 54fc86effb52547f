import type { LabelRequirement, LabelSelector, LabelSet } from "./objects/types.ts";

/**
 * Whether a label selector selects something with these labels, as Kubernetes defines it: all
 * requirements hold; NotIn and DoesNotExist hold when the key is absent.
 */
export function selects(selector: LabelSelector, labels: LabelSet): boolean {
  return selector.requirements.every((requirement) => holds(requirement, labels));
}

function holds(requirement: LabelRequirement, labels: LabelSet): boolean {
  const value = labels.get(requirement.key);
  switch (requirement.operator) {
    case "In":
      return value !== undefined && requirement.values.includes(value);
    case "NotIn":
      return value === undefined || !requirement.values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}
