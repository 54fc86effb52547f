/** The examples of docs/troubleshooting.md, run on a node as it describes. */
import assert from "node:assert/strict";
import { parseArgs } from "../../cli/options.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { tcp, type TransportLayer, udp } from "../../shared/testing/packets.ts";
import { sendPacket } from "../../shared/testing/sockets.ts";
import type { LabPod } from "../../shared/testing/node.ts";
import { scenario } from "../scenarios/scenario.ts";

const PAGE = Deno.readTextFileSync(
  new URL("../../docs/troubleshooting.md", import.meta.url),
);
/** A small table of connections is read quickly. */
const SMALL = { dataplaneFlags: ["--conntrack-max=4096"] };
const FENCED = /^```(\w+)\n(.*?)^```$/gms;
const BLOCKS = [...PAGE.matchAll(FENCED)].map(([, kind, text = ""]) => ({ kind, text }));

/** What differs from node to node: numbers of identities, interfaces, rules and generations, names, times. */
function steady(text: string): string {
  return text.trimEnd()
    .replaceAll(/\b(identity|src|dst|rule_id|ifindex|generation)([= ])\d{2,}/g, "$1$2N")
    .replaceAll(/(ifindex) \d+|(ifindex)=\d+/g, "$1$2 N")
    .replaceAll(/\b(generation|rule_id)([= ])\d+/g, "$1$2N")
    .replaceAll(/POD_IFACES\[\d+\]/g, "POD_IFACES[N]")
    .replaceAll(/\bnv[0-9a-f]{11}\b/g, "nvX")
    .replaceAll(/\S*\/(web|tryout)\.yaml/g, "$1.yaml")
    .replaceAll(/20\d\d-\d\d-\d\dT[0-9:.]+Z/g, "TIME")
    .replaceAll(/\b\d+ flow events/g, "N flow events");
}

/** The first line of a manifest says where it belongs. */
function fileOf(manifest: string): string {
  const [, file] = /^# \/etc\/novanet\/manifests\/(\S+)\n/.exec(manifest) ?? [];
  assert(file, manifest);
  return file;
}

Deno.test("the page's commands are commands", () => {
  const lines = BLOCKS.filter(({ kind }) => kind === "sh").flatMap(({ text }) => text.split("\n"))
    .map((line) => line.replace(/ +#.*/, "").replace(/ [|>] .*/, ""))
    .filter((line) => line.startsWith("novanetctl "));
  assert(lines.length >= 5);
  for (const line of lines) {
    const parsed = parseArgs(line.split(" ").slice(1));
    assert("options" in parsed || parsed.finished.exitCode === 0, line);
  }
});

scenario("the examples of docs/troubleshooting.md", SMALL, async ({ node, step }) => {
  const pod = (app: string) => node.addPod(app, { namespace: "shop", labels: { app } });
  const [web, frontend, backup] = [await pod("web"), await pod("frontend"), await pod("backup")];
  let srcPort = 40_000;
  const send = (from: LabPod, dst: string, payload: (srcPort: number) => TransportLayer) =>
    sendPacket(from.netns, { src: from.ip, dst }, payload(++srcPort));
  const apply = async (manifest: string) => {
    const file = fileOf(manifest);
    await node.writeManifest(file, manifest);
    const [name] = file.split(".");
    await node.untilRules((rules) => rules.some((rule) => rule.startsWith(`shop/${name}:`)));
  };
  const run = async (command: string, output: string) => {
    const expected = steady(output);
    const args = command.replace(/^\$ novanetctl /, "").split(" ");
    let told = "";
    const asWritten = async () => {
      told = steady(await node.ctl(...args));
      return told === expected;
    };
    await eventually(asWritten, { timeoutMs: 3000, intervalMs: 50, what: command })
      .catch(() => assert.equal(told, expected));
  };
  for (const { kind, text } of BLOCKS) {
    if (kind === "yaml") {
      await apply(text);
      for (const from of [frontend, backup]) {
        send(from, web.ip, (srcPort) => tcp({ srcPort, dstPort: 8080, flags: "S" }));
      }
      send(web, node.addresses.outside, (srcPort) => udp({ srcPort, dstPort: 53 }));
    }
    if (kind !== "console") continue;
    const [command = "", ...output] = text.split("\n");
    await step(command, () => run(command, output.join("\n")));
  }
});
