import type { Fault } from "../../shared/doctor/fault.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import { labelKey } from "../identity/mod.ts";
import { type Attachment, attachmentId } from "../state/mod.ts";
import { type DoctorSources, podText } from "./sources.ts";

const NO_ROW = "no row in the database";
const REMOVE = "--fix removes the row";
const RESTORE = "--fix writes the row anew from the running agent's memory";

/** Rows of the agent's database that are missing, too many, or not what the agent goes by. */
export function databaseFaults(sources: DoctorSources): Fault[] {
  return [
    ...attachmentFaults(sources),
    ...addressFaults(sources),
    ...identityFaults(sources),
    ...ruleFaults(sources),
    ...countFaults(sources),
  ];
}

function attachmentFaults({ store, registry }: DoctorSources): Fault[] {
  const rows = new Map(store.attachments().map((row) => [attachmentId(row), row]));
  const faults: Fault[] = [];
  for (const pod of registry.list()) {
    const row = rows.get(attachmentId(pod));
    rows.delete(attachmentId(pod));
    if (row !== undefined && rowText(row) === rowText(pod)) continue;
    faults.push({
      kind: "database",
      object: podText(pod),
      expected: rowText(pod),
      found: row === undefined ? NO_ROW : rowText(row),
      remedy: RESTORE,
      repair: () => store.restoreAttachment(pod, registry.identityId(pod)),
    });
  }
  for (const row of rows.values()) {
    faults.push({
      kind: "database",
      object: podText(row),
      expected: NO_ROW,
      found: rowText(row),
      remedy: REMOVE,
      repair: () => store.deleteAttachment(row, row.ip, undefined),
    });
  }
  return faults;
}

function addressFaults({ store, registry }: DoctorSources): Fault[] {
  const rows = new Set(store.usedAddresses());
  const strays = [...rows].filter((ip) => registry.byIp(ip) === undefined);
  const missing = registry.list().filter(({ ip }) => !rows.has(ip.value));
  return [
    ...strays.map((ip): Fault => ({
      kind: "address",
      object: `${Ipv4.fromU32(ip)}`,
      expected: "free: no pod has it",
      found: "marked as used in the database",
      remedy: REMOVE,
      repair: () => store.forgetAddress(ip),
    })),
    ...missing.map((pod): Fault => ({
      kind: "address",
      object: `${pod.ip}`,
      expected: `used by ${podText(pod)}`,
      found: "not marked as used in the database",
      remedy: RESTORE,
      repair: () => store.restoreAttachment(pod, registry.identityId(pod)),
    })),
  ];
}

function identityFaults({ store, registry }: DoctorSources): Fault[] {
  const rows = new Map(
    store.identities().map(({ id, labels }) => [labelKey(labels), { id, labels }]),
  );
  const faults: Fault[] = [];
  for (const { id, labels } of registry.identities()) {
    const row = rows.get(labelKey(labels));
    rows.delete(labelKey(labels));
    if (row?.id === id) continue;
    faults.push({
      kind: "identity",
      object: String(id),
      expected: `labels ${JSON.stringify(labels)}`,
      found: row === undefined ? NO_ROW : `number ${row.id} in the database`,
      remedy: RESTORE,
      repair: () => store.saveIdentity(labels, id),
    });
  }
  for (const { id, labels } of rows.values()) {
    faults.push({
      kind: "identity",
      object: String(id),
      expected: `${NO_ROW}: no pod has it`,
      found: `labels ${JSON.stringify(labels)}`,
      remedy: REMOVE,
      repair: () => store.forgetUnusedIdentities(),
    });
  }
  return faults;
}

function ruleFaults({ store, enforcer }: DoctorSources): Fault[] {
  const rows = new Map(store.rules().map(([id, name]) => [name, id]));
  const faults: Fault[] = [];
  for (const [text, name] of Object.entries(enforcer.desired.ruleNames)) {
    const id = Number(text);
    // Names that are reserved have no row.
    if (rows.get(name) === id || enforcer.ruleNumber(name) !== id) continue;
    faults.push({
      kind: "rule name",
      object: `${id} ${name}`,
      expected: `number ${id} in the database`,
      found: rows.has(name) ? `number ${rows.get(name)}` : NO_ROW,
      remedy: RESTORE,
      repair: () => store.saveRule(id, name),
    });
  }
  for (const [name, id] of rows) {
    if (enforcer.ruleNumber(name) !== undefined) continue;
    faults.push({
      kind: "rule name",
      object: `${id} ${name}`,
      expected: `${NO_ROW}: the agent does not know it`,
      found: `number ${id}`,
      remedy: REMOVE,
      repair: () => store.forgetRule(name),
    });
  }
  return faults;
}

/** What the agent's memory counts twice or never let go of. */
function countFaults({ registry }: DoctorSources): Fault[] {
  const pods = registry.list().length;
  const { used, outside } = registry.addresses;
  const holders = registry.identities().reduce((sum, { refCount }) => sum + refCount, 0);
  const counts: [kind: string, object: string, found: number][] = [
    ["address", "addresses in use", used + outside],
    ["identity", "holders of identities", holders],
  ];
  return counts.filter(([, , found]) => found !== pods).map(([kind, object, found]) => ({
    kind,
    object,
    expected: `${pods}, one for each pod`,
    found: String(found),
    remedy: "restart novanet-agent: it counts anew; and report this as a bug",
  }));
}

function rowText(pod: Attachment): string {
  const { ip, hostIfName, hostIfindex, state, netns } = pod;
  return `${ip}, ${hostIfName} (${hostIfindex}), ${state}, ${netns}`;
}
