import assert from "node:assert/strict";
import { EXIT_CODE_MEANINGS } from "./exit_codes.ts";
import { COMMAND_NAMES, NESTED_COMMANDS, parseArgs } from "./options.ts";

function optionsOf(args: string): Record<string, unknown> {
  const parsed = parseArgs(args.split(" ").filter(Boolean));
  assert.ok("options" in parsed, args);
  return parsed.options;
}

function finished(args: string) {
  const parsed = parseArgs(args.split(" ").filter(Boolean), 100);
  assert.ok("finished" in parsed, args);
  return parsed.finished;
}

Deno.test("defaults are those of the agent and the dataplane", () => {
  assert.deepEqual(optionsOf("status"), {
    command: "status",
    agentSocket: "/run/novanet/novanet.sock",
    dataplaneSocket: "/run/novanet/dataplane.sock",
    output: "table",
    watch: false,
    interval: 2,
    noColor: false,
    noHeaders: false,
  });
});

Deno.test("options of every command stand before or after it", () => {
  for (
    const args of [
      "-o json status --watch",
      "status --watch --output=json",
      "--watch -o json status",
    ]
  ) {
    const { output, watch } = optionsOf(args);
    assert.deepEqual([output, watch], ["json", true], args);
  }
});

Deno.test("a pod is a name, or namespace and name", () => {
  assert.deepEqual(optionsOf("capture web-0")["pod"], { namespace: undefined, name: "web-0" });
  assert.deepEqual(optionsOf("capture shop/web-0")["pod"], { namespace: "shop", name: "web-0" });
});

const WRONG: readonly { args: string; says: RegExp }[] = [
  { args: "flow", says: /Did you mean `flows`/ },
  { args: "status extra", says: /"extra"/ },
  { args: "status --nonsense", says: /--nonsense/ },
  { args: "status -o xml", says: /"xml"/ },
  { args: "status --interval 0", says: /--interval/ },
  { args: "flows --port 0", says: /--port/ },
  { args: "flows --port 65536", says: /--port/ },
  { args: "flows --ip 10.0.0.256", says: /10\.0\.0\.256/ },
  { args: "flows --ip 10.0.0.1/8", says: /10\.0\.0\.0\/8/ },
  { args: "flows --ip fd00::1", says: /fd00::1/ },
  { args: "flows --protocol quic", says: /"quic"/ },
  { args: "flows --verdict maybe", says: /"maybe"/ },
  { args: "flows --pod a/b/c", says: /NAMESPACE\/NAME/ },
  { args: "flows --namespace Shop", says: /"Shop"/ },
  { args: "flows --limit 0", says: /--limit/ },
  { args: "flows --identity -1", says: /-1/ },
  { args: "trace --to web", says: /--from/ },
  { args: "trace --from web", says: /--to/ },
  { args: "trace --from a/b/c --to web --port 80", says: /--from.*"a\/b\/c".*NAMESPACE\/NAME/ },
  { args: "trace --from web --to 10.0.0.256 --port 80", says: /--to.*"10\.0\.0\.256"/ },
  { args: "trace --from web --to fd00::1 --port 80", says: /--to.*"fd00::1"/ },
  { args: "trace --from web --to api --port http", says: /--port.*http/ },
  { args: "trace --from web --to api --protocol quic", says: /--protocol.*"quic"/ },
  { args: "flows --verdict audited", says: /--verdict.*"audited"/ },
  { args: "policy explain", says: /POD/ },
  { args: "policy suggest a/b/c", says: /NAMESPACE\/NAME/ },
  { args: "policy nonsense", says: /"nonsense"/ },
  { args: "policy list", says: /policy alone lists; policy explain POD/ },
  ...["0", "65536", "-1", "1.5", "0x50", "http", "99999999999999999999"].map((port) => ({
    args: `trace --from web --to api --port ${port}`,
    says: new RegExp(
      `^Error: .--port.: Cannot parse "${port}": expected a whole number from 1 to 65535 See`,
    ),
  })),
  {
    args: "flows --limit 99999999999999999999",
    says: /--limit.*: expected a whole number from 1 to 9007199254740991 See/,
  },
  {
    args: "trace --from 10.244.0.0/24 --to web --port 80",
    says: /--from.*"10\.244\.0\.0\/24": a CIDR is no end/,
  },
  {
    args: "trace --from a --to b --protocol 0",
    says: /tcp, udp, sctp, icmp or a number from 1 to 255/,
  },
  { args: "flows --protocol 256", says: /tcp, udp, sctp, icmp or a number from 0 to 255/ },
  { args: "status --json -o yaml", says: /-o|--json/ },
  { args: "capture", says: /POD/ },
  { args: "completion", says: /SHELL/ },
  { args: "completion tcsh", says: /"tcsh"/ },
  { args: "help nonsense", says: /"nonsense"/ },
  { args: "version extra", says: /"extra"/ },
  { args: "capture web-0 --snaplen 10", says: /--snaplen/ },
];

/** The command, with the one below it, and a space. */
function commandOf(args: string): string {
  const [name = "", nested = ""] = args.split(" ");
  if (!(COMMAND_NAMES as readonly string[]).includes(name)) return "";
  return NESTED_COMMANDS.some((words) => words.join() === [name, nested].join())
    ? `${name} ${nested} `
    : `${name} `;
}

