import { group, merge, object, or } from "@optique/core/constructs";
import { runParser } from "@optique/core/facade";
import { lineBreak, type Message, message, text } from "@optique/core/message";
import { map, multiple, optional, withDefault } from "@optique/core/modifiers";
import type { InferValue, Mode, Parser } from "@optique/core/parser";
import { argument, command, constant, flag, option } from "@optique/core/primitives";
import { choice, string } from "@optique/core/valueparser";
import { versionLine } from "../shared/version.ts";
import { EXIT_CODE_MEANINGS, ExitCode } from "./exit_codes.ts";
import { FORMATS } from "./output.ts";
import { address, namespaceName, podRef, protocol, traceEnd, wholeNumber } from "./values.ts";

/** The program's name. */
export const PROGRAM = "novanetctl";

const path = (metavar: "PATH" | "FILE") => string({ metavar });
const port = wholeNumber("PORT", 1, 65535);

const globals = object("Options of every command", {
  agentSocket: withDefault(
    option("--agent-socket", path("PATH"), { description: message`Socket of novanet-agent.` }),
    "/run/novanet/novanet.sock",
  ),
  dataplaneSocket: withDefault(
    option("--dataplane-socket", path("PATH"), {
      description: message`Socket of novanet-dataplane; sysdump and doctor ask there too.`,
    }),
    "/run/novanet/dataplane.sock",
  ),
  output: withDefault(
    or(
      option("-o", "--output", choice(FORMATS, { metavar: "FORMAT" }), {
        description:
          message`How to print, "table" when not given. A stream is one JSON object a line or one YAML document an event.`,
      }),
      map(flag("--json", { description: message`The same as -o json.` }), () => "json" as const),
    ),
    "table",
  ),
  watch: withDefault(
    flag("--watch", {
      description:
        message`Print again and again until Ctrl-C; a stream connects again when it breaks.`,
    }),
    false,
  ),
  interval: withDefault(
    option("--interval", wholeNumber("SECONDS", 1, 3600), {
      description: message`With --watch: time between two looks.`,
    }),
    2,
  ),
  noColor: withDefault(
    flag("--no-color", { description: message`No colors; the variable NO_COLOR does the same.` }),
    false,
  ),
  noHeaders: withDefault(
    flag("--no-headers", { description: message`Tables without their first line.` }),
    false,
  ),
});

const namespaces = multiple(
  option("-n", "--namespace", namespaceName(), {
    description: message`Only pods of this namespace; repeatable.`,
  }),
);

const VERDICTS = ["allow", "deny", "audit"] as const;

/** Filters of flows and drops. Values of one filter are alternatives; all filters must hold. */
const filters = object("Filters", {
  identity: withDefault(
    option("--identity", wholeNumber("ID", 0, 2 ** 32 - 1), {
      description: message`Only with this identity at either end; 0 is all. The agent filters.`,
    }),
    0,
  ),
  pods: multiple(
    option("--pod", podRef(), {
      description:
        message`Only with this pod at either end, as NAME or NAMESPACE/NAME; repeatable.`,
    }),
  ),
  namespaces,
  addresses: multiple(
    option("--ip", "--address", address(), {
      description: message`Only with an address in it at either end; repeatable.`,
    }),
  ),
  ports: multiple(
    option("--port", port, {
      description: message`Only with this port at either end; repeatable.`,
    }),
  ),
  protocols: multiple(
    option("--protocol", protocol(0), {
      description: message`Only this protocol: tcp, udp, sctp, icmp or 0 to 255; repeatable.`,
    }),
  ),
  verdict: optional(
    option("--verdict", choice(VERDICTS, { caseInsensitive: true, metavar: "VERDICT" }), {
      description: message`Only with this verdict.`,
    }),
  ),
  limit: optional(
    option("--limit", "--count", wholeNumber("N", 1, Number.MAX_SAFE_INTEGER), {
      description: message`End after so many events that pass the filters.`,
    }),
  ),
});

/** A pod of this node, the argument of a command. */
const pod = {
  pod: argument(podRef(), { description: message`The pod, as NAME or NAMESPACE/NAME.` }),
  namespace: optional(
    option("-n", "--namespace", namespaceName(), {
      description: message`The pod's namespace, "default" when not given.`,
    }),
  ),
};

/** A pod, also by its address. */
const podOrAddress = {
  ...pod,
  pod: argument(podRef(), {
    description: message`The pod, as NAME or NAMESPACE/NAME, or its IPv4 address.`,
  }),
};

