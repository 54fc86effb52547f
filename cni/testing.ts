import type { AddPod, Agent, CheckPod, DelPod, Readiness } from "./agent.ts";
import type { ValidAttachment } from "./config.ts";
import type { JsonObject } from "./json.ts";
import { type PluginInput, type PluginOutput, runPlugin } from "./plugin.ts";
import { readAll } from "./stdin.ts";

/** An agent that notes what it was asked and answers what the test says. */
export class FakeAgent implements Agent {
  readonly calls: [string, unknown][] = [];
  /** Thrown by every call when set. */
  fault: Error | undefined;
  ready: Readiness = { ready: true, degraded: false, reasons: [] };

  addPod(request: AddPod) {
    this.#note("addPod", request);
    return Promise.resolve({
      ip: "10.244.0.5",
      gateway: "10.244.0.1",
      mac: "02:fe:0a:f4:00:05",
      prefixLength: 24,
      mtu: 1450,
      hostIfName: "nvabcdefghijk",
      hostMac: "02:fe:0a:f4:00:01",
    });
  }

  delPod(request: DelPod): Promise<void> {
    return this.#answer("delPod", request, undefined);
  }

  checkPod(request: CheckPod): Promise<void> {
    return this.#answer("checkPod", request, undefined);
  }

  readiness(): Promise<Readiness> {
    return this.#answer("readiness", {}, this.ready);
  }

  collectGarbage(valid: readonly ValidAttachment[]): Promise<number> {
    return this.#answer("collectGarbage", valid, 0);
  }

  // deno-lint-ignore require-await -- what it throws must come as a rejection
  async #answer<T>(name: string, request: unknown, value: T): Promise<T> {
    this.#note(name, request);
    return value;
  }

  #note(name: string, request: unknown): void {
    this.calls.push([name, request]);
    if (this.fault !== undefined) throw this.fault;
  }
}

/** Environment of a call; `undefined` takes a variable away. */
export type TestEnv = Readonly<Record<string, string | undefined>>;

/** The environment of a complete call as containerd makes it. */
export const ENV: TestEnv = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c0ffee0123456789",
  CNI_NETNS: "/run/netns/blue",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
};

/** Runs the plugin as its executable would be. */
export function call(
  env: TestEnv,
  stdin: JsonObject | string | Uint8Array,
  agent: Agent = new FakeAgent(),
): Promise<PluginOutput> {
  const bytes = stdin instanceof Uint8Array
    ? stdin
    : new TextEncoder().encode(typeof stdin === "string" ? stdin : JSON.stringify(stdin));
  const input: PluginInput = {
    getEnv: (name) => ({ ...ENV, ...env })[name],
    readStdin: () => readAll(readerOf(bytes)),
    connect: () => Promise.resolve(agent),
    netnsFault: (path) => path === "/host" ? "CNI_NETNS is the node's own namespace" : undefined,
    now: () => new Date("2026-11-21T08:00:00Z"),
  };
  return runPlugin(input);
}

/** A reader that gives at most `most` bytes at a time, as a pipe does. */
export function readerOf(bytes: Uint8Array, most = 4096) {
  let at = 0;
  return {
    readSync(into: Uint8Array): number | null {
      if (at === bytes.length) return null;
      const part = bytes.subarray(at, at + Math.min(most, into.length));
      into.set(part);
      at += part.length;
      return part.length;
    },
  };
}

/** A configuration for a version, with more keys when given. */
export function conf(version: string, more: JsonObject = {}): JsonObject {
  return { cniVersion: version, name: "novanet", type: "novanet-cni", ...more };
}