for (const { args, says } of WRONG) {
  Deno.test(`wrong: novanetctl ${args}`, () => {
    const { exitCode, stdout, stderr } = finished(args);
    assert.equal(exitCode, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /^Error: /);
    assert.match(stderr.replaceAll(/\s+/g, " "), says);
    assert.match(stderr, new RegExp(`See novanetctl ${commandOf(args)}--help\\.\n$`));
  });
}

for (const args of ["--version", "-V", "-o json --version"]) {
  Deno.test(`novanetctl ${args}`, () => {
    const { stdout, exitCode } = finished(args);
    assert.match(stdout, /^novanetctl \d+\.\d+\.\d+ \(commit \S+, deno \S+\)\n$/);
    assert.equal(exitCode, 0);
  });
}

const HELPS = [
  "",
  "--help",
  "-h",
  "help",
  "--agent-socket /x help",
  "help -o json",
  "--agent-socket /x",
];
for (const args of HELPS) {
  Deno.test(`help by "${args}" names each command and exit code`, () => {
    const { stdout, exitCode } = finished(args);
    for (const name of COMMAND_NAMES) {
      assert.match(stdout, new RegExp(`^  ${name} `, "m"));
    }
    for (const [code, meaning] of Object.entries(EXIT_CODE_MEANINGS)) {
      assert.ok(stdout.includes(`  ${code}  ${meaning}`), code);
    }
    assert.equal(exitCode, 0);
  });
}

for (const name of [...COMMAND_NAMES, ...NESTED_COMMANDS.map((words) => words.join(" "))]) {
  Deno.test(`help of ${name} has examples that parse`, () => {
    const { stdout } = finished(`${name} --help`);
    const examples = stdout.split("Examples:\n")[1]?.trimEnd().split("\n") ?? [];
    assert.ok(examples.length > 0);
    for (const example of examples) {
      const [program, ...args] = (example.split("|")[0] ?? "").trim().split(" ");
      assert.equal(program, "novanetctl");
      const line = args.join(" ").replace(/ > .*/, "");
      assert.ok(line.includes(name));
      const parsed = parseArgs(line.split(" "));
      if ("options" in parsed) assert(parsed.options.command.startsWith(name));
      else assert.deepEqual([parsed.finished.exitCode, parsed.finished.stderr], [0, ""]);
    }
  });
}

for (const name of [...COMMAND_NAMES, ...NESTED_COMMANDS.map((words) => words.join(" "))]) {
  Deno.test(`help ${name} is ${name} --help`, () => {
    assert.deepEqual(finished(`help ${name}`), finished(`${name} --help`));
  });
}

Deno.test("help of a command below one that has none", () => {
  const { stderr, exitCode } = finished("help flows explain");
  const says = "Error: flows has no command explain.\nSee novanetctl flows --help.\n";
  assert.deepEqual([stderr, exitCode], [says, 2]);
});

for (const shell of ["bash", "zsh", "fish"]) {
  Deno.test(`completion for ${shell}`, () => {
    assert.match(finished(`completion ${shell}`).stdout, /novanetctl/);
    assert.deepEqual(finished(`-o json completion ${shell}`), finished(`completion ${shell}`));
    assert.match(finished(`--completion ${shell} flows --pro`).stdout, /--protocol/);
    assert.match(finished(`--completion ${shell} fl`).stdout, /flows/);
    assert.match(finished(`--completion ${shell} status -o j`).stdout, /json/);
  });
}

const OFFERED: readonly [words: string[], offered: readonly string[]][] = [
  [[""], COMMAND_NAMES],
  [["-o", "json", "ver"], ["version"]],
  [["status", "-o", ""], ["table", "wide", "json", "yaml"]],
  [["completion", ""], ["bash", "zsh", "fish"]],
  [["help", "fl"], ["flows"]],
  [["status", "--he"], ["--help"]],
  [["policy", "su"], ["suggest"]],
];

for (const [words, offered] of OFFERED) {
  Deno.test(`completion of "${words.join(" ")}"`, () => {
    const parsed = parseArgs(["--completion", "bash", ...words]);
    assert.ok("finished" in parsed);
    const { stdout } = parsed.finished;
    assert.deepEqual(stdout.split("\n").filter(Boolean).sort(), [...offered].sort());
  });
}

Deno.test("bash completes a command line", async () => {
  const script = finished("completion bash").stdout;
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${folder}/script`, script);
    const main = new URL("./main.ts", import.meta.url).pathname;
    const deno = Deno.execPath();
    Deno.writeTextFileSync(
      `${folder}/novanetctl`,
      `#!/bin/sh\nexec ${deno} run -A ${main} "$@"\n`,
      {
        mode: 0o755,
      },
    );
    const bash = new Deno.Command("bash", {
      args: [
        "-c",
        `. ${folder}/script; COMP_WORDS=(novanetctl drops --nam); COMP_CWORD=2; COMP_LINE="novanetctl drops --nam"; ` +
        'COMP_POINT=${#COMP_LINE}; _novanetctl; echo "${COMPREPLY[@]}"',
      ],
      env: { PATH: `${folder}:${Deno.env.get("PATH")}` },
    });
    const { stdout } = await bash.output();
    assert.match(new TextDecoder().decode(stdout), /^--namespace\b/);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
