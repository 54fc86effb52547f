/** Do the kernel's policy tables hold the set that this dataplane believes to be in force? */

import { create } from "@bufbuild/protobuf";
import type { Fault } from "../../shared/doctor/fault.ts";
import {
  directionText,
  policyDecisionText,
  policyKeyText,
} from "../../shared/doctor/policy_text.ts";
import type { PolicyShape } from "../../shared/gen/abi.ts";
import { PolicyEntrySchema } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Cidr, Ipv4 } from "../../shared/net/mod.ts";
import { versionInForce } from "../maps/datapath_state.ts";
import { gracePeriod } from "../maps/grace_period.ts";
import type { StoredCidr } from "../maps/cidr_identities.ts";
import type { StoredPolicy } from "../maps/policies.ts";
import type { CidrSet } from "../policy/cidr_set.ts";
import { POLICY_ABSENT } from "../policy/policy_diff.ts";
import { policyEntryAt } from "../policy/policy_entry.ts";
import { isWildcard, ShapeCounts, splitShapeKey } from "../policy/policy_shapes.ts";
import { POLICY_KEY_BYTES, PolicyTable } from "../policy/policy_table.ts";
import type { PolicyMaps, PolicyStore } from "./policy_store.ts";

const NOTHING = "no entry";
const REMEDY = "--fix writes the policy in force anew, without a gap";

/** The maps, and what should be in them. */
export interface PolicyInForce {
  readonly maps: PolicyMaps;
  readonly table: PolicyTable;
  readonly cidrs: CidrSet;
}

/** Entries of POLICIES, POLICY_SHAPES and CIDR_IDENTITIES that are missing, too many, or others. @throws SysError */
export async function policyFaults(store: PolicyStore): Promise<Fault[]> {
  const repair = () => store.whileSettled(restore);
  return await store.whileSettled((inForce) =>
    [...entryFaults(inForce), ...shapeFaults(inForce), ...cidrFaults(inForce)]
      .map((fault) => ({ ...fault, remedy: REMEDY, repair }))
  );
}

type Difference = Omit<Fault, "remedy" | "repair">;

function entryFaults({ maps, table }: PolicyInForce): Difference[] {
  const stored = new PolicyTable(table.size);
  for (const entry of maps.policies.entries()) {
    const at = versionInForce(maps.state.value, entry.generation);
    stored.set(...entry.words, entry.actions[at], entry.ruleIds[at]);
  }
  const differences: Difference[] = [];
  const differs = (from: PolicyTable, slot: number, expected: string, found: string) =>
    differences.push({ kind: "policy map", object: keyText(from, slot), expected, found });
  for (const slot of table.slots()) {
    const at = stored.findIn(table, slot);
    if (at < 0) differs(table, slot, decisionText(table, slot), NOTHING);
    else if (decisionText(stored, at) !== decisionText(table, slot)) {
      differs(table, slot, decisionText(table, slot), decisionText(stored, at));
    }
  }
  for (const slot of stored.slots()) {
    if (table.findIn(stored, slot) < 0) differs(stored, slot, NOTHING, decisionText(stored, slot));
  }
  return differences;
}

function shapeFaults({ maps, table }: PolicyInForce): Difference[] {
  const selected = selectedShapes(ShapeCounts.of(table));
  const stored = maps.shapes.read();
  return [...new Set([...selected.keys(), ...stored.keys()])].flatMap((key) => {
    const [expected, found] = [shapeText(selected.get(key)), shapeText(stored.get(key))];
    if (expected === found) return [];
    const { identity, direction } = splitShapeKey(key);
    const object = `POLICY_SHAPES identity ${identity}, ${directionText(direction)}`;
    return [{ kind: "policy shape map", object, expected, found }];
  });
}

/** Those that are in the map; the others are in DATAPATH_STATE. */
function selectedShapes(shapes: ShapeCounts): Map<number, PolicyShape> {
  const keys = [...shapes.keys()].filter((key) => !isWildcard(key));
  return new Map(keys.map((key) => [key, shapes.get(key)]));
}

