import { configText } from "../../shared/doctor/config_text.ts";
import type { Fault } from "../../shared/doctor/fault.ts";
import { policyDecisionText, policyKeyText } from "../../shared/doctor/policy_text.ts";
import type {
  Finding,
  InspectDatapathResponse,
} from "../../shared/gen/novanet/ext/v1/doctor_pb.ts";
import type {
  EndpointInfo,
  ListPolicyEntriesResponse,
} from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import {
  type AttachedProgram,
  AttachType,
  ConfigKey,
  type PolicyEntry,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Cidr, Ipv4 } from "../../shared/net/mod.ts";
import type { DataplaneCalls } from "../dataplane/calls.ts";
import { HOST_IF_PREFIX } from "../pods/names.ts";
import type { CompiledEntry } from "../policy/mod.ts";
import type { DoctorSources } from "./sources.ts";

/** What the dataplane says, asked at one time. */
export interface DataplaneView {
  readonly endpoints: readonly EndpointInfo[];
  readonly policy: ListPolicyEntriesResponse;
  readonly programs: readonly AttachedProgram[];
  readonly inspection: InspectDatapathResponse;
}

/** Asks the dataplane all that an inspection needs. @throws {RpcError} */
export async function viewDataplane(calls: DataplaneCalls): Promise<DataplaneView> {
  const [{ endpoints }, policy, { programs }, inspection] = await Promise.all([
    calls.ext.listEndpoints({}),
    calls.ext.listPolicyEntries({}),
    calls.control.getDataplaneStatus({}),
    calls.ext.inspectDatapath({ once: true }),
  ]);
  return { endpoints, policy, programs, inspection };
}

/** What the dataplane found in the kernel, and what it was told otherwise than the agent would tell it. */
export function dataplaneFaults(sources: DoctorSources, view: DataplaneView): Fault[] {
  return [
    ...kernelFaults(sources, view),
    ...endpointFaults(sources, view),
    ...programFaults(sources, view),
    ...policyFaults(sources, view),
    ...configFaults(sources, view),
  ];
}

function kernelFaults({ link }: DoctorSources, { inspection }: DataplaneView): Fault[] {
  const repair = () =>
    link.callNow(async (calls) => {
      const { findings } = await calls.ext.inspectDatapath({ repair: true });
      const failed = findings.filter(({ repairError }) => repairError !== "");
      if (failed[0] !== undefined) throw new Error(failed[0].repairError);
    });
  return inspection.findings.map((finding: Finding): Fault => {
    const { kind, object, expected, found, remedy, warning, repairable } = finding;
    const fault = { kind, object, expected, found, remedy, warning };
    return repairable ? { ...fault, repair } : fault;
  });
}

function endpointFaults({ endpoints, link }: DoctorSources, view: DataplaneView): Fault[] {
  const { upsert, remove } = endpoints.compare(view.endpoints);
  const repair = () =>
    link.callNow(async (calls) => {
      await endpoints.sync(calls, (await calls.ext.listEndpoints({})).endpoints);
    });
  const found = new Map(view.endpoints.map((info) => [info.ip, info]));
  const text = (ip: number) => {
    const info = found.get(ip);
    return info === undefined
      ? "no endpoint"
      : `interface ${info.ifindex}, identity ${info.identityId}, ${podName(info)}`;
  };
  return [
    ...upsert.map(({ ip, ifindex, identityId, podName: name, namespace }): Fault => ({
      kind: "endpoint",
      object: `${ip}`,
      expected: `interface ${ifindex}, identity ${identityId}, ${
        podName({ podName: name, namespace })
      }`,
      found: text(ip.value),
      remedy: "--fix tells the dataplane",
      repair,
    })),
    ...remove.map((ip): Fault => ({
      kind: "endpoint",
      object: `${Ipv4.fromU32(ip)}`,
      expected: "no endpoint: no pod has the address",
      found: text(ip),
      remedy: "--fix removes the endpoint",
      repair,
    })),
  ];
}