/** Commands below `policy`. */
const policies = {
  explain: define("explain", "Tell which rules are in force for a pod", {
    what:
      `Tells the policies that isolate a pod, in both directions, and their rules with the peers and ports that they have now, each with 
the file and line where it is written; what happens to traffic that no rule allows; and which policies are in audit mode.`,
    examples: [
      "novanetctl policy explain shop/web-0",
      "novanetctl policy explain 10.244.0.2",
      "novanetctl policy explain web-0 --json",
    ],
  }, object({ command: constant("policy explain"), ...podOrAddress })),
  suggest: define("suggest", "Write the policy that allows the flows that a pod had", {
    what:
      `Prints the NetworkPolicy that allows exactly the flows that were seen of a pod and of the pods with its labels, in both directions. 
Comments say since when, and what is not in it. The agent remembers flows while it runs: let it watch through all that the pod does 
before you use the policy, and try it in audit mode first.`,
    examples: [
      "novanetctl policy suggest shop/web-0 > web.yaml",
      "novanetctl policy suggest shop/web-0 -o json | jq .spec",
    ],
  }, object({ command: constant("policy suggest"), ...podOrAddress })),
};

const looks = {
  status: define("status", "Show the node's state", {
    what:
      `Shows the agent's state: addresses, connections, how full the tables are, what stands in the way of traffic. 
JSON and YAML leave out what is zero, false or empty.`,
    examples: ["novanetctl status", "novanetctl status -o json", "novanetctl status --watch"],
  }, object({ command: constant("status") })),
  flows: define("flows", "Watch connections as they happen", {
    what:
      `Prints an event for each new connection, each change of it and its end, until Ctrl-C. RULE names the policy rule that 
decided. PORT is the destination's. Events that were lost on the way are counted on stderr.`,
    examples: [
      "novanetctl flows --pod shop/web-0 --port 8080",
      "novanetctl flows -n shop --verdict deny --limit 10",
      "novanetctl flows -o json | jq .rule",
    ],
  }, merge(object({ command: constant("flows") }), filters)),
  drops: define("drops", "Watch packets that are dropped, and why", {
    what:
      `Prints dropped packets with the reason and, when policy did it, the rule that did it: NAMESPACE/POLICY:ingress[i] or 
:egress[i], NAMESPACE/POLICY:ingress[default-deny] when the policy isolates the pod and no rule allows the packet, default-deny when the 
cluster's default did it. Repeats of one drop come as one event with a count.`,
    examples: [
      "novanetctl drops",
      "novanetctl drops --pod web-0 -o wide",
      "novanetctl drops --ip 10.244.0.0/24",
    ],
  }, merge(object({ command: constant("drops") }), filters)),
  policy: define(
    "policy",
    "List the policy in force, explain a pod's, or suggest one",
    {
      what:
        `Lists the policy entries as they are in the dataplane. Pods' identities are those of "novanetctl identity"; * is any, 1 this 
host, 2 the world, and 16777216 and up are CIDRs that policy names: -o wide tells which. ACTION is AUDIT where policies in audit mode would deny.`,
      examples: [
        "novanetctl policy",
        "novanetctl policy -o wide",
        "novanetctl policy explain shop/web-0",
        "novanetctl policy suggest shop/web-0",
      ],
    },
    or(policies.explain, policies.suggest, object({ command: constant("policy") })),
  ),
  identity: define("identity", "List identities and their labels", {
    what:
      `Lists the identities in use: a number for each set of labels, and how many pods have it; and one for each CIDR that policy 
names, under the label novanet.io/cidr.`,
    examples: ["novanetctl identity", "novanetctl identity -o yaml"],
  }, object({ command: constant("identity") })),
  pods: define("pods", "List the node's pods", {
    what: `Lists the pods that the agent knows, those half added or half deleted too.`,
    examples: ["novanetctl pods", "novanetctl pods -n shop -o wide"],
  }, object({ command: constant("pods"), namespaces })),
  tunnels: define("tunnels", "List tunnels to other nodes", {
    what: `Lists the tunnels to other nodes.`,
    examples: ["novanetctl tunnels"],
  }, object({ command: constant("tunnels") })),
  egress: define("egress", "List egress policies", {
    what: `Lists the policies for traffic that leaves the cluster.`,
    examples: ["novanetctl egress"],
  }, object({ command: constant("egress") })),
  metrics: define("metrics", "Show counters", {
    what:
      `Shows counters of agent and dataplane: connections, events, drops by reason, how full each table is.`,
    examples: ["novanetctl metrics", "novanetctl metrics --watch --interval 5"],
  }, object({ command: constant("metrics") })),
  capture: define(
    "capture",
    "Capture a pod's packets as pcap",
    {
      what:
        `Writes what a pod sends and receives as pcap, as its own interface sees it, until Ctrl-C. Packets between pods of one node do 
not show on the host's interfaces, so tcpdump there misses them.`,
      examples: [
        "novanetctl capture web-0 -n shop -w web.pcap",
        "novanetctl capture shop/web-0 | tcpdump -n -r -",
        "novanetctl capture shop/web-0 --limit 100 -w -",
      ],
    },
    object({
      command: constant("capture"),
      ...pod,
      write: optional(
        option("-w", "--write", path("FILE"), {
          description:
            message`File to write, - for standard output, which is the default in a pipe.`,
        }),
      ),
      snaplen: withDefault(
        option("--snaplen", wholeNumber("BYTES", 64, 65535), {
          description: message`Bytes to keep of each packet.`,
        }),
        65535,
      ),
      limit: optional(
        option("--limit", "--count", wholeNumber("N", 1, Number.MAX_SAFE_INTEGER), {
          description: message`End after so many packets.`,
        }),
      ),
    }),
  ),
  doctor: define(
    "doctor",
    "Find what is wrong on this node, and repair it",
    {
      what:
        `Compares the agent's database, the pods' interfaces, routes and neighbours, the kernel's maps, programs and pins, the spool, the 
sockets and the CNI plugin with what should be there, neither too much nor too little, and says of each thing that differs what to do. With 
a daemon down it says so first and looks at the rest. --fix repairs what can be repaired safely: running pods keep their addresses and 
connections, and what may belong to somebody else is left. Warnings are no failure. The exit code is 0 when nothing is wrong (any more), 1 when something 
is, 3 when a daemon does not answer.`,
      examples: [
        "novanetctl doctor",
        "novanetctl doctor --fix",
        "novanetctl doctor --json | jq '.findings[] | select(.state == \"wrong\")'",
      ],
    },
    object({
      command: constant("doctor"),
      fix: withDefault(
        flag("--fix", { description: message`Repair what can be repaired safely.` }),
        false,
      ),
      cniConfDir: withDefault(
        option("--cni-conf-dir", path("PATH"), {
          description: message`The container runtime's network configurations.`,
        }),
        "/etc/cni/net.d",
      ),
      cniBinDir: withDefault(
        option("--cni-bin-dir", path("PATH"), {
          description: message`The container runtime's plugins.`,
        }),
        "/opt/cni/bin",
      ),
    }),
  ),
  sysdump: define(
    "sysdump",
    "Collect what a bug report needs",
    {
      what:
        `Writes a tar.gz with the state of agent and dataplane. It holds names, labels and addresses of pods, no secrets. With a daemon 
down it holds what the other one says.`,
      examples: ["novanetctl sysdump", "novanetctl sysdump -w /tmp/node1.tar.gz"],
    },
    object({
      command: constant("sysdump"),
      write: optional(
        option("-w", "--write", path("FILE"), {
          description:
            message`File to write, - for standard output; novanet-sysdump-TIME.tar.gz when not given.`,
        }),
      ),
    }),
  ),
};

