/** For tests: a bpf file system of their own. */

import { mount, umount } from "../../shared/ffi/sys.ts";

/** A bpffs on a temporary directory; with its last pin gone the kernel frees what was pinned. */
export class PrivateBpffs implements Disposable {
  readonly path: string;

  constructor() {
    this.path = Deno.makeTempDirSync({ prefix: "nvt-bpffs-" });
    mount("bpf", this.path, "bpf");
  }

  [Symbol.dispose](): void {
    umount(this.path);
    Deno.removeSync(this.path);
  }
}