/** What lacks programs, the dataplane finds: it knows which interfaces are pods'. */
function programFaults({ registry, unknown, link }: DoctorSources, view: DataplaneView): Fault[] {
  const known = new Set(registry.list().map(({ hostIfName }) => hostIfName));
  const kept = unknown.names;
  return view.programs.filter(({ interfaceName }) =>
    interfaceName.startsWith(HOST_IF_PREFIX) && !known.has(interfaceName) &&
    !kept.has(interfaceName)
  ).map(({ interfaceName, attachType, programId }) => ({
    kind: "program",
    object: `${interfaceName} ${attachType}`,
    expected: "no program: no pod has the interface",
    found: `program ${programId}`,
    remedy: "--fix takes it off",
    repair: () =>
      link.callNow(async (calls) => {
        for (const type of [AttachType.ATTACH_TC_INGRESS, AttachType.ATTACH_TC_EGRESS]) {
          await calls.control.detachProgram({ interfaceName, attachType: type });
        }
      }),
  }));
}

function policyFaults({ enforcer }: DoctorSources, { policy }: DataplaneView): Fault[] {
  const [refused] = enforcer.warnings;
  if (refused !== undefined) return [notInForce(refused)];
  const { policies, cidrIdentities, ruleNames } = enforcer.desired;
  const repair = () => enforcer.sendAgain();
  const entries = (list: readonly (CompiledEntry | PolicyEntry)[]) =>
    new Map(
      list.map((entry) => [policyKeyText(entry), policyDecisionText(entry.action, entry.ruleId)]),
    );
  const cidrs = (list: readonly { cidrIp: number; prefixLen: number; identityId: number }[]) =>
    new Map(list.map(({ cidrIp, prefixLen, identityId }) => [
      `${Cidr.of(Ipv4.fromU32(cidrIp), prefixLen)}`,
      `identity ${identityId}`,
    ]));
  const compare = (
    kind: string,
    wanted: ReadonlyMap<string, string>,
    found: ReadonlyMap<string, string>,
  ): Fault[] =>
    [...new Set([...wanted.keys(), ...found.keys()])]
      .filter((key) => wanted.get(key) !== found.get(key))
      .map((key) => ({
        kind,
        object: key,
        expected: wanted.get(key) ?? "nothing",
        found: found.get(key) ?? "nothing",
        remedy: "--fix sends the policy to the dataplane again",
        repair,
      }));
  return [
    ...compare("policy", entries(policies), entries(policy.policies)),
    ...compare("CIDR identity", cidrs(cidrIdentities), cidrs(policy.cidrIdentities)),
    ...compare(
      "rule name",
      new Map(Object.entries(ruleNames)),
      new Map(Object.entries(policy.ruleNames)),
    ),
  ];
}

/** The dataplane has no room for all of it, and has something else instead: to compare the two would tell nothing. */
function notInForce(found: string): Fault {
  return {
    kind: "policy",
    object: "the policy of all pods",
    expected: "in force",
    found,
    remedy: "give the table more room, or write fewer rules",
  };
}

function configFaults({ enforcer, link }: DoctorSources, { inspection }: DataplaneView): Fault[] {
  const repair = () =>
    link.callNow(async (calls) => {
      await calls.control.updateConfig({ entries: { ...enforcer.config } });
    });
  return Object.entries(enforcer.config)
    .filter(([key, value]) => inspection.config[Number(key)] !== value)
    .map(([key, value]) => ({
      kind: "configuration",
      object: ConfigKey[Number(key)] ?? key,
      expected: configText(Number(key), value),
      found: configText(Number(key), inspection.config[Number(key)]),
      remedy: "--fix tells the dataplane",
      repair,
    }));
}

function podName({ podName, namespace }: { podName: string; namespace: string }): string {
  return podName === "" ? "no pod" : `pod ${namespace}/${podName}`;
}
