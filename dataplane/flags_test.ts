import assert from "node:assert/strict";
import { FlagError, helpText, parseFlags } from "./flags.ts";
import { defaultSizes } from "./sizes.ts";

const MEMORY = 8 * 2 ** 30;

Deno.test("no arguments: serve with the documented defaults", () => {
  const flags = parseFlags([], MEMORY);
  assert.deepEqual(flags, {
    action: "serve",
    socket: "/run/novanet/dataplane.sock",
    pinDir: "/sys/fs/bpf/novanet",
    logLevel: "info",
    logFormat: "text",
    flowLevel: undefined,
    pods: undefined,
    sizes: defaultSizes(MEMORY),
  });
});

Deno.test("every flag is taken, with = and without", () => {
  const flags = parseFlags([
    ...["--socket", "/tmp/a.sock", "--pin-dir=/sys/fs/bpf/x/", "--log-level", "debug"],
    ...["--log-format=json", "--flow-level", "drops", "--conntrack-max", "4096"],
    ...["--policy-max=512", "--endpoint-max", "100", "--fragment-max", "64"],
    ...["--flow-ring-bytes", "65536"],
  ], MEMORY);
  assert.deepEqual(flags, {
    action: "serve",
    socket: "/tmp/a.sock",
    pinDir: "/sys/fs/bpf/x",
    logLevel: "debug",
    logFormat: "json",
    flowLevel: "drops",
    pods: undefined,
    sizes: {
      conntrackMax: 4096,
      policyMax: 512,
      endpointMax: 100,
      fragmentMax: 64,
      flowRingBytes: 65536,
    },
  });
});

for (const action of ["cleanup", "help", "version"] as const) {
  Deno.test(`--${action} selects the action`, () => {
    assert.equal(parseFlags([`--${action}`], MEMORY).action, action);
  });
}

const BAD: [args: string[], flag: string, text: RegExp][] = [
  [["--nope"], "--nope", /--nope: unknown flag/],
  [["--nope=1"], "--nope", /--nope: unknown flag/],
  [["-x"], "-x", /-x: unknown flag/],
  [["stray"], "stray", /stray: not expected/],
  [["--pods=isolate"], "--pods", /only with --cleanup/],
  [["--cleanup", "--pods=gone"], "--pods", /one of unfiltered, isolate/],
  [["--cleanup=yes"], "--cleanup", /takes no value/],
  [["--socket"], "--socket", /needs a value/],
  [["--socket", "--cleanup"], "--socket", /needs a value/],
  [["--socket", "a.sock"], "--socket", /"a.sock": must be an absolute path/],
  [["--socket", `/${"a".repeat(120)}`], "--socket", /longer than 107/],
  [["--pin-dir", "x"], "--pin-dir", /absolute/],
  [["--log-level", "loud"], "--log-level", /"loud": must be one of debug, info, warn, error/],
  [["--log-format", "xml"], "--log-format", /"xml"/],
  [["--flow-level", "4"], "--flow-level", /"4": must be one of off, drops, connections, all/],
  [["--policy-max", "0"], "--policy-max", /"0": must be a number from 256/],
  [["--policy-max", "1e5"], "--policy-max", /"1e5"/],
  [["--conntrack-max", "99999999999"], "--conntrack-max", /number from/],
  [["--flow-ring-bytes", "65537"], "--flow-ring-bytes", /"65537": must be a power of two/],
  [["--policy-max=300", "--policy-max=300"], "--policy-max", /given twice/],
];

for (const [args, flag, text] of BAD) {
  Deno.test(`refused: ${args.join(" ").slice(0, 60)}`, () => {
    assert.throws(() => parseFlags(args, MEMORY), (error) => {
      assert.ok(error instanceof FlagError);
      assert.equal(error.flag, flag);
      assert.match(error.message, text);
      return true;
    });
  });
}

Deno.test("the help page names every flag", () => {
  const help = helpText(MEMORY);
  const names = ["socket", "pin-dir", "log-level", "log-format", "flow-level", "conntrack-max"];
  names.push("policy-max", "endpoint-max", "fragment-max", "flow-ring-bytes", "cleanup", "version");
  for (const name of names) assert.match(help, new RegExp(`--${name}\\b`));
});

Deno.test("default sizes grow with memory, within limits", () => {
  const sizes = [0.25, 1, 4, 16, 64, 512].map((gib) => defaultSizes(gib * 2 ** 30));
  for (const field of ["conntrackMax", "policyMax", "endpointMax", "fragmentMax"] as const) {
    const values = sizes.map((size) => size[field]);
    assert.deepEqual(values, [...values].sort((a, b) => a - b), field);
  }
  assert.equal(sizes[0]?.conntrackMax, 65_536);
  assert.equal(sizes.at(-1)?.conntrackMax, 1_048_576);
  assert.ok(sizes.every((size) => Number.isInteger(Math.log2(size.flowRingBytes))));
});
