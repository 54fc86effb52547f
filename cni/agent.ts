import type { ValidAttachment } from "./config.ts";

/** AddPod as the plugin asks for it. */
export interface AddPod {
  readonly podName: string;
  readonly podNamespace: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** IPv4 addresses asked for; empty for any. */
  readonly requestedIps: readonly string[];
  /** No plugin that follows puts a clsact or ingress qdisc on the host interface. */
  readonly quickAttach: boolean;
}

/** The agent's answer to AddPod. */
export interface AddedPod {
  readonly ip: string;
  readonly gateway: string;
  readonly mac: string;
  readonly prefixLength: number;
  /** Bytes; 0 when not told. */
  readonly mtu: number;
  /** Empty when not told. */
  readonly hostIfName: string;
  readonly hostMac: string;
}

/** DelPod as the plugin asks for it. */
export type DelPod = Omit<AddPod, "labels" | "requestedIps" | "quickAttach">;

/** CheckPod as the plugin asks for it. */
export interface CheckPod extends DelPod {
  /** Empty for any, as is the namespace. */
  readonly podName: string;
  /** IPv4 addresses with prefix length that the interface must have. */
  readonly ips: readonly string[];
  /** Empty for any. */
  readonly mac: string;
}

/** What the agent says of itself. */
export interface Readiness {
  /** ADD can be served. */
  readonly ready: boolean;
  /** Pods that exist may have lost connectivity. */
  readonly degraded: boolean;
  /** Why it is not ready, or degraded. */
  readonly reasons: readonly string[];
}

/** The agent as the plugin needs it. Calls throw RpcError. */
export interface Agent {
  addPod(request: AddPod): Promise<AddedPod>;
  /** Succeeds for an unknown pod too. */
  delPod(request: DelPod): Promise<void>;
  checkPod(request: CheckPod): Promise<void>;
  readiness(): Promise<Readiness>;
  /** Frees every attachment that is not in `valid`. @returns how many it freed. */
  collectGarbage(valid: readonly ValidAttachment[]): Promise<number>;
}

/** Opens the agent at a socket. Nothing is sent before the first call. */
export type ConnectAgent = (socketPath: string) => Promise<Agent>;
