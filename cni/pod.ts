import type { Attachment } from "./environment.ts";

/** A pod's name. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/**
 * The pod an attachment belongs to: K8S_POD_NAMESPACE and K8S_POD_NAME, else namespace `default` and the
 * container id in a form that is a pod's name, so that ctr, podman and cnitool work without Kubernetes.
 */
export function podOf(attachment: Attachment): PodName {
  return {
    namespace: attachment.args.podNamespace ?? "default",
    name: attachment.args.podName ?? nameFromContainerId(attachment.containerId),
  };
}

/** RFC 1123: lower case, no '_', a letter or digit at the end. */
function nameFromContainerId(containerId: string): string {
  return containerId.toLowerCase().replaceAll("_", "-").replace(/[.-]+$/, "");
}
