/** The command line of novanet-dataplane. Pure. */

import { parseArgs } from "node:util";
import { LOG_LEVELS, type LogLevel } from "../shared/log.ts";
import { defaultSizes, type Sizes } from "./sizes.ts";

/** How much the datapath reports: names of the values 0 to 3 of CONFIG_KEY_FLOW_LEVEL. */
export const FLOW_LEVELS = ["off", "drops", "connections", "all"] as const;

/** One of {@linkcode FLOW_LEVELS}. */
export type FlowLevel = typeof FLOW_LEVELS[number];

/** What may become of pods that still run when the programs are taken away. */
export type PodFate = "unfiltered" | "isolate";

/** What each means for a pod. */
export const POD_FATES: Readonly<Record<PodFate, string>> = {
  unfiltered: "they keep their network, and no policy holds for them any more",
  isolate: "they have no network any more, until they are made anew or NovaNet runs here again",
};

/** What the program was asked to do. */
export interface Flags {
  readonly action: "serve" | "cleanup" | "help" | "version";
  /** Where DataplaneControl is served. */
  readonly socket: string;
  /** The directory on a bpf file system that holds maps, programs and links. */
  readonly pinDir: string;
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
  /** Undefined: what the configuration map says stays; `connections` where it says nothing. */
  readonly flowLevel: FlowLevel | undefined;
  /** For `cleanup`; undefined: pods that run are a reason not to. */
  readonly pods: PodFate | undefined;
  readonly sizes: Sizes;
}

/** A bad command line: which flag, which value, and why. */
export class FlagError extends Error {
  override readonly name = "FlagError";
  readonly flag: string;
  readonly value: string | undefined;

  /** @param why Completes the sentence "--flag "value": ...". */
  constructor(flag: string, value: string | undefined, why: string) {
    super(value === undefined ? `${flag}: ${why}` : `${flag} ${JSON.stringify(value)}: ${why}`);
    this.flag = flag;
    this.value = value;
  }
}

const DEFAULT_SOCKET = "/run/novanet/dataplane.sock";
const DEFAULT_PIN_DIR = "/sys/fs/bpf/novanet";
const LONGEST_SOCKET_PATH = 107;

interface SizeFlag {
  readonly field: keyof Sizes;
  readonly least: number;
  readonly most: number;
  readonly powerOfTwo?: boolean;
  readonly help: string;
}

const SIZE_FLAGS: Readonly<Record<string, SizeFlag>> = {
  "conntrack-max": {
    field: "conntrackMax",
    least: 1024,
    most: 2 ** 25,
    help: "connections tracked at once",
  },
  "policy-max": {
    field: "policyMax",
    least: 256,
    most: 2 ** 22,
    help: "policy entries in one set",
  },
  "endpoint-max": {
    field: "endpointMax",
    least: 64,
    most: 2 ** 22,
    help: "pods and host addresses known",
  },
  "fragment-max": {
    field: "fragmentMax",
    least: 64,
    most: 2 ** 22,
    help: "fragmented datagrams followed at once",
  },
  "flow-ring-bytes": {
    field: "flowRingBytes",
    least: 2 ** 16,
    most: 2 ** 30,
    powerOfTwo: true,
    help: "size of the flow event ring, a power of two",
  },
};

const STRING_FLAGS = [
  "socket",
  "pin-dir",
  "log-level",
  "log-format",
  "flow-level",
  "pods",
] as const;
const SWITCHES = ["cleanup", "help", "version"] as const;

/**
 * Parses the arguments.
 *
 * @param args Without the program's name.
 * @param memoryBytes The machine's memory, from which the default sizes follow.
 * @throws FlagError naming the flag and the value.
 */
export function parseFlags(args: readonly string[], memoryBytes: number): Flags {
  const { strings, switches } = split(args);
  if (strings.has("pods") && !switches.has("cleanup")) {
    throw new FlagError("--pods", strings.get("pods"), "only with --cleanup");
  }
  return {
    action: switches.has("help")
      ? "help"
      : switches.has("version")
      ? "version"
      : switches.has("cleanup")
      ? "cleanup"
      : "serve",
    socket: absolutePath("--socket", strings.get("socket") ?? DEFAULT_SOCKET, LONGEST_SOCKET_PATH),
    pinDir: absolutePath("--pin-dir", strings.get("pin-dir") ?? DEFAULT_PIN_DIR, 4095 - 64),
    logLevel: oneOf("--log-level", strings.get("log-level") ?? "info", LOG_LEVELS),
    logFormat: oneOf("--log-format", strings.get("log-format") ?? "text", ["text", "json"]),
    flowLevel: strings.has("flow-level")
      ? oneOf("--flow-level", strings.get("flow-level") ?? "", FLOW_LEVELS)
      : undefined,
    pods: strings.has("pods")
      ? oneOf("--pods", strings.get("pods") ?? "", Object.keys(POD_FATES) as PodFate[])
      : undefined,
    sizes: parseSizes(strings, memoryBytes),
  };
}

