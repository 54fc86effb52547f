/** A BPF file system for one test. */
import { mount, umount } from "../../sys.ts";

/** A mounted bpffs; disposing of it takes its pins away. */
export interface PrivateBpffs extends Disposable {
  readonly path: string;
}

/** Mounts a bpffs on a folder of its own. @throws SysError without CAP_SYS_ADMIN */
export function privateBpffs(): PrivateBpffs {
  const path = Deno.makeTempDirSync({ prefix: `nvt-${Deno.pid}-bpffs-` });
  mount("bpf", path, "bpf");
  return {
    path,
    [Symbol.dispose]() {
      umount(path);
      Deno.removeSync(path);
    },
  };
}
