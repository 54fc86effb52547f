import { getLogger } from "../../shared/log.ts";
import { NetlinkEvents, RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import type { Attachment } from "../state/mod.ts";

const log = getLogger("agent/pods");

/** Notices pods' host interfaces that vanish while the agent runs and nobody asked it to delete them. */
export class PodLinkWatch implements AsyncDisposable {
  readonly #pods: () => readonly Attachment[];
  readonly #socket: RtnetlinkSocket;
  readonly #events: NetlinkEvents;
  /** Indexes of interfaces that were pods' when they went. */
  #gone: Set<number> = new Set();
  #reading: Promise<void> | undefined;

  /**
   * @param pods all pods now
   * @throws {SysError}
   */
  constructor(pods: () => readonly Attachment[]) {
    using stack = new DisposableStack();
    this.#pods = pods;
    this.#socket = stack.use(RtnetlinkSocket.openIn());
    this.#events = stack.use(NetlinkEvents.openIn(undefined, { kinds: ["link"] }));
    stack.move();
  }

  /** Pods whose interface is gone, one sentence each. */
  get warnings(): string[] {
    return this.#ready().filter(({ hostIfindex }) => this.#gone.has(hostIfindex)).map((pod) =>
      `interface ${pod.hostIfName} of pod ${pod.podNamespace}/${pod.podName} is gone: ` +
      "the pod has no network until novanetctl doctor --fix makes it anew"
    );
  }

  /** Begins to follow. */
  start(): void {
    this.#reading ??= this.#read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#events.close();
    await this.#reading;
    this.#socket.close();
  }

  async #read(): Promise<void> {
    try {
      for await (const event of this.#events) {
        if (event.kind === "resync") this.#compare();
        else if (event.kind === "link" && event.deleted) this.#note(event.link.index);
        // The kernel numbers upwards, but a namespace's administrator may choose.
        else if (event.kind === "link") this.#gone.delete(event.link.index);
      }
    } catch (error) {
      log.error("cannot follow the pods' interfaces any more", { error });
    }
  }

  #compare(): void {
    const there = new Set(this.#socket.linkList().map(({ index }) => index));
    for (const { hostIfindex } of this.#ready()) {
      if (!there.has(hostIfindex)) this.#note(hostIfindex);
    }
  }

  #note(index: number): void {
    const ready = this.#ready();
    const pod = ready.find(({ hostIfindex }) => hostIfindex === index);
    if (pod === undefined) return;
    // Those of pods that were deleted since are of no interest any more.
    this.#gone = this.#gone.intersection(new Set(ready.map(({ hostIfindex }) => hostIfindex)));
    this.#gone.add(index);
    log.warn("a pod's interface vanished", {
      pod: `${pod.podNamespace}/${pod.podName}`,
      ip: pod.ip.toString(),
      link: pod.hostIfName,
    });
  }

  #ready(): Attachment[] {
    return this.#pods().filter(({ state }) => state === "ready");
  }
}
