import assert from "node:assert/strict";
import { eventually } from "../../shared/testing/eventually.ts";
import type { LabNetns } from "../../shared/testing/lab.ts";
import { UdpSocket } from "../../shared/testing/sockets.ts";

const TICK_MS = 2;
/** Room for what comes while this process does something else: more than two seconds of the stream. */
const BUFFER_BYTES = 16 * 2 ** 20;

/** Numbered datagrams at a steady rate, as long as it is not ended. */
export class UdpStream implements AsyncDisposable {
  readonly #sender: UdpSocket;
  readonly #receiver: UdpSocket;
  readonly #pump: Promise<void>;
  readonly #perSecond: number;
  #sent = 0;
  #received = 0;
  #outOfOrder = 0;
  #ending = false;

  /** @param ip the receiver's */
  constructor(from: LabNetns, to: LabNetns, ip: string, perSecond: number) {
    this.#receiver = new UdpSocket(to, { bufferBytes: BUFFER_BYTES });
    this.#sender = new UdpSocket(from);
    this.#perSecond = perSecond;
    this.#pump = this.#run({ ip, port: this.#receiver.address.port });
    this.#pump.catch(() => {});
  }

  /** Datagrams that were sent. */
  get sent(): number {
    return this.#sent;
  }

  /** Datagrams that have come. */
  get received(): number {
    return this.#received;
  }

  /** Those that came in another place than they were sent. */
  get outOfOrder(): number {
    return this.#outOfOrder;
  }

  /** Sends no more, and waits for those that are on their way. @returns how many never came */
  async end(): Promise<number> {
    this.#ending = true;
    await this.#pump;
    const isAll = () => {
      this.#take();
      return this.#received >= this.#sent;
    };
    await eventually(isAll, { timeoutMs: 1000 }).catch(() => {});
    return this.#sent - this.#received;
  }

  /** Waits until so many more have come. */
  async progress(datagrams = 200): Promise<void> {
    const goal = this.#received + datagrams;
    await eventually(() => this.#received >= goal, { what: "progress of the datagrams" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true;
    await this.#pump.catch(() => {});
    this.#sender.close();
    this.#receiver.close();
  }

  async #run(to: { ip: string; port: number }): Promise<void> {
    const began = performance.now();
    const data = new Uint8Array(64);
    while (!this.#ending) {
      const due = (performance.now() - began) * this.#perSecond / 1000;
      // After a pause of this process the rest is not sent at once: the sender's way has its limits too.
      for (let i = 0; i < 64 && this.#sent < due; i++) {
        new DataView(data.buffer).setUint32(0, this.#sent);
        this.#sender.send(to, data);
        this.#sent++;
      }
      this.#take();
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }

  #take(): void {
    for (const { data } of this.#receiver.take()) {
      const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
      assert.equal(data.length, 64);
      if (number !== this.#received) this.#outOfOrder++;
      this.#received++;
    }
  }
}