/** The help page, with the defaults of a machine that has `memoryBytes` of memory. */
export function helpText(memoryBytes: number): string {
  const defaults = defaultSizes(memoryBytes);
  const rows: [flag: string, text: string][] = [
    ["--socket PATH", `where the control service listens (default ${DEFAULT_SOCKET})`],
    [
      "--pin-dir PATH",
      `directory on a bpf file system for maps and programs (default ${DEFAULT_PIN_DIR})`,
    ],
    ["--log-level LEVEL", `${LOG_LEVELS.join(", ")} (default info)`],
    ["--log-format FORMAT", "text, json (default text)"],
    [
      "--flow-level LEVEL",
      `flow events: ${FLOW_LEVELS.join(", ")} (default: as configured, else connections)`,
    ],
    ...Object.entries(SIZE_FLAGS).map(([name, flag]): [string, string] => [
      `--${name} N`,
      `${flag.help} (${flag.least} to ${flag.most}, default ${
        defaults[flag.field]
      } on this machine)`,
    ]),
    ["--cleanup", "detach and remove all that this pin directory and socket hold, then exit"],
    ["--pods FATE", "with --cleanup: what becomes of pods that still run:"],
    ...Object.entries(POD_FATES).map(([fate, text]): [string, string] => ["", `${fate}: ${text}`]),
    ["--version", "print the version and exit"],
    ["--help", "print this page and exit"],
  ];
  const width = Math.max(...rows.map(([flag]) => flag.length));
  return [
    "novanet-dataplane loads NovaNet's eBPF programs and serves novanet.v1.DataplaneControl.",
    "",
    "Usage: novanet-dataplane [flags]",
    "",
    ...rows.map(([flag, text]) => `  ${flag.padEnd(width)}  ${text}`),
    "",
    "Sizes hold for tables that are made anew; pinned ones keep theirs until --cleanup.",
    "Exit codes: 0 done, 1 failed, 2 bad command line, 3 the machine lacks something,",
    "4 the pinned maps are of a newer layout than this program knows (nothing was changed),",
    "5 pods still run, and --cleanup was not told what becomes of them (nothing was changed).",
    "",
  ].join("\n");
}

function split(
  args: readonly string[],
): { strings: Map<string, string>; switches: Set<string> } {
  const known = [...STRING_FLAGS, ...Object.keys(SIZE_FLAGS)];
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: {
      ...Object.fromEntries(known.map((name) => [name, { type: "string" as const }])),
      ...Object.fromEntries(SWITCHES.map((name) => [name, { type: "boolean" as const }])),
    },
  });
  const strings = new Map<string, string>();
  const switches = new Set<string>();
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") throw new FlagError(token.value, undefined, "not expected");
    const { name, rawName, value } = token;
    if (strings.has(name) || switches.has(name)) throw new FlagError(rawName, value, "given twice");
    if ((SWITCHES as readonly string[]).includes(name)) {
      if (value !== undefined) throw new FlagError(rawName, value, "takes no value");
      switches.add(name);
    } else if (known.includes(name)) {
      if (value === undefined || value.startsWith("--")) {
        throw new FlagError(rawName, undefined, "needs a value");
      }
      strings.set(name, value);
    } else {
      throw new FlagError(rawName, undefined, "unknown flag (see --help)");
    }
  }
  return { strings, switches };
}

function parseSizes(strings: ReadonlyMap<string, string>, memoryBytes: number): Sizes {
  const sizes: { -readonly [K in keyof Sizes]: number } = { ...defaultSizes(memoryBytes) };
  for (const [name, flag] of Object.entries(SIZE_FLAGS)) {
    const text = strings.get(name);
    if (text !== undefined) sizes[flag.field] = parseSize(`--${name}`, text, flag);
  }
  return sizes;
}

function parseSize(name: string, text: string, flag: SizeFlag): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value >= flag.least && value <= flag.most)) {
    throw new FlagError(name, text, `must be a number from ${flag.least} to ${flag.most}`);
  }
  if (flag.powerOfTwo && !Number.isInteger(Math.log2(value))) {
    throw new FlagError(name, text, "must be a power of two");
  }
  return value;
}

function absolutePath(name: string, text: string, longest: number): string {
  if (!text.startsWith("/")) throw new FlagError(name, text, "must be an absolute path");
  if (text.includes("\0")) throw new FlagError(name, text, "must not contain a zero byte");
  if (new TextEncoder().encode(text).length > longest) {
    throw new FlagError(name, text, `must not be longer than ${longest} bytes`);
  }
  return text.length > 1 ? text.replace(/\/+$/, "") : text;
}

function oneOf<T extends string>(name: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw new FlagError(name, text, `must be one of ${allowed.join(", ")}`);
  return found;
}