/** Commands that say why. */
const reasons = {
  trace: define(
    "trace",
    "Tell what would happen to a packet now, and why",
    {
      what:
        `Follows a packet that opens a connection through the datapath's maps as they are now, and sends none: each step with the map entry 
that decided it, the policy rule and the file it is written in, and the verdict. With --source-port it is the next packet of the 
connection that has this port, if there is one. Living connections between the same ends are told too. A policy's verdict is not 
an exit code: it is 0 when the question could be answered.`,
      examples: [
        "novanetctl trace --from shop/api --to shop/web --port 8080",
        "novanetctl trace --from 198.51.100.7 --to shop/web --port 53 --protocol udp",
        "novanetctl trace --from shop/web --to node --protocol icmp --json",
      ],
    },
    object({
      command: constant("trace"),
      from: option("--from", traceEnd(), {
        description:
          message`Who sends: a pod of this node as NAME or NAMESPACE/NAME, an IPv4 address, or node.`,
      }),
      to: option("--to", traceEnd(), { description: message`Who receives, likewise.` }),
      port: optional(
        option("--port", port, {
          description: message`Port of the receiver; tcp, udp and sctp need it.`,
        }),
      ),
      protocol: withDefault(
        option("--protocol", protocol(1), {
          description:
            message`Protocol: tcp, udp, sctp, icmp or 1 to 255; icmp is an echo request.`,
        }),
        6,
      ),
      sourcePort: optional(
        option("--source-port", port, {
          description: message`Port of the sender, or the identifier of an echo request.`,
        }),
      ),
    }),
  ),
};

