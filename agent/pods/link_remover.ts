import { isErrno } from "../../shared/ffi/errno.ts";
import { ifIndextoname } from "../../shared/ffi/sys.ts";
import { linkDeleteAsync, linksDeleteAsync, RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { inNetns, type Netns } from "../../shared/netns/mod.ts";

/** Links that are deleted in one go. The kernel holds its lock of all links for some 25 ms for each. */
const MOST_AT_ONCE = 64;
const POLL_MS = 1;

interface Removal {
  readonly index: number;
  readonly gone: PromiseWithResolvers<void>;
}

/** What {@linkcode LinkRemover} works with. */
export interface LinkRemoverOptions {
  /** The namespace of the links, absent for this process's own. */
  readonly netns: Netns;
  /** Called when the kernel is done with links that were removed. */
  readonly onDone: () => void;
}

/**
 * Deletes links. A link with TCX programs takes the kernel two or three grace periods of RCU; the link, its other end and
 * all that hangs on them have left their namespaces before, and nothing can keep the kernel from finishing, not even the end of
 * this process. So nobody waits for that. Links that are to go while the kernel is at work go together.
 */
export class LinkRemover {
  readonly #options: LinkRemoverOptions;
  readonly #group: number;
  #waiting: Removal[] = [];
  #working: Promise<void> | undefined;
  #batch: Promise<void> | undefined;

  /** @throws {SysError} */
  constructor(options: LinkRemoverOptions) {
    this.#options = options;
    this.#group = unusedGroup(options.netns);
  }

  /**
   * Deletes a link; one that is not there is no error.
   * @returns when it has left its namespace
   * @throws {NetlinkError | SysError}
   */
  remove(index: number): Promise<void> {
    const gone = Promise.withResolvers<void>();
    this.#waiting.push({ index, gone });
    this.#working ??= this.#work();
    return gone.promise;
  }

  /**
   * Waits until the kernel is done with those that it is deleting now. Whoever would ask it about links meanwhile would wait too, and
   * all of this process with him.
   */
  async batchDone(): Promise<void> {
    await this.#batch;
  }

  /** Waits until the kernel is done with all. */
  async idle(): Promise<void> {
    await this.#working;
  }

  async #work(): Promise<void> {
    // Those that are asked for in the same turn go together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MOST_AT_ONCE);
      this.#batch = this.#deleteAll(batch);
      await this.#batch;
      this.#options.onDone();
    }
    this.#working = undefined;
  }

  async #deleteAll(batch: readonly Removal[]): Promise<void> {
    const indexes = batch.map(({ index }) => index);
    const [only] = indexes;
    if (indexes.length === 1 && only !== undefined) return await this.#deleteOne(batch, only);
    const deletion = linksDeleteAsync(this.#options.netns, indexes, this.#group);
    // One that the kernel refuses must not be the others' fault: what is left is tried alone.
    const left = await this.#watch(batch, deletion.catch(() => {}));
    for (const each of left) await this.#deleteOne([each], each.index);
  }

  async #deleteOne(removal: readonly Removal[], index: number): Promise<void> {
    const left = await this.#watch(removal, linkDeleteAsync(this.#options.netns, index));
    for (const { gone } of left) gone.resolve();
  }

  /** Tells of each link when it has gone. @returns those that are still there when the kernel has done */
  async #watch(batch: readonly Removal[], deletion: Promise<unknown>): Promise<Removal[]> {
    let left = [...batch];
    let done = false;
    const end = deletion.then(() => {}, (error) => left.forEach(({ gone }) => gone.reject(error)))
      .finally(() => {
        done = true;
      });
    for (;;) {
      left = left.filter((removal) => {
        if (this.#isThere(removal.index)) return true;
        removal.gone.resolve();
        return false;
      });
      if (done || left.length === 0) break;
      await Promise.race([end, new Promise((resolve) => setTimeout(resolve, POLL_MS))]);
    }
    await end;
    return left;
  }

  /** Asks in a way that does not wait for the kernel's lock of all links. */
  #isThere(index: number): boolean {
    try {
      inNetns(this.#options.netns, () => ifIndextoname(index));
      return true;
    } catch (error) {
      if (isErrno(error, "ENXIO") || isErrno(error, "ENODEV")) return false;
      throw error;
    }
  }
}

/** A device group that no link of the namespace is in. */
function unusedGroup(netns: Netns): number {
  using links = RtnetlinkSocket.openIn(netns);
  const used = new Set(links.linkList().map(({ group }) => group));
  const candidate = new Uint32Array(1);
  do crypto.getRandomValues(candidate); while (candidate[0] === 0 || used.has(candidate[0] ?? 0));
  return candidate[0] ?? 0;
}
