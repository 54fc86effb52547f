import { labelKey } from "../identity/mod.ts";
import type { PodHistory, RememberedFlow } from "./pod_history.ts";

/** The flows of pods with the same labels, each once, in an order that stays. */
export interface LastVerdicts {
  /** Those that passed when they were judged last. */
  readonly passed: RememberedFlow[];
  /** Those that were denied then. */
  readonly denied: RememberedFlow[];
}

/** Tells each flow as its last verdict was, at whichever of the pods that came. */
export function lastVerdicts(histories: readonly PodHistory[]): LastVerdicts {
  const passed = merged(histories.flatMap((one) => [...one.flows()]));
  const denied = merged(histories.flatMap((one) => [...one.denied()]));
  for (const [key, { decidedNs }] of denied) {
    const other = passed.get(key);
    if (other !== undefined) (other.decidedNs > decidedNs ? denied : passed).delete(key);
  }
  const inOrder = (flows: ReadonlyMap<string, RememberedFlow>) =>
    [...flows].sort(([a], [b]) => a < b ? -1 : 1).map(([, flow]) => flow);
  return { passed: inOrder(passed), denied: inOrder(denied) };
}

function merged(flows: readonly RememberedFlow[]): Map<string, RememberedFlow> {
  const byKey = new Map<string, RememberedFlow>();
  for (const flow of flows) {
    const { direction, protocol, port, peer } = flow;
    const end = peer.kind === "pods" ? `p${labelKey(peer.labels.all)}` : `a${peer.ip}`;
    const key = `${direction} ${end} ${protocol} ${port}`;
    const known = byKey.get(key);
    byKey.set(key, known === undefined ? flow : union(known, flow));
  }
  return byKey;
}

function union(a: RememberedFlow, b: RememberedFlow): RememberedFlow {
  return {
    ...a,
    firstMs: Math.min(a.firstMs, b.firstMs),
    lastMs: Math.max(a.lastMs, b.lastMs),
    decidedNs: Math.max(a.decidedNs, b.decidedNs),
    audited: a.audited || b.audited,
    rule: a.rule === "" ? b.rule : a.rule,
  };
}