const TOPICS = [...Object.keys(looks), ...Object.keys(reasons), "version", "help", "completion"];
const SHELLS = ["bash", "zsh", "fish"] as const;

/** Of the program itself. They are commands as others are, so that they take the options of every command. */
const others = {
  version: define("version", "Show the version", {
    what: `Shows version, commit and Deno version of novanetctl. It asks no daemon.`,
    examples: ["novanetctl version", "novanetctl version -o json"],
  }, object({ command: constant("version") })),
  help: define(
    "help",
    "Show help",
    {
      what: `Shows what --help shows, of the program or of one command.`,
      examples: ["novanetctl help", "novanetctl help flows", "novanetctl help policy explain"],
    },
    object({
      command: constant("help"),
      topic: optional(
        argument(choice(TOPICS, { metavar: "COMMAND" }), {
          description: message`The command; the whole program when not given.`,
        }),
      ),
      nested: optional(
        argument(choice(Object.keys(policies), { metavar: "COMMAND" }), {
          description: message`The command below policy.`,
        }),
      ),
    }),
  ),
  completion: define(
    "completion",
    "Print a script for a shell's completion",
    {
      what: `Prints what makes a shell complete commands, options and their values.`,
      examples: [
        "novanetctl completion bash > /etc/bash_completion.d/novanetctl",
        "novanetctl completion zsh > /usr/local/share/zsh/site-functions/_novanetctl",
        "novanetctl completion fish > ~/.config/fish/completions/novanetctl.fish",
      ],
    },
    object({
      command: constant("completion"),
      shell: argument(choice(SHELLS, { metavar: "SHELL" }), {
        description: message`The shell.`,
      }),
    }),
  ),
};

const parser = merge(
  or(
    group("Look", or(looks.status, looks.flows, looks.drops, looks.metrics)),
    group("Explain", or(reasons.trace)),
    group("List", or(looks.policy, looks.identity, looks.pods, looks.tunnels, looks.egress)),
    group("Collect", or(looks.capture, looks.sysdump, looks.doctor)),
    group("Other", or(others.version, others.help, others.completion)),
  ),
  globals,
);

type Parsed = InferValue<typeof parser>;

/** The command line, parsed; `command` says which command's options are there. */
export type Options = Exclude<Parsed, { readonly command: "help" | "completion" }>;

/** Options that every command has. */
export type GlobalOptions = InferValue<typeof globals>;

/** Options of one command. */
export type OptionsOf<C extends Options["command"]> = Extract<Options, { readonly command: C }>;

/** Names of the commands, in the order of docs/cli.md. */
export const COMMAND_NAMES = [
  ...Object.keys(looks),
  ...Object.keys(reasons),
  ...Object.keys(others),
] as Parsed["command"][];

/** Commands below a command, as words of a command line. */
export const NESTED_COMMANDS = Object.keys(policies).map((name) => ["policy", name] as const);

