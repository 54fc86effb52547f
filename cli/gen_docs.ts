/**
 * Writes docs/cli.md from the help of novanetctl: `deno run -A cli/gen_docs.ts`.
 * docs_test.ts fails when the page is not current.
 */
import { EXIT_CODE_MEANINGS } from "./exit_codes.ts";
import { COMMAND_NAMES, NESTED_COMMANDS, parseArgs } from "./options.ts";

const COLUMNS = 100;

const INTRODUCTION = `# novanetctl

\`novanetctl\` looks into NovaNet on the node where it runs. It talks to \`novanet-agent\` over
/run/novanet/novanet.sock, which serves root only. This page is made from the program's help by
\`deno run -A cli/gen_docs.ts\`.

## Output

- On a terminal: a table with a header, times as 15:04:05.000 in UTC. In a pipe: columns divided by tabs,
  times in RFC 3339, the header as the first line (\`--no-headers\` leaves it out).
- \`-o wide\` shows all columns. Without it \`flows\` and \`drops\` leave out DIRECTION and REPLY on a
  terminal of fewer than 160 columns. A row of theirs that is longer than the terminal goes on in the next
  line.
- \`-o json\` prints one object or list; \`flows\` and \`drops\`, and every command with \`--watch\`, print
  one JSON document a line. \`-o yaml\` prints a YAML document for each. Names are those of the proto
  (docs/api.md), in snake_case; \`status\` leaves out what is zero.
- \`trace\` and \`policy explain\` print text, and one object with \`-o json\` (\`--json\`); \`policy suggest\` prints
  a manifest: YAML with comments, or JSON with the comments as notes. [Troubleshooting](troubleshooting.md) has examples.
- Data goes to stdout, notes and errors to stderr. An error is one line after \`Error: \`.
- \`flows\`, \`drops\` and \`capture\` go on until Ctrl-C, which ends them with exit code 0, as does a reader
  that goes away (\`novanetctl flows | head\`). With \`--watch\` they connect again when the agent restarts.
  While the dataplane is away \`flows\` and \`drops\` wait for it, and say so on stderr.
- Colors are for terminals; \`--no-color\` or the variable NO_COLOR switches them off.

The columns of \`flows\` and \`drops\`:

| column | meaning |
|---|---|
| TIMESTAMP | time of the event, UTC |
| SRC_IP, DST_IP | addresses, \`-\` for a frame that is not IPv4 |
| SRC_ID, DST_ID | identities, as \`novanetctl identity\` lists them; 0 is none |
| PROTO, PORT | protocol and port of the destination, \`-\` without ports |
| VERDICT | ALLOW, DENY, or AUDIT: it passed, and a policy in audit mode would have dropped it |
| BYTES | bytes in this direction since the flow's last event |
| DROP_REASON | why the packet was dropped (drops, and flows with \`-o wide\`) |
| SRC_PORT, PACKETS, EVENT, FLAGS | \`-o wide\`: source port, packets since the last event, NEW, UPDATE, END or DROP, TCP flags or ICMP type/code |
| SRC_POD, DST_POD | pods as namespace/name |
| DIRECTION | EGRESS where a pod sent it, INGRESS where a pod was to receive it |
| REPLY | yes for packets that answer the one that opened the connection |
| DECIDED_BY | \`-o wide\`: whose rule decided, the source's EGRESS or the destination's INGRESS |
| RULE | the rule that decided: \`NAMESPACE/POLICY:ingress[i]\`, \`NAMESPACE/POLICY:ingress[default-deny]\`, \`NAMESPACE/POLICY:ingress[audit]\`, \`default-deny\`, \`default-allow\`, \`node\`; in flows without DROP_REASON, the reason of a drop that no rule made |
`;

const COMPLETION = `## Completion

    novanetctl completion bash > /etc/bash_completion.d/novanetctl
    novanetctl completion zsh > "\${fpath[1]}/_novanetctl"
    novanetctl completion fish > ~/.config/fish/completions/novanetctl.fish
`;

/** @returns docs/cli.md. */
export function cliDocs(): string {
  const codes = Object.entries(EXIT_CODE_MEANINGS).map(([code, meaning]) =>
    `| ${code} | ${meaning} |`
  );
  return [
    INTRODUCTION,
    `## Exit codes\n\n| code | meaning |\n|---|---|\n${codes.join("\n")}\n`,
    COMPLETION,
    section("novanetctl", []),
    ...COMMAND_NAMES.flatMap((name) => [
      section(`novanetctl ${name}`, [name]),
      ...NESTED_COMMANDS.filter(([first]) => first === name)
        .map((words) => section(`novanetctl ${words.join(" ")}`, words)),
    ]),
  ].join("\n");
}

function section(title: string, args: readonly string[]): string {
  const parsed = parseArgs([...args, "--help"], COLUMNS);
  if (!("finished" in parsed)) throw new Error(`${title} --help does not print help`);
  const help = parsed.finished.stdout.trimEnd().split("\n").map((line) => `    ${line}`.trimEnd());
  return `## ${title}\n\n${help.join("\n")}\n`;
}

if (import.meta.main) {
  Deno.writeTextFileSync(new URL("../docs/cli.md", import.meta.url), cliDocs());
}
