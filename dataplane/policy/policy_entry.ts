/** Policy entries as RPCs carry them, checked and turned into table keys, and back. Pure. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  PolicyAction,
  PolicyDirection,
  type PolicyEntrySchema,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { PolicyKind } from "../../shared/gen/abi.ts";
import { hasPorts } from "../../shared/net/ip_protocol.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import type { PolicyTable } from "./policy_table.ts";

/** The fields that name an entry, in every message that has them. */
export interface PolicyKeyFields {
  readonly srcIdentity: number;
  readonly dstIdentity: number;
  readonly protocol: number;
  readonly dstPort: number;
  readonly direction: PolicyDirection;
  readonly portPrefixLen: number;
  readonly isolation: boolean;
}

/** The four little-endian words of `struct policy_key`. */
export type PolicyKeyWords = readonly [number, number, number, number];

const MAX_PROTOCOL = 255;
const MAX_PORT = 65_535;
const PORT_BITS = 16;

/**
 * Checks the fields and makes the key of them.
 *
 * @param at Where the fields stand in the request, such as `policies[3].`, for the error.
 * @throws RpcError INVALID_ARGUMENT naming field and value.
 */
export function policyKeyWords(fields: PolicyKeyFields, at = ""): PolicyKeyWords {
  const { srcIdentity, dstIdentity, protocol, dstPort, direction } = fields;
  if (!(direction in PolicyDirection)) {
    throw invalidArgument(
      `${at}direction`,
      direction,
      "must be 0 (both), 1 (ingress) or 2 (egress)",
    );
  }
  if (protocol > MAX_PROTOCOL) {
    throw invalidArgument(`${at}protocol`, protocol, `must be at most ${MAX_PROTOCOL}`);
  }
  if (dstPort > MAX_PORT) {
    throw invalidArgument(`${at}dst_port`, dstPort, `must be at most ${MAX_PORT}`);
  }
  if (dstPort !== 0 && protocol !== 0 && !hasPorts(protocol)) {
    throw invalidArgument(`${at}dst_port`, dstPort, `protocol ${protocol} has no ports`);
  }
  const prefixLen = portPrefixLen(fields, at);
  if (fields.isolation) checkIsolation(fields, at);
  const kind = fields.isolation ? PolicyKind.POLICY_KIND_ISOLATION : PolicyKind.POLICY_KIND_RULE;
  return [
    srcIdentity,
    dstIdentity,
    (protocol | direction << 8 | dstPort << 16) >>> 0,
    prefixLen | kind << 8,
  ];
}

/**
 * Checks an action: what this dataplane can do is deny and allow, and of isolation deny and audit.
 *
 * @throws RpcError INVALID_ARGUMENT naming field and value.
 */
export function checkAction(action: PolicyAction, isolation: boolean, at = ""): void {
  if (isolation) {
    if (action === PolicyAction.DENY || action === PolicyAction.AUDIT) return;
    throw invalidArgument(`${at}action`, action, "must be 0 (DENY) or 64 (AUDIT) for isolation");
  }
  if (action !== PolicyAction.DENY && action !== PolicyAction.ALLOW) {
    throw invalidArgument(`${at}action`, action, "must be 0 (DENY) or 1 (ALLOW)");
  }
}

/** The entry in a slot of a table as RPCs carry it. */
export function policyEntryAt(
  table: PolicyTable,
  slot: number,
): MessageInitShape<typeof PolicyEntrySchema> {
  const word2 = table.word(slot, 2);
  const word3 = table.word(slot, 3);
  const isolation = (word3 >>> 8 & 0xff) === PolicyKind.POLICY_KIND_ISOLATION;
  const dstPort = word2 >>> 16;
  const prefixLen = word3 & 0xff;
  return {
    srcIdentity: table.word(slot, 0),
    dstIdentity: table.word(slot, 1),
    protocol: word2 & 0xff,
    dstPort,
    action: table.action(slot),
    direction: word2 >>> 8 & 0xff,
    portPrefixLen: prefixLen === PORT_BITS && dstPort !== 0 ? 0 : prefixLen,
    isolation,
    ruleId: table.ruleId(slot),
  };
}

/** 0 on the wire means: one port when a port is given, any port when none is. */
function portPrefixLen(fields: PolicyKeyFields, at: string): number {
  const { dstPort, portPrefixLen: given } = fields;
  if (given === 0) return dstPort === 0 ? 0 : PORT_BITS;
  if (given > PORT_BITS) {
    throw invalidArgument(`${at}port_prefix_len`, given, `must be at most ${PORT_BITS}`);
  }
  if ((dstPort & (1 << (PORT_BITS - given)) - 1) !== 0) {
    throw invalidArgument(
      `${at}dst_port`,
      dstPort,
      `has bits beyond the port_prefix_len of ${given}`,
    );
  }
  return given;
}

function checkIsolation(fields: PolicyKeyFields, at: string): void {
  const { direction } = fields;
  if (direction === PolicyDirection.BOTH) {
    throw invalidArgument(`${at}direction`, direction, "an isolation entry needs one direction");
  }
  const ingress = direction === PolicyDirection.INGRESS;
  const [selected, other] = ingress
    ? ["dst_identity", "src_identity"]
    : ["src_identity", "dst_identity"];
  const values: [string, number, boolean][] = [
    [selected as string, ingress ? fields.dstIdentity : fields.srcIdentity, true],
    [other as string, ingress ? fields.srcIdentity : fields.dstIdentity, false],
    ["protocol", fields.protocol, false],
    ["dst_port", fields.dstPort, false],
    ["port_prefix_len", fields.portPrefixLen, false],
  ];
  for (const [name, value, wanted] of values) {
    if ((value !== 0) === wanted) continue;
    const why = wanted ? "must name the isolated identity" : "must be 0 in an isolation entry";
    throw invalidArgument(`${at}${name}`, value, why);
  }
}
