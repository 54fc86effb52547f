import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT } from "../../tools/build/command.ts";

const TOOLCHAIN = `novanet/toolchain/deno-${Deno.version.deno}-${Deno.build.arch}`;

/** A cache and a PATH of the test's own, whose curl, npm and apt-get only note that they were called, and fail. */
class Machine implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "nvt-run-" });

  constructor() {
    Deno.mkdirSync(join(this.#folder, "bin"));
    Deno.mkdirSync(join(this.#folder, TOOLCHAIN), { recursive: true });
    for (const name of ["curl", "npm", "apt-get", "sudo"]) {
      const note = `#!/bin/sh\necho "${name} $*" >>${this.#folder}/called\nexit 1\n`;
      Deno.writeTextFileSync(join(this.#folder, "bin", name), note, { mode: 0o755 });
    }
  }

  /** Puts a program into the toolchain, with the hash that `run` noted when it got it. */
  keep(name: "deno" | "denort", program: string, sha256: string): void {
    Deno.symlinkSync(program, join(this.#folder, TOOLCHAIN, name));
    Deno.writeTextFileSync(join(this.#folder, TOOLCHAIN, `${name}.sha256`), `${sha256}\n`);
  }

  /** What was called of the programs that get things. */
  get called(): string {
    try {
      return Deno.readTextFileSync(join(this.#folder, "called"));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }

  run(args: readonly string[]): { code: number; stdout: string; stderr: string } {
    const { DENORT_BIN: _denort, ...env } = Deno.env.toObject();
    const { code, stdout, stderr } = new Deno.Command(join(ROOT, "run"), {
      args: [...args],
      clearEnv: true,
      env: {
        ...env,
        PATH: `${this.#folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
        XDG_CACHE_HOME: this.#folder,
      },
      stdin: "null",
    }).outputSync();
    const text = new TextDecoder();
    return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

function sha256(path: string): string {
  const { stdout } = new Deno.Command("sha256sum", { args: [path] }).outputSync();
  return new TextDecoder().decode(stdout).split(" ", 1)[0]!;
}

Deno.test("run explains itself", async (t) => {
  const rows: [args: string[], code: number, stream: "stdout" | "stderr"][] = [
    [[], 2, "stderr"],
    [["nonsense"], 2, "stderr"],
    [["--help"], 0, "stdout"],
  ];
  for (const [args, code, stream] of rows) {
    await t.step(`./run ${args.join(" ")}`, () => {
      using machine = new Machine();
      const ended = machine.run(args);
      assert.equal(ended.code, code);
      assert.match(ended[stream], /^Usage: \.\/run COMMAND/);
      assert.equal(machine.called, "");
    });
  }
});

Deno.test("run gets nothing that is there", () => {
  using machine = new Machine();
  const denort = Deno.env.get("DENORT_BIN")!;
  machine.keep("deno", Deno.execPath(), sha256(Deno.execPath()));
  machine.keep("denort", denort, sha256(denort));
  const { code, stderr } = machine.run(["build", "--only", "shim"]);
  assert.equal(code, 0, stderr);
  assert.equal(machine.called, "");
});

Deno.test("run does not use a toolchain that has changed, and says when it can't get another", () => {
  using machine = new Machine();
  machine.keep("deno", Deno.execPath(), "0".repeat(64));
  const { code, stderr } = machine.run(["build", "--only", "shim"]);
  assert.equal(code, 1);
  assert.match(stderr, /Cannot get Deno 2\.7\.14 for/);
  assert.match(machine.called, /^npm pack /m);
  assert.match(machine.called, /^curl .*deno-\w+-unknown-linux-gnu\.zip$/m);
});
