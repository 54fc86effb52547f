import { DataplaneExt, type EndpointInfo } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import type { PatchPoliciesRequest } from "../../shared/gen/novanet/ext/v1/policies_pb.ts";
import {
  AttachType,
  type CidrIdentity,
  DataplaneControl,
  type FlowEvent,
  type PolicyEntry,
} from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { FlowFanOut } from "../../shared/flows/fan_out.ts";
import { EncodedMessages } from "../../shared/rpc/encoded_messages.ts";
import {
  failedPrecondition,
  internal,
  resourceExhausted,
  unimplemented,
} from "../../shared/rpc/errors.ts";
import { RpcServer } from "../../shared/rpc/server.ts";

/** What the dataplane was told, in order: the method and what it was about. */
export type DataplaneCall = readonly [method: string, detail: string];

/**
 * A dataplane without a kernel, which fails where it is told to: for what the real one cannot be made to
 * do, such as failing at the third step of an AddPod. Imported by tests only.
 */
export class FakeDataplane implements AsyncDisposable {
  readonly endpoints = new Map<number, Omit<EndpointInfo, "$typeName" | "$unknown">>();
  readonly programs = new Set<string>();
  readonly config = new Map<number, bigint>();
  readonly calls: DataplaneCall[] = [];
  policies: PolicyEntry[] = [];
  cidrIdentities: CidrIdentity[] = [];
  ruleNames: { [id: number]: string } = {};
  /** Policy entries that it takes at most. */
  room = Infinity;
  /** Whether it knows PatchPolicies; older ones do not. */
  knowsPatches = true;
  /** Hears of each call before it is answered. */
  onCall: (method: string) => void = () => {};
  #version = 1n;
  readonly #socketPath: string;
  readonly #hostLinks: () => readonly string[];
  readonly #failures = new Map<string, number>();
  readonly #flows = new FlowFanOut();
  #server: RpcServer | undefined;
  #held: () => Promise<void> = () => Promise.resolve();

  /** @param hostLinks names of the interfaces of the host's namespace now */
  constructor(socketPath: string, hostLinks: () => readonly string[]) {
    this.#socketPath = socketPath;
    this.#hostLinks = hostLinks;
  }

  /** Serves; what it was told before is still there, as with pinned maps. */
  async start(): Promise<void> {
    this.#server = new RpcServer({ checkPeers: () => 0 })
      .add(DataplaneControl, this.#control())
      .add(DataplaneExt, {
        forgetInterfaces: () => {
          const links = new Set(this.#hostLinks());
          for (const program of this.programs) {
            if (!links.has(program.split(" ")[0] ?? "")) this.programs.delete(program);
          }
          return {};
        },
        listEndpoints: () => ({ endpoints: [...this.endpoints.values()] }),
        listPolicyEntries: () => ({
          policies: this.policies,
          cidrIdentities: this.cidrIdentities,
          ruleNames: this.ruleNames,
          version: this.#version,
        }),
        patchPolicies: (request) => this.#patch(request),
      });
    await this.#server.listenUnix(this.#socketPath);
  }

  /** Goes away. */
  async stop(): Promise<void> {
    await this.#server?.close(100);
    this.#server = undefined;
  }

  /** Lets the next calls of a method fail with INTERNAL. */
  failNext(method: string, times = 1): void {
    this.#failures.set(method, times);
  }

  /** Holds back the next call of upsertEndpoint until it is let go. */
  holdUpsert(): { readonly reached: Promise<void>; letGo(): void } {
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.#held = () => {
      this.#held = () => Promise.resolve();
      reached.resolve();
      return gate.promise;
    };
    return { reached: reached.promise, letGo: gate.resolve };
  }

  /** Sends a flow event to all subscribers. */
  emit(event: FlowEvent): void {
    if (event.lostEvents > 0n) this.#flows.addLost(Number(event.lostEvents));
    this.#flows.publish(event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #note(method: string, detail: string): void {
    this.calls.push([method, detail]);
    this.onCall(method);
    const left = this.#failures.get(method) ?? 0;
    if (left === 0) return;
    this.#failures.set(method, left - 1);
    throw internal(`injected failure of ${method}`);
  }

  #setPolicies(policies: PolicyEntry[]): void {
    if (policies.length > this.room) throw resourceExhausted("POLICIES is full");
    this.policies = policies;
  }

