import assert from "node:assert/strict";
import { Cidr } from "../net/cidr.ts";
import { Ipv4 } from "../net/ipv4.ts";
import { eventually } from "../testing/eventually.ts";
import { type LabNetns, NetnsLab } from "../testing/lab.ts";
import { type NetlinkEvent, NetlinkEvents, type NetlinkEventsOptions } from "./events.ts";

/** A reader that keeps what it is told as text. */
class Reader implements AsyncDisposable {
  readonly seen: string[] = [];
  readonly events: NetlinkEvents;
  readonly #done: Promise<void>;

  constructor(netns: LabNetns, options?: NetlinkEventsOptions) {
    this.events = NetlinkEvents.openIn(netns.path, options);
    this.#done = this.#read();
  }

  async #read(): Promise<void> {
    for await (const event of this.events) this.seen.push(text(event));
  }

  /** Settles when the loop has ended, with what it threw. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.events.close();
    await this.#done;
  }
}

function text(event: NetlinkEvent): string {
  const sign = "deleted" in event && event.deleted ? "-" : "+";
  switch (event.kind) {
    case "link":
      return `${sign}link ${event.link.name} ${event.link.up ? "up" : "down"}`;
    case "address":
      return `${sign}address ${event.address.host}`;
    case "route":
      return `${sign}route ${event.route.destination} table ${event.route.table}`;
    case "resync":
      return "resync";
  }
}

Deno.test("links, addresses and routes are told of as they come and go", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  await using reader = new Reader(netns);
  using links = netns.rtnetlink();
  links.vethCreate({ name: "v0" }, { name: "v1" });
  const { index } = links.linkGet("v0");
  links.linkSet(index, { up: true });
  const host = Ipv4.parse("10.1.1.1");
  links.addrAdd({ index, host, cidr: Cidr.of(host, 24), noPrefixRoute: true });
  links.routeAdd({ destination: Cidr.parse("10.2.0.0/16"), oif: index });
  await eventually(() => reader.seen.includes("+route 10.2.0.0/16 table 254"));
  links.linkDelete("v0");
  await eventually(() =>
    reader.seen.includes("-link v0 down") && reader.seen.includes("-link v1 down")
  );
  for (
    const expected of ["+link v0 down", "+link v0 up", "+address 10.1.1.1", "-address 10.1.1.1"]
  ) {
    assert(reader.seen.includes(expected), `${expected} in ${reader.seen.join(", ")}`);
  }
  assert.equal(reader.events.overruns, 0);
});

Deno.test("only what was asked for is told", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  await using reader = new Reader(netns, { kinds: ["address"] });
  using links = netns.rtnetlink();
  links.vethCreate({ name: "v0" }, { name: "v1" });
  const { index } = links.linkGet("v0");
  const host = Ipv4.parse("10.1.1.1");
  links.addrAdd({ index, host, cidr: Cidr.of(host, 24) });
  await eventually(() => reader.seen.length > 0);
  assert.deepEqual(reader.seen, ["+address 10.1.1.1"]);
});

Deno.test("a reader that is too slow is told to look again, and then goes on", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  using events = NetlinkEvents.openIn(netns.path, { kinds: ["address"], bufferSizeBytes: 4096 });
  using links = netns.rtnetlink();
  const { index } = links.linkGet("lo");
  const add = (text: string) => {
    const host = Ipv4.parse(text);
    links.addrAdd({ index, host, cidr: Cidr.of(host, 32) });
  };
  for (let n = 1; n < 255; n++) add(`10.1.1.${n}`);
  const seen: string[] = [];
  for await (const event of events) {
    seen.push(text(event));
    if (event.kind === "resync") add("10.9.9.9");
    if (seen.at(-1) === "+address 10.9.9.9") break;
  }
  assert.equal(seen.filter((each) => each === "resync").length, events.overruns);
  assert(events.overruns > 0);
  assert(seen.length < 254);
});

Deno.test("closing ends a reader that waits, at once", async () => {
  await using lab = new NetnsLab();
  const netns = await lab.addNetns();
  const reader = new Reader(netns);
  const before = performance.now();
  await reader[Symbol.asyncDispose]();
  assert(performance.now() - before < 1000);
  reader.events.close();
});

Deno.test("a subscription that is closed before it is read gives nothing", async () => {
  await using lab = new NetnsLab();
  const events = NetlinkEvents.openIn((await lab.addNetns()).path);
  events.close();
  for await (const event of events) assert.fail(text(event));
});
