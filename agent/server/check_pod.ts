import type { CheckPodRequest } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { failedPrecondition, notFound } from "../../shared/rpc/errors.ts";
import { sameEndpoint } from "../dataplane/endpoint.ts";
import { netnsIdentityIfThere, parseAttachmentKey } from "../pods/requests.ts";
import { type Attachment, attachmentId } from "../state/mod.ts";
import type { AgentParts } from "./parts.ts";

/**
 * Compares a pod with what the runtime believes of it, with the kernel and with the dataplane.
 * @throws {RpcError} NOT_FOUND for an unknown pod; FAILED_PRECONDITION that says what differs;
 *   UNAVAILABLE when the dataplane does not answer
 */
export async function checkPod(parts: AgentParts, request: CheckPodRequest): Promise<void> {
  const key = parseAttachmentKey(request);
  const pod = parts.registry.get(key);
  if (pod === undefined) throw notFound(`attachment ${attachmentId(key)}`);
  const faults = [
    ...compareRequest(pod, request),
    ...compareKernel(parts, pod),
    ...await compareDataplane(parts, pod),
  ];
  if (faults.length > 0) throw failedPrecondition(faults.join("; "));
}

function compareRequest(pod: Attachment, request: CheckPodRequest): string[] {
  const faults: string[] = [];
  const compare = (what: string, theirs: string, ours: string) => {
    if (theirs !== "" && theirs !== ours) faults.push(`${what} is ${ours}, not ${theirs}`);
  };
  if (pod.state !== "ready") faults.push(`the pod is ${pod.state}`);
  compare("the pod's name", request.podName, pod.podName);
  compare("the pod's namespace", request.podNamespace, pod.podNamespace);
  compare("the MAC address", request.mac.toLowerCase(), pod.mac.toString());
  for (const ip of request.ips) compare("the address", ip.replace(/\/.*$/, ""), pod.ip.toString());
  if (request.netns !== "" && netnsIdentityIfThere(request.netns) !== pod.netnsId) {
    faults.push(`the pod's network namespace is not ${request.netns}`);
  }
  return faults;
}

function compareKernel({ network }: AgentParts, pod: Attachment): string[] {
  if (netnsIdentityIfThere(pod.netns) !== pod.netnsId) return ["the network namespace is gone"];
  return network.check(pod);
}

async function compareDataplane(parts: AgentParts, pod: Attachment): Promise<string[]> {
  const [{ endpoints }, { programs }] = await parts.link.call((calls) =>
    Promise.all([calls.ext.listEndpoints({}), calls.control.getDataplaneStatus({})])
  );
  const found = endpoints.find(({ ip }) => ip === pod.ip.value);
  const faults: string[] = [];
  if (found === undefined) faults.push(`the dataplane has no endpoint ${pod.ip}`);
  else if (!sameEndpoint(parts.endpoints.endpointOf(pod), found)) {
    faults.push(`the dataplane has another endpoint for ${pod.ip}`);
  }
  for (const hook of ["ingress", "egress"]) {
    const attached = programs.some((program) =>
      program.interfaceName === pod.hostIfName && program.attachType === hook
    );
    if (!attached) faults.push(`no program at ${hook} of ${pod.hostIfName}`);
  }
  return faults;
}
