import { countClsactFilters, queryTcx } from "../../shared/ffi/bpf.ts";
import { inNetns } from "../../shared/netns/mod.ts";
import type { LabNode } from "../../shared/testing/node.ts";

const HOOKS = ["ingress", "egress"] as const;

/** Programs on an interface's ingress and egress hook. */
export interface Hooks {
  readonly filters: readonly number[];
  readonly tcx: readonly number[];
}

/** What a pod has with `quickAttach` for its first second. */
export const AT_FIRST: Hooks = { filters: [1, 1], tcx: [0, 0] };
/** What a pod has then, and without `quickAttach` at once. */
export const IN_THE_END: Hooks = { filters: [0, 0], tcx: [1, 1] };

/** What a pod's host interface has on its two hooks. */
export function hooksOf(node: LabNode, hostIfName: string): Hooks {
  using links = node.netns.rtnetlink();
  const { index } = links.linkGet(hostIfName);
  return inNetns(node.netns.path, () => ({
    filters: HOOKS.map((direction) => countClsactFilters(index, direction)),
    tcx: HOOKS.map((direction) => queryTcx(index, direction).length),
  }));
}
