import { type Fault, type Finding, inspect } from "../../shared/doctor/fault.ts";
import type { Fact } from "../../shared/gen/novanet/ext/v1/doctor_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { VERSION } from "../../shared/version.ts";
import { formatProblem } from "../policy/mod.ts";
import { databaseFaults } from "./database_faults.ts";
import { dataplaneFaults, type DataplaneView, viewDataplane } from "./dataplane_faults.ts";
import { hostFaults } from "./host_faults.ts";
import { podFaults } from "./pod_faults.ts";
import type { DoctorSources } from "./sources.ts";
import { spoolFaults } from "./spool_faults.ts";

const log = getLogger("agent/doctor");
const LOOPBACK = 1;

/** What an inspection found. */
export interface NodeInspection {
  readonly findings: readonly Finding[];
  readonly facts: readonly Pick<Fact, "name" | "value">[];
  readonly dataplaneConnected: boolean;
}

/**
 * Compares what the agent goes by with database, kernel and dataplane, and repairs what differs if asked to.
 * Without a dataplane it looks at the rest.
 * @throws {NetlinkError | SysError} when the kernel cannot be asked
 */
export async function inspectNode(
  sources: DoctorSources,
  { repair }: { readonly repair: boolean },
): Promise<NodeInspection> {
  let view: DataplaneView | undefined;
  const findings = await inspect(async () => {
    view = await viewIfConnected(sources);
    return await look(sources, view);
  }, { repair });
  for (const { kind, object, expected, found, repaired, warning } of findings) {
    if (warning) continue;
    log[repaired ? "info" : "warn"](repaired ? "repaired" : "found", {
      kind,
      object,
      expected,
      found,
    });
  }
  return { findings, facts: facts(sources, view), dataplaneConnected: view !== undefined };
}

async function viewIfConnected({ link }: DoctorSources): Promise<DataplaneView | undefined> {
  try {
    return await link.callNow(viewDataplane);
  } catch (error) {
    log.debug("the dataplane does not answer", { error });
    return undefined;
  }
}

async function look(sources: DoctorSources, view: DataplaneView | undefined): Promise<Fault[]> {
  const ofPods = await podFaults(sources);
  return [
    ...databaseFaults(sources),
    ...ofPods,
    ...hostFaults(sources, view?.endpoints),
    ...spoolFaults(sources.spool),
    ...view === undefined ? [] : dataplaneFaults(sources, view),
    ...warningsOf(sources),
  ];
}

/** What `novanetctl status` warns of: a person must judge it. */
function warningsOf({ warnings, enforcer }: DoctorSources): Fault[] {
  const warning = (kind: string, found: string): Fault => ({
    kind,
    object: "",
    expected: "",
    found,
    remedy: "",
    warning: true,
  });
  return [
    ...warnings().map((text) => warning("node", text)),
    ...enforcer.snapshot.errors.map((problem) => warning("manifest", formatProblem(problem))),
  ];
}

function facts({ registry, podCidr }: DoctorSources, view: DataplaneView | undefined) {
  const { used, total } = registry.addresses;
  const own = {
    "novanet-agent": VERSION,
    kernel: Deno.osRelease(),
    "IPv4 BIG TCP": hasBigTcp() ? "yes" : "the kernel does not have it",
    "pod CIDR": `${podCidr}`,
    pods: String(registry.list().length),
    addresses: `${used} of ${total}`,
    identities: String(registry.identities().length),
  };
  return [
    ...Object.entries(own).map(([name, value]) => ({ name, value })),
    ...view?.inspection.facts ?? [],
  ];
}

function hasBigTcp(): boolean {
  using socket = RtnetlinkSocket.openIn();
  return socket.linkFind(LOOPBACK)?.gsoIpv4MaxSizeBytes !== undefined;
}
