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
async function* nothingUntil(signal: AbortSignal): AsyncGenerator<never> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}
