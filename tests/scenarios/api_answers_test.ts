import assert from "node:assert/strict";
import {
  type DescMethod,
  type DescService,
  fromBinary,
  fromJson,
  toBinary,
} from "@bufbuild/protobuf";
import type { JsonValue } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../shared/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../shared/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../shared/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AgentExt, DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { EBPFServices } from "../../shared/gen/novanet/v1/ebpf_services_pb.ts";
import { AgentControl, DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { askReflection, encoded, GrpcJs } from "../../shared/testing/grpc_js.ts";
import { scenario } from "./scenario.ts";

type Code = keyof typeof grpc.status;

/** What an RPC answers: with a request that is right, a code; with requests that are wrong, what is said of them. */
interface Rpc {
  /** By the names of the proto's JSON mapping. Default {}. */
  readonly request?: JsonValue;
  /** Default OK. A stream that opens and goes on is OK. */
  readonly code?: Code;
  /** Requests that are INVALID_ARGUMENT: the field and the value, as they must be named. */
  readonly invalid?: readonly (readonly [request: JsonValue, field: string, value: string])[];
}

const LATER: Rpc = { code: "UNIMPLEMENTED" };
const NO_ROUTING: Rpc = { code: "FAILED_PRECONDITION" };
const IP = 0x0a_f4_00_63;
const MAC = "AgAAAAAB";
const endpoint = { ip: IP, ifindex: 1, mac: MAC, identityId: 300 };
const pod = {
  podName: "web",
  podNamespace: "default",
  containerId: "0123456789abcdef",
  netns: "/run/netns/none",
  ifName: "eth0",
};

const DATAPLANE: Readonly<Record<string, Rpc>> = {
  UpsertEndpoint: {
    request: endpoint,
    invalid: [
      [{ ...endpoint, ip: 0 }, "ip", "0"],
      [{ ...endpoint, mac: "AgAAAAA=" }, "mac", "0x0200000000"],
      [{ ...endpoint, mac: "" }, "mac", ""],
    ],
  },
  DeleteEndpoint: { request: { ip: IP }, invalid: [[{}, "ip", "0"]] },
  UpsertPolicy: {
    request: { srcIdentity: 300, dstIdentity: 301, protocol: 6, dstPort: 80, action: 1 },
    invalid: [
      [{ protocol: 256 }, "protocol", "256"],
      [{ protocol: 6, dstPort: 65536 }, "dst_port", "65536"],
      [{ protocol: 1, dstPort: 80 }, "dst_port", "80"],
      [{ action: 9 }, "action", "9"],
      [{ action: 64 }, "action", "64"],
      [{ direction: 7 }, "direction", "7"],
      [{ protocol: 6, dstPort: 80, portPrefixLen: 17 }, "port_prefix_len", "17"],
      [{ protocol: 6, dstPort: 81, portPrefixLen: 15 }, "dst_port", "81"],
      [{ isolation: true }, "direction", "0"],
    ],
  },
  DeletePolicy: {
    request: { srcIdentity: 300, dstIdentity: 301, protocol: 6, dstPort: 80 },
    invalid: [[{ protocol: 300 }, "protocol", "300"]],
  },
  SyncPolicies: {
    request: { policies: [{ srcIdentity: 300, action: 1 }] },
    invalid: [
      [{ policies: [{}, { protocol: 999 }] }, "policies[1].protocol", "999"],
      [{ cidrIdentities: [{ cidrIp: 1, prefixLen: 8, identityId: 2 ** 24 }] }, "cidr", "1"],
      [{ cidrIdentities: [{ cidrIp: 0, prefixLen: 33, identityId: 2 ** 24 }] }, "prefix_len", "33"],
    ],
  },
  UpsertTunnel: LATER,
  DeleteTunnel: LATER,
  UpdateConfig: {
    request: { entries: { 5: "0", 64: "2" } },
    invalid: [
      [{ entries: { 5: "2" } }, "entries[5]", "2"],
      [{ entries: { 4: "33" } }, "entries[4]", "33"],
      [{ entries: { 12: "1" } }, "entries", "12"],
      [{ entries: { 96: "1" } }, "entries", "96"],
      [{ entries: { 65: "1" } }, "entries[65]", "1"],
      [{ entries: { 2: "4294967296" } }, "entries[2]", "4294967296"],
    ],
  },
  AttachProgram: {
    request: { interfaceName: "uplink", attachType: 0 },
    invalid: [
      [{}, "interface_name", ""],
      [{ interfaceName: "sixteen-bytes-xx" }, "interface_name", "sixteen-bytes-xx"],
      [{ interfaceName: "a b" }, "interface_name", "a b"],
      [{ interfaceName: "uplink", attachType: 2 }, "attach_type", "2"],
    ],
  },
  DetachProgram: {
    request: { interfaceName: "uplink", attachType: 0 },
    invalid: [[{ interfaceName: "uplink", attachType: 9 }, "attach_type", "9"]],
  },
  UpsertEgressPolicy: LATER,
  DeleteEgressPolicy: LATER,
  UpsertSockmapEndpoint: LATER,
  DeleteSockmapEndpoint: LATER,
  GetSockmapStats: {},
  UpsertMeshService: LATER,
  DeleteMeshService: LATER,
  ListMeshServices: {},
  UpdateRateLimitConfig: LATER,
  GetInternalRateLimitStats: {},
  GetBackendHealthStats: {},
  StreamFlows: {},
  GetDataplaneStatus: {},
};

const AGENT: Readonly<Record<string, Rpc>> = {
  AddPod: {
    request: pod,
    // The namespace is not there, which is what is wrong with it.
    code: "INVALID_ARGUMENT",
    invalid: [
      [{ ...pod, podName: "" }, "pod_name", ""],
      [{ ...pod, podNamespace: "" }, "pod_namespace", ""],
      [{ ...pod, containerId: "" }, "container_id", ""],
      [{ ...pod, containerId: "0123456789" }, "container_id", "0123456789"],
      [{ ...pod, netns: "" }, "netns", ""],
      [{ ...pod }, "netns", "/run/netns/none"],
      [{ ...pod, ifName: "" }, "if_name", ""],
      [{ ...pod, ifName: "a/b" }, "if_name", "a/b"],
      [{ ...pod, ifName: "sixteen-bytes-xx" }, "if_name", "sixteen-bytes-xx"],
    ],
  },
  DelPod: {
    request: pod,
    invalid: [
      [{ ...pod, containerId: "" }, "container_id", ""],
    ],
  },
  GetAgentStatus: {},
  StreamAgentFlows: {},
  ListPolicies: {},
  ListIdentities: {},
  ListTunnels: {},
  ListEgressPolicies: {},
  GetRoutingPeers: NO_ROUTING,
  GetRoutingPrefixes: NO_ROUTING,
  GetRoutingBFDSessions: NO_ROUTING,
  GetRoutingOSPFNeighbors: NO_ROUTING,
  StreamRoutingEvents: NO_ROUTING,
};

const named = { podNamespace: "default", podName: "web" };
const redirect = { ip: "10.244.0.2", port: 80, redirectPort: 15001 };
const limit = { cidr: "10.244.0.0/24", rate: 10, burst: 10 };

const SERVICES: Readonly<Record<string, Rpc>> = {
  EnableSockmap: {
    ...LATER,
    request: named,
    invalid: [
      [{ podName: "web" }, "pod_namespace", ""],
      [{ podNamespace: "default" }, "pod_name", ""],
    ],
  },
  DisableSockmap: {
    ...LATER,
    request: named,
    invalid: [[{ podName: "web" }, "pod_namespace", ""]],
  },
  GetSockmapStats: {},
  AddMeshRedirect: {
    ...LATER,
    request: redirect,
    invalid: [
      [{ ...redirect, ip: "" }, "ip", ""],
      [{ ...redirect, ip: "10.244.0" }, "ip", "10.244.0"],
      [{ ...redirect, port: 0 }, "port", "0"],
      [{ ...redirect, port: 65536 }, "port", "65536"],
      [{ ...redirect, redirectPort: 0 }, "redirect_port", "0"],
    ],
  },
  RemoveMeshRedirect: {
    ...LATER,
    request: { ip: "10.244.0.2", port: 80 },
    invalid: [[{ ip: "x", port: 80 }, "ip", "x"], [{ ip: "10.244.0.2" }, "port", "0"]],
  },
  ListMeshRedirects: {},
  ConfigureRateLimit: {
    ...LATER,
    request: limit,
    invalid: [
      [{ ...limit, cidr: "" }, "cidr", ""],
      [{ ...limit, cidr: "10.244.0.0/40" }, "cidr", "10.244.0.0/40"],
      [{ ...limit, rate: 0 }, "rate", "0"],
      [{ ...limit, burst: 0 }, "burst", "0"],
    ],
  },
  RemoveRateLimit: { ...LATER, request: { cidr: "10.0.0.0/8" }, invalid: [[{}, "cidr", ""]] },
  GetRateLimitStats: { request: { cidr: "anything" } },
  GetBackendHealth: {},
  StreamBackendHealth: {},
};

const SOCKETS: readonly (readonly [
  socket: string,
  service: DescService,
  rpcs: Readonly<Record<string, Rpc>>,
  others: readonly DescService[],
])[] = [
  ["dataplane.sock", DataplaneControl, DATAPLANE, [DataplaneExt]],
  ["novanet.sock", AgentControl, AGENT, [AgentExt]],
  ["cni.sock", AgentControl, AGENT, [AgentExt]],
  ["ebpf-services.sock", EBPFServices, SERVICES, []],
];

/** Calls an RPC. @returns its code and what it says */
async function call(
  client: GrpcJs,
  method: DescMethod,
  request: JsonValue,
): Promise<{ code: Code; details: string }> {
  const bytes = Buffer.from(toBinary(method.input, fromJson(method.input, request)));
  try {
    if (method.methodKind === "unary") fromBinary(method.output, await client.unary(method, bytes));
    else await opened(client.serverStream(method, bytes));
    return { code: "OK", details: "" };
  } catch (error) {
    const { code, details } = error as grpc.ServiceError;
    return { code: grpc.status[code] as Code, details };
  }
}

/** Waits until a stream has failed, or else until the server has begun its answer. */
async function opened(stream: grpc.ClientReadableStream<Buffer>): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      stream.once("error", reject);
      // A server without a first event may hold back its headers; a failure comes at once.
      setTimeout(resolve, 200);
      stream.once("data", () => resolve());
    });
  } finally {
    stream.on("error", () => {});
    stream.cancel();
  }
}

