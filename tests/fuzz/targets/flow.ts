import assert from "node:assert/strict";
import { fromBinary } from "@bufbuild/protobuf";
import { enrichFlow } from "../../../agent/flows/enrich.ts";
import { MAX_FLOW_PAIRS } from "../../../agent/metrics/catalogue.ts";
import { AgentMetrics } from "../../../agent/metrics/metrics.ts";
import { messageJson } from "../../../cli/message_json.ts";
import {
  filterableAt,
  FLOW_EVENT_BYTES,
  flowMessageAt,
} from "../../../dataplane/flows/flow_event.ts";
import { PodNames, RuleNames } from "../../../dataplane/flows/names.ts";
import { BpfObject, RingBuffer } from "../../../shared/ffi/bpf.ts";
import { compileC } from "../../../shared/ffi/bpf/testdata/compile.ts";
import { FlowFormatError, FlowReader } from "../../../shared/flows/flow_reader.ts";
import { FlowWriter, FRAME_HEADER_BYTES } from "../../../shared/flows/flow_writer.ts";
import { FlowEventCodec } from "../../../shared/gen/abi.ts";
import { FlowEventSchema } from "../../../shared/gen/novanet/v1/novanet_pb.ts";
import { type FuzzTarget, must } from "../target.ts";

const SOURCE = new URL("../ring.bpf.c", import.meta.url);
const ETH_HLEN = 14;
const RECORD_MAX = 256;
/** Series of one page of metrics: three verdicts of every pair, and what else there is. */
const MAX_SERIES = 3 * MAX_FLOW_PAIRS + 200;
const RENDER_EVERY = 2000;

const EVENT = {
  timestampNs: 123456789012345n,
  bytes: 1500n,
  packets: 1n,
  srcIp: 0x0af40002,
  dstIp: 0x0af40003,
  srcIdentity: 256,
  dstIdentity: 257,
  ruleId: 16,
  srcPort: 40000,
  dstPort: 80,
  protocol: 6,
  verdict: 1,
  dropReason: 0,
  tcpFlags: 2,
  eventType: 1,
  direction: 2,
  isReply: 0,
  ruleDirection: 2,
  icmpType: 0,
  icmpCode: 0,
};

const SNAPSHOT = {
  version: "fuzz",
  endpoints: 0,
  policies: 0,
  identities: 0,
  addresses: { used: 0, total: 0 },
  pendingDeletes: 0,
  flowSubscribers: 0,
  closedIdentities: 0,
  policyErrors: 0,
  warnings: 0,
  flowEvents: 0n,
  lostInAgent: 0n,
  dataplane: undefined,
};

/** The way of a record from the ring to a subscriber's screen. */
class Path {
  readonly #metrics = new AgentMetrics();
  readonly #context = { pods: new PodNames(), rules: new RuleNames(), wallOffsetNs: 5n };
  readonly #writer = new FlowWriter();
  readonly #reader = new FlowReader();
  #records = 0;

  take(view: DataView, offset: number, length: number): string {
    if (length !== FLOW_EVENT_BYTES) {
      return this.#readAny(new Uint8Array(view.buffer, view.byteOffset + offset, length));
    }
    const { verdict } = filterableAt(view, offset);
    const message = this.#writer.write(flowMessageAt(view, offset, this.#context))
      .subarray(FRAME_HEADER_BYTES);
    const read = this.#reader.read(message);
    assert.deepEqual(read, fromBinary(FlowEventSchema, message));
    assert.equal(read.verdict, verdict);
    const event = enrichFlow(read, {
      podOf: () => ({ podName: "web", podNamespace: "shop" }),
      ruleName: (id) => `rule ${id}`,
    });
    this.#metrics.onFlow(event);
    must(JSON.stringify(messageJson(FlowEventSchema, event), bigintText).length > 0, "no JSON");
    this.#records++;
    return `${event.eventType & 7} ${verdict & 67} ${event.protocol === 6}`;
  }

  /** What is no record is at least read as a message that somebody sent. */
  #readAny(bytes: Uint8Array): string {
    try {
      return `a message with${this.#reader.read(bytes).rule === "" ? "out" : ""} a rule`;
    } catch (error) {
      if (!(error instanceof FlowFormatError)) throw error;
      return error.message.replaceAll(/\d+/g, "#");
    }
  }

  async checkMetrics(): Promise<void> {
    if (this.#records % RENDER_EVERY === 0) await this.render();
  }

  async render(): Promise<void> {
    const series = (await this.#metrics.render(SNAPSHOT)).split("\n").length;
    must(series < MAX_SERIES, `${series} series of metrics`);
  }
}

const bigintText = (_: string, value: unknown) => typeof value === "bigint" ? `${value}` : value;

/** Flow events, from the kernel's ring to names and metrics. */
export const flow: FuzzTarget = {
  name: "flow",
  what: "ring buffer records, put into a real ring by a BPF program",
  seeds: () => [
    FlowEventCodec.encode(EVENT),
    FlowEventCodec.encode({ ...EVENT, verdict: 0, dropReason: 2, eventType: 4 }),
    FlowEventCodec.encode({ ...EVENT, verdict: 64 }),
    FlowEventCodec.encode({ ...EVENT, protocol: 1, icmpType: 8, eventType: 2, isReply: 1 }),
  ],
  async open() {
    const elf = await compileC(await Deno.readTextFile(SOURCE), ["-nostdinc"]);
    using stack = new DisposableStack();
    using object = BpfObject.open(elf);
    object.load();
    const program = stack.use(object.program("put_record"));
    using map = object.map("RING");
    const ring = stack.use(new RingBuffer(map));
    const path = new Path();
    const resources = stack.move();
    return {
      async run(input: Uint8Array): Promise<string> {
        const record = input.subarray(0, RECORD_MAX);
        if (record.length === 0) return "empty";
        const dataIn = new Uint8Array(ETH_HLEN + record.length);
        dataIn.set(record, ETH_HLEN);
        must(program.testRun({ dataIn }).retval !== 2, "the ring takes no record");
        const outcomes: string[] = [];
        const count = ring.consume((view, offset, length) => {
          const seen = new Uint8Array(view.buffer, view.byteOffset + offset, length);
          must(seen.toHex() === record.toHex(), "the record is another one");
          outcomes.push(path.take(view, offset, length));
        });
        must(count === 1 && ring.pendingBytes === 0, `${count} records`);
        await path.checkMetrics();
        return outcomes.join();
      },
      check: () => path.render(),
      [Symbol.asyncDispose]: () => Promise.resolve(resources.dispose()),
    };
  },
};
