/** InspectDatapath. */

import { type Finding, inspect } from "../../shared/doctor/fault.ts";
import type { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type { InspectDatapathRequest } from "../../shared/gen/novanet/ext/v1/doctor_pb.ts";
import { getLogger } from "../../shared/log.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import { VERSION } from "../../shared/version.ts";
import { attachmentFaults } from "../programs/attachment_audit.ts";
import { pinFaults } from "../programs/pin_audit.ts";
import { LAYOUT_VERSION } from "../programs/pins.ts";
import { endpointFaults } from "../reconcile/endpoint_audit.ts";
import { policyFaults } from "../reconcile/policy_audit.ts";
import { stateFaults } from "../reconcile/state_audit.ts";
import type { Dataplane } from "./dataplane.ts";

const log = getLogger("dataplane/doctor");

/** The handler of InspectDatapath. */
export function inspectionHandlers(dataplane: Dataplane): ServiceImpl<typeof DataplaneExt> {
  return {
    async inspectDatapath({ repair, once }: InspectDatapathRequest) {
      const findings = await inspect(() => look(dataplane), {
        repair,
        ...once ? { pauseMs: "once" } : {},
      });
      for (const finding of findings) logFinding(finding);
      return {
        findings,
        facts: facts(dataplane),
        config: Object.fromEntries(dataplane.config.values),
      };
    },
  };
}

async function look(dataplane: Dataplane) {
  const { attachments, config, endpoints, maps, objects, pinDir, policies, interfaces } = dataplane;
  const macOf = (ifindex: number) => interfaces.linkFind(ifindex)?.mac?.bytes;
  const pods = [...endpoints.values()].map(({ ifindex }) => ifindex).filter((index) => index !== 0);
  return [
    ...pinFaults(pinDir, objects),
    ...attachmentFaults({
      attachments,
      pinDir,
      wanted: pods,
      interfaces: interfaces.linkList().map(({ index }) => index),
    }),
    ...stateFaults(config, maps.state),
    ...endpointFaults({ store: endpoints, maps, macOf }),
    ...await policyFaults(policies),
  ];
}

function facts({ attachments, endpoints, objects, pinDir, policies }: Dataplane) {
  const values = {
    "novanet-dataplane": `${VERSION}, map layout ${LAYOUT_VERSION}, object ${objects.objectHash}`,
    "attached by": attachments.mode,
    pins: pinDir,
    endpoints: String(endpoints.size),
    "policy entries": String(policies.table.size),
    CIDRs: String(policies.cidrs.size),
  };
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

function logFinding({ kind, object, expected, found, repaired }: Finding): void {
  log[repaired ? "info" : "warn"](repaired ? "repaired" : "found", {
    kind,
    object,
    expected,
    found,
  });
}
