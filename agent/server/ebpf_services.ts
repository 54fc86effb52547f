import type { EBPFServices } from "../../shared/gen/novanet/v1/ebpf_services_pb.ts";
import { Cidr, Ipv4, NetParseError } from "../../shared/net/mod.ts";
import { invalidArgument, unimplemented } from "../../shared/rpc/errors.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";

const MAX_PORT = 65_535;

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
  addMeshRedirect: ({ ip, port, redirectPort }) => {
    checkAddress(ip);
    checkPort("port", port);
    checkPort("redirect_port", redirectPort);
    throw unimplemented("AddMeshRedirect");
  },
  removeMeshRedirect: ({ ip, port }) => {
    checkAddress(ip);
    checkPort("port", port);
    throw unimplemented("RemoveMeshRedirect");
  },
  listMeshRedirects: () => ({}),
  configureRateLimit: ({ cidr, rate, burst }) => {
    checkCidr(cidr);
    if (rate === 0) throw invalidArgument("rate", rate, "must not be 0");
    if (burst === 0) throw invalidArgument("burst", burst, "must not be 0");
    throw unimplemented("ConfigureRateLimit");
  },
  removeRateLimit: ({ cidr }) => {
    checkCidr(cidr);
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

function checkAddress(ip: string): void {
  parsed("ip", ip, () => Ipv4.parse(ip));
}

function checkCidr(cidr: string): void {
  parsed("cidr", cidr, () => Cidr.parse(cidr));
}

function parsed(field: string, value: string, parse: () => unknown): void {
  try {
    parse();
  } catch (cause) {
    if (!(cause instanceof NetParseError)) throw cause;
    throw invalidArgument(field, value, cause.why);
  }
}

function checkPort(field: string, port: number): void {
  if (port < 1 || port > MAX_PORT) {
    throw invalidArgument(field, port, `must be from 1 to ${MAX_PORT}`);
  }
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