  #patch(patch: PatchPoliciesRequest): { version: bigint } {
    if (!this.knowsPatches) throw unimplemented("PatchPolicies");
    const { upserts, deletes, cidrUpserts, cidrDeletes } = patch;
    const changes = upserts.length + deletes.length + cidrUpserts.length + cidrDeletes.length;
    // Only those that change something: with none it is a question.
    if (changes > 0) this.#note("patchPolicies", `+${upserts.length} -${deletes.length}`);
    if (patch.baseVersion !== 0n && patch.baseVersion !== this.#version) {
      throw failedPrecondition(`base_version ${patch.baseVersion}`);
    }
    const keys = new Set([...upserts, ...deletes].map(entryKey));
    this.#setPolicies([...this.policies.filter((entry) => !keys.has(entryKey(entry))), ...upserts]);
    const ranges = new Set([...cidrUpserts, ...cidrDeletes].map(rangeKey));
    this.cidrIdentities = [
      ...this.cidrIdentities.filter((range) => !ranges.has(rangeKey(range))),
      ...cidrUpserts,
    ];
    const names = { ...this.ruleNames, ...patch.ruleNameUpserts };
    for (const id of patch.ruleNameDeletes) delete names[id];
    this.ruleNames = names;
    if (changes > 0) this.#version++;
    return { version: this.#version };
  }

  #control() {
    return {
      getDataplaneStatus: () => ({ programs: this.#attached() }),
      updateConfig: ({ entries }: { entries: { [key: number]: bigint } }) => {
        this.#note("updateConfig", Object.keys(entries).join());
        for (const [key, value] of Object.entries(entries)) this.config.set(Number(key), value);
        return {};
      },
      upsertEndpoint: async (request: Omit<EndpointInfo, "$typeName" | "$unknown">) => {
        await this.#held();
        this.#note("upsertEndpoint", `${request.ip} ${request.identityId}`);
        const { ip, ifindex, mac, identityId, podName, namespace, nodeIp } = request;
        this.endpoints.set(ip, { ip, ifindex, mac, identityId, podName, namespace, nodeIp });
        return {};
      },
      deleteEndpoint: ({ ip }: { ip: number }) => {
        this.#note("deleteEndpoint", `${ip}`);
        this.endpoints.delete(ip);
        return {};
      },
      syncPolicies: (request: {
        policies: PolicyEntry[];
        cidrIdentities: CidrIdentity[];
        ruleNames: { [id: number]: string };
      }) => {
        this.#note("syncPolicies", `${request.policies.length}`);
        this.#setPolicies(request.policies);
        this.cidrIdentities = request.cidrIdentities;
        this.ruleNames = request.ruleNames;
        this.#version++;
        return {};
      },
      attachProgram: (request: { interfaceName: string; attachType: AttachType }) => {
        this.#note("attachProgram", request.interfaceName);
        this.programs.add(programName(request));
        return {};
      },
      detachProgram: (request: { interfaceName: string; attachType: AttachType }) => {
        this.#note("detachProgram", request.interfaceName);
        // As the real one does for an interface that is gone.
        for (const hook of ["ingress", "egress"]) {
          this.programs.delete(`${request.interfaceName} ${hook}`);
        }
        return {};
      },
      streamFlows: (_request: unknown, { signal }: { signal: AbortSignal }) =>
        this.#subscribe(signal),
    };
  }

  #attached() {
    return [...this.programs].map((name) => {
      const [interfaceName = "", attachType = ""] = name.split(" ");
      return { interfaceName, attachType, programId: 1 };
    });
  }

  async *#subscribe(signal: AbortSignal): AsyncGenerator<EncodedMessages> {
    const subscriber = this.#flows.subscribe({ identity: 0, dropsOnly: false });
    if (subscriber === undefined) throw internal("too many subscribers");
    signal.addEventListener("abort", () => subscriber.end(), { once: true });
    try {
      if (signal.aborted) return;
      for await (const { bytes } of subscriber) yield new EncodedMessages(bytes);
    } finally {
      this.#flows.unsubscribe(subscriber);
    }
  }
}

function entryKey(entry: PolicyEntry): string {
  const { srcIdentity, dstIdentity, protocol, dstPort, direction, portPrefixLen, isolation } =
    entry;
  return [srcIdentity, dstIdentity, protocol, dstPort, direction, portPrefixLen, isolation].join();
}

function rangeKey({ cidrIp, prefixLen }: CidrIdentity): string {
  return `${cidrIp}/${prefixLen}`;
}

function programName(request: { interfaceName: string; attachType: AttachType }): string {
  const hook = request.attachType === AttachType.ATTACH_TC_INGRESS ? "ingress" : "egress";
  return `${request.interfaceName} ${hook}`;
}
