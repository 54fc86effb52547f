/** What the kernel starts from: busybox, the modules of its root file system, and a script. */

import { basename, join } from "node:path";
import { command } from "../build/command.ts";
import type { KernelPackage } from "./package.ts";

/** Whatever the root file system and the tests need that is not built in; those that are not there are not needed. */
const MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "veth", "sch_ingress", "cls_bpf"];

/** The host's files under a layer of memory, then the job. `/init` of the initrd. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module" || echo "cannot load $module"; done < /modules/order
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host || poweroff -f
mount -t tmpfs tmpfs /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root || poweroff -f
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount --move /dev /root/dev
mount -t tmpfs tmpfs /root/run
mkdir /root/dev/shm
mount -t tmpfs tmpfs /root/dev/shm
umount /proc
for word in $(cat /root/proc/cmdline); do
  case $word in job=*) job=\${word#job=} ;; esac
done
exec switch_root /root /bin/sh "$job"
`;

/** Makes the initrd. @param to a gzipped cpio archive @throws {CommandError} */
export async function makeInitrd({ release, root }: KernelPackage, to: string): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "nvt-initrd-" });
  try {
    const folders = ["bin", "dev", "host", "memory", "modules", "proc", "root", "sys"];
    for (const name of folders) await Deno.mkdir(join(dir, name));
    await Deno.copyFile("/bin/busybox", join(dir, "bin", "busybox"));
    const order = await copyModules({ release, root }, join(dir, "modules"));
    await Deno.writeTextFile(
      join(dir, "modules", "order"),
      order.map((name) => `${name}\n`).join(""),
    );
    await Deno.writeTextFile(join(dir, "init"), INIT, { mode: 0o755 });
    const pack = `find . | cpio -o -H newc --quiet | gzip -1 > "$0"`;
    await command(["sh", "-c", pack, to], { cwd: dir });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Copies modules and those that they need, uncompressed. @returns their names in the order to load them in */
async function copyModules({ release, root }: KernelPackage, to: string): Promise<string[]> {
  await command(["depmod", "-b", root, release]);
  const order: string[] = [];
  for (const module of MODULES) {
    const shown = await command(["modprobe", "-d", root, "-S", release, "--show-depends", module])
      .catch(() => "");
    for (const path of shown.matchAll(/^insmod (\S+)/gm)) {
      const [, from = ""] = path;
      const name = basename(from).replace(/\.xz$/, "");
      if (order.includes(name)) continue;
      order.push(name);
      if (from.endsWith(".xz")) {
        await command(["sh", "-c", `xz -dc "$0" > "$1"`, from, join(to, name)]);
      } else await Deno.copyFile(from, join(to, name));
    }
  }
  return order;
}
