import type {
  GetPodFlowsResponse,
  PodFlow,
  PodSelection,
} from "../../shared/gen/novanet/ext/v1/pod_flows_pb.ts";
import { PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { hasPorts } from "../../shared/net/ip_protocol.ts";
import { labelsLabel, protocolLabel } from "../labels.ts";
import { isNameable } from "./network_policy.ts";

/** Denied and other flows that are named one by one; of more only the number is told. */
const MOST_NAMED = 20;

/** What a person must know of a suggested policy: since when, for whom, what is not in it. One sentence each. */
export function notes(pod: string, answer: GetPodFlowsResponse): string[] {
  const since = new Date(Number(answer.sinceUnixMs)).toISOString();
  return [
    `Allows the flows of pod ${pod} that were seen since ${since}, and no others.`,
    ...selectionNotes(answer),
    ...emptyNotes(answer),
    ...flowNotes(answer),
    ...countNotes(answer),
  ];
}

function selectionNotes({ pods, names, flows }: GetPodFlowsResponse): string[] {
  const told: string[] = [];
  if (names.length > 1) {
    told.push(
      `Pods with the same labels share the policy, and their flows are in it: ${names.join(", ")}.`,
    );
  }
  const vague = [pods, ...flows.map((flow) => flow.pods)].filter((one) => one !== undefined);
  for (const { namespace, indistinct } of uniqueSelections(vague)) {
    if (indistinct.length === 0) continue;
    const others = indistinct.map((name) => `${namespace}/${name}`).join(", ");
    told.push(`No label tells these pods apart from those that are meant: ${others}.`);
  }
  return told;
}

function uniqueSelections(selections: readonly PodSelection[]): PodSelection[] {
  const key = ({ namespace, indistinct }: PodSelection) => `${namespace} ${indistinct.join()}`;
  return [...new Map(selections.map((one) => [key(one), one])).values()];
}

function emptyNotes({ flows, leftOut }: GetPodFlowsResponse): string[] {
  if (flows.some(isNameable)) return [];
  const why = leftOut?.silent
    ? " The agent has seen no flow event at all: are they switched off?"
    : "";
  const what = (leftOut?.overflow ?? 0n) > 0n ? "is remembered" : "was seen";
  return [`No flow ${what}: it allows nothing.${why}`];
}

function flowNotes({ flows, denied }: GetPodFlowsResponse): string[] {
  const nameless = flows.filter((flow) => !isNameable(flow));
  const audited = flows.filter((flow) => flow.audited && isNameable(flow));
  return [
    ...list("In it, though a policy in audit mode would drop it", audited),
    ...list("Left out, because a NetworkPolicy cannot name it", nameless),
    ...list("Left out, because policy denied it", denied),
  ];
}

function list(what: string, flows: readonly PodFlow[]): string[] {
  const more = flows.length > MOST_NAMED ? [`${what}: ${flows.length - MOST_NAMED} more.`] : [];
  return [...flows.slice(0, MOST_NAMED).map((flow) => `${what}: ${flowText(flow)}.`), ...more];
}

/** Such as `ingress from pods office app=client to TCP 80, by shop/web:ingress[default-deny]`. */
function flowText({ direction, pods, ip, protocol, port, rule }: PodFlow): string {
  const peer = pods === undefined ? ip : `pods ${pods.namespace} ${labelsLabel(pods.labels)}`;
  const name = protocolLabel(protocol);
  const to = hasPorts(protocol) ? `${name} ${port}` : name;
  const way = direction === PolicyDirection.INGRESS
    ? `ingress from ${peer} to ${to}`
    : `egress to ${peer} ${to}`;
  return rule === "" ? way : `${way}, by ${rule}`;
}

function countNotes({ leftOut }: GetPodFlowsResponse): string[] {
  if (leftOut === undefined) return [];
  const rows: [bigint, string][] = [
    [leftOut.node, "from and to the node, which is always allowed"],
    [leftOut.unclear, "of TCP connections whose beginning was not seen"],
    [leftOut.answers, "that are late answers"],
    [leftOut.unknownPeers, "from and to pods that were gone already"],
    [leftOut.overflow, "for want of room: flows are missing"],
    [leftOut.deniedOverflow, "that policy denied, for want of room"],
  ];
  const told = rows.filter(([count]) => count > 0n)
    .map(([count, what]) => `Left out: ${count} flow events ${what}.`);
  if (leftOut.lostEvents > 0n) {
    told.push(`${leftOut.lostEvents} flow events of the node were lost: flows may be missing.`);
  }
  if (leftOut.interruptions > 0n) {
    told.push(`The dataplane was away ${leftOut.interruptions} times: flows may be missing.`);
  }
  return told;
}