/** Help, version, completion or a wrong command line: all that is left to do is to print it. */
export interface Finished {
  readonly exitCode: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Parses a command line.
 *
 * @param args without the program's name; none is `--help`.
 * @param columns width for help, `undefined` for no limit.
 */
export function parseArgs(
  args: readonly string[],
  columns?: number,
): { readonly options: Options } | { readonly finished: Finished } {
  const parsed = parse(hasCommand(args) ? args : ["--help"], columns);
  if ("finished" in parsed) return parsed;
  const { options } = parsed;
  switch (options.command) {
    case "help":
      return help(options.topic, options.nested, columns);
    case "completion":
      return parseArgs(["--completion", options.shell], columns);
    default:
      return { options };
  }
}

/** Whether there is more than options of every command. */
function hasCommand(args: readonly string[]): boolean {
  if (args[0] !== undefined && !args[0].startsWith("-")) return true;
  const parsed = parse([...args, "help"], undefined);
  const { command, topic } = "options" in parsed && parsed.options.command === "help"
    ? parsed.options
    : { command: undefined, topic: undefined };
  return command === undefined || topic !== undefined;
}

function help(
  topic: string | undefined,
  nested: string | undefined,
  columns: number | undefined,
): ReturnType<typeof parseArgs> {
  if (topic === undefined) return parseArgs(["--help"], columns);
  if (nested === undefined) return parseArgs([topic, "--help"], columns);
  if (topic === "policy") return parseArgs([topic, nested, "--help"], columns);
  const stderr = `Error: ${topic} has no command ${nested}.\n${advice([topic])}`;
  return { finished: { exitCode: ExitCode.USAGE, stdout: "", stderr } };
}

/** Where to read on after an error. */
function advice(args: readonly string[]): string {
  const at = args.findIndex((word) => (COMMAND_NAMES as readonly string[]).includes(word));
  const [name, next] = at < 0 ? [] : args.slice(at);
  if (name === undefined) return `See ${PROGRAM} --help.\n`;
  if (name !== "policy" || next === undefined) return `See ${PROGRAM} ${name} --help.\n`;
  if (next in policies) return `See ${PROGRAM} ${name} ${next} --help.\n`;
  return `${PROGRAM} policy alone lists; policy explain POD and policy suggest POD are about a pod. ` +
    `See ${PROGRAM} policy --help.\n`;
}

function parse(
  args: readonly string[],
  columns: number | undefined,
): { readonly options: Parsed } | { readonly finished: Finished } {
  let stdout = "";
  let stderr = "";
  const finish = (exitCode: number) => ({
    finished: { exitCode: exitCode === 0 ? ExitCode.OK : ExitCode.USAGE, stdout, stderr },
  });
  const shown = { onShow: finish };
  return runParser(
    parser.map((options) => ({ options })),
    PROGRAM,
    args,
    {
      ...(completesPlainWord(args) ? {} : {
        help: { option: { names: ["-h", "--help"], group: "Other" }, ...shown },
        version: {
          value: versionLine(PROGRAM),
          option: { names: ["-V", "--version"], group: "Other" },
          ...shown,
        },
      }),
      // What the scripts of `completion` call.
      completion: { option: { names: ["--completion"], hidden: true }, ...shown },
      brief: message`Look into NovaNet, the network of this node's pods.`,
      usageLine: [{ type: "ellipsis" }],
      footer: programFooter(),
      aboveError: "none",
      showDefault: { prefix: " (default: ", suffix: ")" },
      showChoices: true,
      termWidth: "auto",
      colors: false,
      ...(columns === undefined ? {} : { maxWidth: Math.max(columns, 60) }),
      stdout: (printed) => stdout += `${printed}\n`,
      stderr: (printed) => stderr += `${printed}\n`,
      onError: () => {
        stderr += advice(args);
        return finish(ExitCode.USAGE);
      },
    },
  );
}

/** -h and -V are offered for a word that begins like them only: else also as the value of an option. */
function completesPlainWord(args: readonly string[]): boolean {
  return args[0] === "--completion" && args.length > 2 && !args.at(-1)?.startsWith("-");
}

/** A command with help that has examples. Line breaks in `what` are only for the source. */
function define<M extends Mode, T, S>(
  name: string,
  brief: string,
  help: { readonly what: string; readonly examples: readonly string[] },
  options: Parser<M, T, S>,
) {
  return command(name, options, {
    brief: message`${text(brief)}.`,
    description: message`${text(help.what.replaceAll(" \n", " "))}`,
    footer: lines(["Examples:", ...help.examples.map((example) => `  ${example}`)]),
  });
}

function programFooter(): Message {
  const codes = Object.entries(EXIT_CODE_MEANINGS).map(([code, meaning]) =>
    `  ${code}  ${meaning}`
  );
  return lines([
    "Examples:",
    "  novanetctl status",
    "  novanetctl drops --pod shop/web-0",
    "  novanetctl completion bash > /etc/bash_completion.d/novanetctl",
    "",
    "Exit codes:",
    ...codes,
    "",
    "In a pipe, columns are divided by tabs and times are RFC 3339.",
  ]);
}

function lines(all: readonly string[]): Message {
  return all.flatMap((line, index) => index === 0 ? [text(line)] : [lineBreak(), text(line)]);
}
