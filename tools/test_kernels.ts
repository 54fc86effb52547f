/**
 * `./run test-kernels [SERIES...]`: the datapath's objects load and the packet tables pass on Debian's kernels, 6.1 and 6.12 or
 * those named, in QEMU. Takes five to ten minutes for each; not part of `./run test`.
 */
import { dirname, join } from "node:path";
import { ROOT } from "./build/command.ts";
import { unpackKernel } from "./kernels/image.ts";
import { makeInitrd } from "./kernels/initrd.ts";
import { runJob } from "./kernels/machine.ts";
import { fetchKernel } from "./kernels/package.ts";

const SERIES = ["6.1", "6.12"];
const LIMIT_MS = 90 * 60_000;

const CACHE = join(
  Deno.env.get("XDG_CACHE_HOME") ?? join(Deno.env.get("HOME") ?? "/root", ".cache"),
  "novanet",
  "kernels",
);

/** Deno runs 20 to 40 times slower there: nothing is checked or fetched that was not here. */
function packetTables(): string {
  return `
export PATH=${dirname(Deno.execPath())}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=${Deno.env.get("HOME") ?? "/root"} NO_COLOR=1 DENO_NO_UPDATE_CHECK=1
ip link set lo up
uname -r
cd ${ROOT} && deno test --allow-all --no-check --cached-only tests/datapath`;
}

async function testKernel(series: string): Promise<boolean> {
  const kernel = await fetchKernel(series, CACHE);
  console.log(`Linux ${kernel.release}`);
  const dir = await Deno.makeTempDir({ prefix: "nvt-kernel-" });
  try {
    const [image, initrd] = [join(dir, "vmlinux"), join(dir, "initrd.gz")];
    await unpackKernel(join(kernel.root, "boot", `vmlinuz-${kernel.release}`), image);
    await makeInitrd(kernel, initrd);
    const result = await runJob({
      kernel: image,
      initrd,
      script: packetTables(),
      dir,
      limitMs: LIMIT_MS,
      onText: (text) => Deno.stdout.writeSync(new TextEncoder().encode(text)),
    });
    if (result.code === undefined) {
      console.log(`Linux ${kernel.release} ended before the tests did`);
    }
    return result.code === 0 && result.console.includes(kernel.release);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

if (import.meta.main) {
  const series = Deno.args.length > 0 ? Deno.args : SERIES;
  const failed: string[] = [];
  for (const each of series) if (!await testKernel(each)) failed.push(each);
  console.log(`${series.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
  if (failed.length > 0) Deno.exit(1);
}
