import type { MessageSpec } from "./protobuf.ts";

// Field numbers of proto/novanet; messages_test.ts holds each against the generated descriptors.

/** novanet.v1.AddPodRequest */
export const ADD_POD_REQUEST = {
  podName: [1, "string"],
  podNamespace: [2, "string"],
  containerId: [3, "string"],
  netns: [4, "string"],
  ifName: [5, "string"],
  labels: [6, "map<string, string>"],
  requestedIps: [100, "string[]"],
  quickAttach: [101, "bool"],
} as const satisfies MessageSpec;

/** novanet.v1.AddPodResponse */
export const ADD_POD_RESPONSE = {
  ip: [1, "string"],
  gateway: [2, "string"],
  mac: [3, "string"],
  prefixLength: [4, "int32"],
  mtu: [100, "uint32"],
  hostIfName: [101, "string"],
  hostMac: [102, "string"],
} as const satisfies MessageSpec;

/** novanet.v1.DelPodRequest */
export const DEL_POD_REQUEST = {
  podName: [1, "string"],
  podNamespace: [2, "string"],
  containerId: [3, "string"],
  netns: [4, "string"],
  ifName: [5, "string"],
} as const satisfies MessageSpec;

/** novanet.ext.v1.CheckPodRequest */
export const CHECK_POD_REQUEST = {
  containerId: [1, "string"],
  netns: [2, "string"],
  ifName: [3, "string"],
  podName: [4, "string"],
  podNamespace: [5, "string"],
  ips: [6, "string[]"],
  mac: [7, "string"],
} as const satisfies MessageSpec;

/** novanet.ext.v1.GetReadinessResponse */
export const GET_READINESS_RESPONSE = {
  ready: [1, "bool"],
  reasons: [2, "string[]"],
  degraded: [3, "bool"],
} as const satisfies MessageSpec;

/** novanet.ext.v1.Attachment */
export const ATTACHMENT = {
  containerId: [1, "string"],
  ifName: [2, "string"],
} as const satisfies MessageSpec;

/** novanet.ext.v1.CollectGarbageRequest */
export const COLLECT_GARBAGE_REQUEST = {
  valid: [1, "message[]", ATTACHMENT],
} as const satisfies MessageSpec;

/** novanet.ext.v1.CollectGarbageResponse */
export const COLLECT_GARBAGE_RESPONSE = {
  removed: [1, "message[]", ATTACHMENT],
} as const satisfies MessageSpec;

/** A request or answer without fields. */
export const EMPTY = {} as const satisfies MessageSpec;
