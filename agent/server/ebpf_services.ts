import type { EBPFServices } from "../../shared/gen/novanet/v1/ebpf_services_pb.ts";
import { invalidArgument, unimplemented } from "../../shared/rpc/errors.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";

/** EBPFServices while none of its features exist: changes are refused, listings are empty. */
export const ebpfServices: ServiceImpl<typeof EBPFServices> = {
  enableSockmap: ({ podNamespace, podName }) => {
    checkPod(podNamespace, podName);
    throw unimplemented("EnableSockmap");
  },
  disableSockmap: ({ podNamespace, podName }) => {
    checkPod(podNamespace, podName);
    throw unimplemented("DisableSockmap");
  },
  getSockmapStats: () => ({}),
  addMeshRedirect: () => {
    throw unimplemented("AddMeshRedirect");
  },
  removeMeshRedirect: () => {
    throw unimplemented("RemoveMeshRedirect");
  },
  listMeshRedirects: () => ({}),
  configureRateLimit: () => {
    throw unimplemented("ConfigureRateLimit");
  },
  removeRateLimit: () => {
    throw unimplemented("RemoveRateLimit");
  },
  getRateLimitStats: () => ({}),
  getBackendHealth: () => ({}),
  streamBackendHealth: (_request, { signal }) => nothingUntil(signal),
};

function checkPod(podNamespace: string, podName: string): void {
  if (podNamespace === "") throw invalidArgument("pod_namespace", "", "must not be empty");
  if (podName === "") throw invalidArgument("pod_name", "", "must not be empty");
}

/** There are no backends: no tick has an event. */
function nothingUntil(signal: AbortSignal): AsyncIterable<never> {
  const next = () =>
    new Promise<IteratorResult<never>>((resolve) => {
      const end = () => resolve({ done: true, value: undefined });
      if (signal.aborted) end();
      else signal.addEventListener("abort", end, { once: true });
    });
  return { [Symbol.asyncIterator]: () => ({ next }) };
}
