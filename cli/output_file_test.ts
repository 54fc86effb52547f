import assert from "node:assert/strict";
import { notFound } from "../shared/rpc/errors.ts";
import { CliError } from "./errors.ts";
import { type FileSink, processIo } from "./io.ts";
import { openOutput } from "./output_file.ts";
import { ctl, KEEPS_SHIM, type TestAgent, TestIo } from "./testing.ts";

const io = processIo();

/** A command line's output on the real file system. */
class FileIo extends TestIo {
  override createFile(path: string, replace: boolean): FileSink {
    return io.createFile(path, replace);
  }
}

async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await act(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("what a file held goes with the first write, and without one it stays", () =>
  inFolder(async (folder) => {
    const path = `${folder}/x`;
    Deno.writeTextFileSync(path, "before");
    openOutput(io, path, "-")[Symbol.dispose]();
    assert.equal(Deno.readTextFileSync(path), "before");
    {
      using file = openOutput(io, path, "-");
      for (const text of ["a", "b"]) await file.write(text);
    }
    assert.equal(Deno.readTextFileSync(path), "ab");
  }));

Deno.test("a new file without a write goes again, and one with a write is its owner's", () =>
  inFolder(async (folder) => {
    const path = `${folder}/x`;
    openOutput(io, path, "-")[Symbol.dispose]();
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    {
      using file = openOutput(io, undefined, path);
      await file.write("a");
    }
    assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    assert.throws(() => openOutput(io, undefined, path), {
      name: "CliError",
      message: `${path} (another with -w FILE): File exists`,
    });
    assert.equal(Deno.readTextFileSync(path), "a");
  }));

Deno.test("devices can be written", async () => {
  using file = openOutput(io, "/dev/null", "-");
  await file.write("a");
});

for (
  const [path, says] of [
    ["", '-w "": expected the name of a file, or - for standard output'],
    ["/nonexistent/x", "-w /nonexistent/x: No such file or directory"],
    ["/", "-w /: Is a directory"],
  ] as const
) {
  Deno.test(`-w ${JSON.stringify(path)} is refused`, () => {
    assert.throws(() => openOutput(io, path, "-"), (thrown) => {
      assert(thrown instanceof CliError);
      assert.equal(thrown.message, says);
      return true;
    });
  });

  for (const command of [["capture", "web-0"], ["sysdump"]]) {
    Deno.test(`${command[0]} -w ${JSON.stringify(path)} asks no daemon`, KEEPS_SHIM, async () => {
      let asked = 0;
      const answer = () => {
        asked++;
        throw notFound("anything");
      };
      const agent: TestAgent = { ext: { capturePod: answer, getSysdump: answer } };
      const { stderr } = await ctl(agent, [...command, "-w", path], new FileIo());
      assert.deepEqual([stderr, asked], [`Error: ${says}\n`, 0]);
    });
  }
}