scenario("every RPC answers as documented", {}, async ({ node, step }) => {
  for (const [socket, service, rpcs, others] of SOCKETS) {
    await step(`${service.name} at ${socket}: all its RPCs`, async () => {
      using client = new GrpcJs(node.socket(socket));
      assert.deepEqual(service.methods.map(({ name }) => name), Object.keys(rpcs));
      const answers = await Promise.all(service.methods.map(async (method) => {
        const { request = {}, code = "OK" } = rpcs[method.name] ?? {};
        const answer = await call(client, method, request);
        return [`${method.name}: ${answer.code} ${answer.details}`, `${method.name}: ${code}`];
      }));
      for (const [answer = "", expected = ""] of answers) {
        assert(answer.startsWith(`${expected} `), `${answer} instead of ${expected}`);
      }
    });

    await step(`${service.name} at ${socket}: what is wrong is named with its value`, async () => {
      using client = new GrpcJs(node.socket(socket));
      for (const method of service.methods) {
        for (const [request, field, value] of rpcs[method.name]?.invalid ?? []) {
          const { code, details } = await call(client, method, request);
          const what = `${method.name} ${JSON.stringify(request)}: ${code} ${details}`;
          assert.equal(code, "INVALID_ARGUMENT", what);
          assert(details.includes(field), what);
          assert(details.includes(value), what);
        }
      }
    });

    await step(`${socket}: health`, async () => {
      using client = new GrpcJs(node.socket(socket));
      const { check } = Health.method;
      const status = async (service: string) => {
        const answer = await client.unary(check, encoded(check.input, { service }));
        return fromBinary(check.output, answer).status;
      };
      for (const name of ["", service.typeName, ...others.map((each) => each.typeName)]) {
        assert.equal(await status(name), Serving.SERVING, name);
      }
      await assert.rejects(status("nobody"), { code: grpc.status.NOT_FOUND });
    });

    for (const version of [ServerReflection, ServerReflectionAlpha]) {
      await step(`${socket}: ${version.typeName}`, async () => {
        const [list, file] = await askReflection(node.socket(socket), version, [
          { case: "listServices", value: "*" },
          { case: "fileContainingSymbol", value: service.typeName },
        ]);
        assert(list?.case === "listServicesResponse");
        assert.deepEqual(
          list.value.service.map(({ name }) => name).sort(),
          [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            ...[service, ...others].map(({ typeName }) => typeName),
          ].sort(),
        );
        assert.equal(file?.case, "fileDescriptorResponse");
      });
    }

    await step(
      `${socket}: an RPC that does not exist is UNIMPLEMENTED, garbage is refused`,
      async () => {
        using client = new GrpcJs(node.socket(socket));
        const [method] = service.methods;
        assert(method);
        const unknown = { ...method, name: "Nothing", parent: service } as DescMethod;
        assert.equal((await call(client, unknown, {})).code, "UNIMPLEMENTED");
        await assert.rejects(client.unary(method, Buffer.from([0xff, 0xff])), {
          code: grpc.status.INVALID_ARGUMENT,
        });
      },
    );
  }

  await step("the calls above changed nothing that stays", async () => {
    const dataplane = node.client(DataplaneControl, "dataplane.sock");
    const { programs, endpointCount } = await dataplane.getDataplaneStatus({});
    assert.deepEqual([programs.length, endpointCount], [0, 1]);
  });
});