function cidrFaults({ maps, cidrs }: PolicyInForce): Difference[] {
  const name = (address: number, prefixLen: number) =>
    `${Cidr.of(Ipv4.fromU32(address), prefixLen)}`;
  const wanted = new Map([...cidrs].map(([ip, len, identity]) => [name(ip, len), identity]));
  const stored = new Map([...maps.cidrs.entries()].map((cidr) => [
    name(cidr.address, cidr.prefixLen),
    cidr.identities[versionInForce(maps.state.value, cidr.generation)],
  ]));
  return [...new Set([...wanted.keys(), ...stored.keys()])]
    .filter((cidr) => wanted.get(cidr) !== stored.get(cidr))
    .map((cidr) => ({
      kind: "CIDR map",
      object: `CIDR_IDENTITIES ${cidr}`,
      expected: identityText(wanted.get(cidr)),
      found: identityText(stored.get(cidr)),
    }));
}

/** Writes all that is to be there, then removes the rest; a packet meets the right set or more of it. */
async function restore({ maps, table, cidrs }: PolicyInForce): Promise<void> {
  const { policies, shapes, cidrs: cidrMap, state } = maps;
  const generation = state.value.policyGeneration;
  // Values that are there already are written in place: packets read them under their locks meanwhile.
  state.write({ policyStaging: 1 });
  await gracePeriod();
  const counts = ShapeCounts.of(table);
  const selected = selectedShapes(counts);
  for (const [key, shape] of selected) shapes.set(key, shape);
  state.write({ wildcardShapes: [...counts.wildcard], cidrCount: cidrs.size });
  for (const [address, prefixLen, identity] of cidrs) {
    cidrMap.set({ address, prefixLen, generation, identities: [identity, identity] });
  }
  const slots = [...table.slots()];
  policies.write({
    count: slots.length,
    keys: keysOf(table, slots),
    actions: slots.flatMap((slot) => [table.action(slot), table.action(slot)]),
    ruleIds: slots.flatMap((slot) => [table.ruleId(slot), table.ruleId(slot)]),
  }, generation);
  state.write({ policyStaging: 0 });
  removeStrays({ maps, table, cidrs }, selected);
  // The next insert may be given the memory of what a packet still reads.
  await gracePeriod();
  state.judgeAgain();
}

function removeStrays(
  { maps, table, cidrs }: PolicyInForce,
  selected: ReadonlyMap<number, PolicyShape>,
): void {
  const strays: StoredPolicy[] = [...maps.policies.entries()]
    .filter(({ words }) => table.find(...words) < 0);
  maps.policies.delete(
    new Uint8Array(new Uint32Array(strays.flatMap(({ words }) => words)).buffer),
  );
  const strayCidrs: StoredCidr[] = [...maps.cidrs.entries()]
    .filter(({ address, prefixLen }) => cidrs.get(address, prefixLen) === undefined);
  for (const { address, prefixLen } of strayCidrs) maps.cidrs.delete(address, prefixLen);
  for (const key of maps.shapes.read().keys()) if (!selected.has(key)) maps.shapes.delete(key);
}

function keysOf(table: PolicyTable, slots: readonly number[]): Uint8Array<ArrayBuffer> {
  const keys = new Uint8Array(slots.length * POLICY_KEY_BYTES);
  for (const [index, slot] of slots.entries()) {
    keys.set(table.keyBytes(slot), index * POLICY_KEY_BYTES);
  }
  return keys;
}

function keyText(table: PolicyTable, slot: number): string {
  return `POLICIES ${policyKeyText(create(PolicyEntrySchema, policyEntryAt(table, slot)))}`;
}

function decisionText(table: PolicyTable, slot: number): string {
  const action = table.action(slot);
  if (action === POLICY_ABSENT) return "an entry that says nothing";
  return policyDecisionText(action, table.ruleId(slot));
}

function shapeText(shape: PolicyShape | undefined): string {
  if (shape === undefined) return NOTHING;
  return `0x${shape.exactProtocol.toString(16)}, any protocol 0x${shape.anyProtocol.toString(16)}`;
}

function identityText(identity: number | undefined): string {
  return identity === undefined ? NOTHING : `identity ${identity}`;
}
