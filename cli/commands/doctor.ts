import type { Finding } from "../../shared/doctor/fault.ts";
import { VERSION } from "../../shared/version.ts";
import { diagnose, type Facts, NO_REPAIR } from "../doctor/diagnose.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit_codes.ts";
import type { Io } from "../io.ts";
import type { OptionsOf } from "../options.ts";
import { type Column, Printer, printFields } from "../output.ts";

type DoctorOptions = OptionsOf<"doctor">;

const NOTHING = "nothing is wrong";

/**
 * `doctor`: what is wrong on this node, and with --fix what was done about it.
 * @throws {CliError} when something is wrong: UNREACHABLE when a daemon is down, else FAILURE
 */
export async function doctor(options: DoctorOptions, io: Io): Promise<void> {
  const { findings: found, facts, down } = await diagnose(options);
  const findings = [...found, ...otherVersions(facts)];
  for (const { daemon: { name, socketPath }, unseen } of down) {
    await io.stderr.write(
      `Note: ${name} does not answer on ${socketPath}: ${unseen} ` +
        "not looked at; the rest was\n",
    );
  }
  await print(options, io, findings, facts);
  const wrong = findings.filter(({ repaired, warning }) => !repaired && !warning);
  if (wrong.length === 0) return;
  const code = down.length > 0 ? ExitCode.UNREACHABLE : ExitCode.FAILURE;
  throw new CliError(code, summary(wrong, options.fix));
}

/** An update that was not finished: a daemon was not started again, or not replaced. */
function otherVersions(facts: Facts): Finding[] {
  return ["novanet-agent", "novanet-dataplane"].flatMap((object): Finding[] => {
    const version = facts[object]?.split(",")[0] ?? VERSION;
    if (version === VERSION) return [];
    return [{
      ...NO_REPAIR,
      kind: "version",
      object,
      expected: `${VERSION}, as novanetctl`,
      found: version,
      remedy: `install one version of all, and start ${object} again`,
      warning: true,
    }];
  });
}

/** What became of a finding, in one word. */
function stateOf({ repaired, warning, repairError }: Finding): string {
  if (repaired) return "repaired";
  if (warning) return "warning";
  return repairError === "" ? "wrong" : "not repaired";
}

function whatToDo({ remedy, repaired, repairError }: Finding): string {
  if (repaired) return "-";
  return (repairError === "" ? remedy : `${remedy}; it failed: ${repairError}`) || "-";
}

const COLUMNS: readonly Column<Finding>[] = [
  { header: "STATE", text: stateOf, color: (one) => one.repaired ? "green" : "red" },
  { header: "KIND", text: ({ kind }) => kind },
  { header: "OBJECT", text: ({ object }) => object || "-" },
  { header: "EXPECTED", text: ({ expected }) => expected || "-" },
  { header: "FOUND", text: ({ found }) => found || "-" },
  { header: "TO_DO", text: whatToDo },
];

async function print(
  options: DoctorOptions,
  io: Io,
  findings: readonly Finding[],
  facts: Facts,
): Promise<void> {
  const all = { novanetctl: VERSION, ...facts };
  if (options.output === "json" || options.output === "yaml") {
    const json = { facts: all, findings: findings.map((finding) => findingJson(finding)) };
    return await printFields(io, options, [], json);
  }
  if (options.output === "wide" || io.stdout.columns !== undefined) {
    const fields = Object.entries(all).map(([key, value]) => ({ key, value }));
    await printFields(io, options, fields, all);
  }
  if (io.stdout.columns !== undefined) await io.stdout.write(blocks(findings));
  else if (findings.length === 0) await io.stdout.write(`${NOTHING}\n`);
  else {
    const view = { columns: COLUMNS, json: findingJson };
    await new Printer(io, { ...options, watch: false }, view).list(findings);
  }
}

/** A table of sentences fits no terminal. */
function blocks(findings: readonly Finding[]): string {
  const clean = (text: string) => text.replaceAll(/\p{Cc}/gu, " ");
  const lines = findings.flatMap((finding) => [
    "",
    `${stateOf(finding).toUpperCase()}  ${finding.kind} ${finding.object}`,
    ...[["expected", finding.expected], ["found", finding.found], ["to do", whatToDo(finding)]]
      .filter(([, text]) => text !== "" && text !== "-")
      .map(([key = "", text]) => `  ${key.padEnd(9)} ${text}`),
  ]);
  return [...lines, ...findings.length === 0 ? [NOTHING] : []].map(clean)
    .map((line) => `${line}\n`).join("");
}

function findingJson(finding: Finding) {
  const { kind, object, expected, found, remedy, repairable, warning, repaired, repairError } =
    finding;
  return {
    state: stateOf(finding),
    kind,
    object,
    expected,
    found,
    remedy,
    repairable,
    warning,
    repaired,
    repair_error: repairError,
  };
}

function summary(wrong: readonly Finding[], fix: boolean): string {
  const count = wrong.length === 1 ? "1 thing is wrong" : `${wrong.length} things are wrong`;
  const repairable = wrong.filter((finding) => finding.repairable).length;
  if (fix) return `${count} still`;
  return repairable === 0
    ? count
    : `${count}; novanetctl doctor --fix repairs ${repairable} of them`;
}
