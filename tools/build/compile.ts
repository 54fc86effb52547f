import * as esbuild from "esbuild";
import { basename, join } from "node:path";
import { command, CommandError, ROOT } from "./command.ts";
import type { Asset, Executable } from "./executables.ts";
import { filesUnder } from "./files.ts";
import { PERMISSIONS } from "../permissions.ts";
import type { Step } from "./step.ts";
import type { Target } from "./target.ts";

// Bundled CommonJS packages call require() for Node's own modules.
const REQUIRE_BANNER =
  `import { createRequire as novanetCreateRequire } from "node:module"; const require = novanetCreateRequire(import.meta.url);`;

// A folder of its own with a deno.json of its own: `deno compile` would embed the node_modules above it otherwise.
const compileFolder = (target: Target, executable: Executable) =>
  `${target.work}/compile/${executable.name}`;

const assetPath = (target: Target, asset: Asset) =>
  `${target.work}/${asset === "libnovanet.so" ? "native" : "bpf"}/${asset}`;

/** The sources that may end up in a bundle. */
const sources = (executable: Executable) =>
  ["shared", executable.folder].flatMap((folder) =>
    filesUnder(folder, (path) => path.endsWith(".ts") && !path.endsWith("_test.ts"))
  );

/** The executable's folder and shared/ -> one JavaScript file. */
export function bundleStep(target: Target, executable: Executable, commit: string): Step {
  const folder = compileFolder(target, executable);
  const entry = `${executable.folder}/main.ts`;
  return {
    name: `bundle-${executable.name}`,
    after: ["proto", "abi"],
    inputs: () => [...sources(executable), "deno.json", "deno.lock", "tools/build/compile.ts"],
    values: () => [commit],
    outputs: () => [`${folder}/main.js`],
    async run() {
      await bundle(entry, `${folder}/main.js`, commit);
    },
  };
}

/** Bundles what `entry` needs into one file; a fault in the sources is a CommandError with its place. */
async function bundle(entry: string, outfile: string, commit: string): Promise<void> {
  const result = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "esnext",
    minifySyntax: true,
    minifyWhitespace: true,
    banner: { js: REQUIRE_BANNER },
    define: { NOVANET_COMMIT: JSON.stringify(commit) },
    legalComments: "eof",
    logLevel: "silent",
  }).catch((error) => error as esbuild.BuildFailure);
  if (result.errors.length > 0) {
    const messages = await esbuild.formatMessages(result.errors, { kind: "error" });
    throw new CommandError(["esbuild", entry], 1, messages.join(""));
  }
}

/** The bundle and its assets -> dist/, one file that needs nothing but glibc. */
export function compileStep(target: Target, executable: Executable): Step {
  const folder = compileFolder(target, executable);
  const output = `${target.dist}/${executable.name}`;
  const assets = executable.assets.map((asset) => assetPath(target, asset));
  // A code cache would be a file with a known name in /tmp, that anybody could put there and root would load.
  // A question on a terminal is no way to run a daemon: what is not permitted fails.
  const v8Flags = executable.v8Flags === undefined
    ? []
    : [`--v8-flags=${executable.v8Flags.join(",")}`];
  const flags = ["--no-prompt", "--no-code-cache", ...v8Flags, ...PERMISSIONS[executable.name]];
  return {
    name: `compile-${executable.name}`,
    after: [`bundle-${executable.name}`, "bpf", "shim"],
    inputs: () => [`${folder}/main.js`, ...assets, "tools/build/compile.ts"],
    values: () => [Deno.version.deno, Deno.env.get("DENORT_BIN") ?? "", target.triple, ...flags],
    outputs: () => [output],
    async run() {
      Deno.writeTextFileSync(join(ROOT, folder, "deno.json"), "{}\n");
      const include: string[] = [];
      if (assets.length > 0) {
        Deno.mkdirSync(join(ROOT, folder, "assets"), { recursive: true });
        for (const asset of assets) {
          Deno.copyFileSync(join(ROOT, asset), join(ROOT, folder, "assets", basename(asset)));
        }
        include.push("--include", "assets");
      }
      const made = join(ROOT, `${output}.new`);
      // deno-fmt-ignore
      await command([
        Deno.execPath(), "compile", "--quiet", "--no-check", "--target", target.triple, ...flags, ...include,
        "--output", made, "main.js",
      ], { cwd: join(ROOT, folder) });
      Deno.renameSync(made, join(ROOT, output));
    },
  };
}

/** The commit that is built, `-dirty` after it when tracked files differ; NOVANET_COMMIT where there is no git. */
export async function commitOf(): Promise<string> {
  const given = Deno.env.get("NOVANET_COMMIT");
  if (given) return given;
  try {
    const hash = (await command(["git", "rev-parse", "--short=7", "HEAD"])).trim();
    const changes = await command(["git", "status", "--porcelain", "--untracked-files=no"]);
    return changes.trim() === "" ? hash : `${hash}-dirty`;
  } catch (error) {
    if (error instanceof CommandError) return "unknown";
    throw error;
  }
}
