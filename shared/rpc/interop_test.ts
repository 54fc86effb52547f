/** Another implementation of gRPC, grpc-js, as the client: what a stranger's client does must work. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AgentExt } from "../gen/novanet/ext/v1/ext_pb.ts";
import { eventually } from "../testing/eventually.ts";
import { askReflection, encoded, GrpcJs } from "../testing/grpc_js.ts";
import { RpcLab } from "./testing.ts";

const { checkPod, listPods, capturePod } = AgentExt.method;

Deno.test("grpc-js: unary calls, errors and deadlines", async () => {
  await using lab = await RpcLab.start({
    listPods: () => ({ pods: [{ name: "web" }] }),
    checkPod() {
      return new Promise(() => {});
    },
  });
  using client = new GrpcJs(lab.socketPath);
  const answer = fromBinary(listPods.output, await client.unary(listPods, Buffer.alloc(0)));
  assert.equal(answer.pods[0]?.name, "web");
  await assert.rejects(client.unary(checkPod, Buffer.alloc(0), 50), {
    code: grpc.status.DEADLINE_EXCEEDED,
  });
  await assert.rejects(client.unary(listPods, Buffer.from([0xff])), {
    code: grpc.status.INVALID_ARGUMENT,
  });
  await assert.rejects(client.unary(AgentExt.method.getReadiness, Buffer.alloc(0)), {
    code: grpc.status.UNIMPLEMENTED,
  });
});

Deno.test("grpc-js: streams to their end, their error, and broken off", async () => {
  let stopped = 0;
  await using lab = await RpcLab.start({
    async *capturePod({ maxPackets }) {
      try {
        for (let at = 0n; maxPackets === 0n || at < maxPackets; at++) yield { timestampNs: at };
        if (maxPackets === 7n) throw Object.assign(new Error("seven"), { rpcCode: 9 });
      } finally {
        stopped++;
      }
    },
  });
  using client = new GrpcJs(lab.socketPath);
  const request = (maxPackets: bigint) => encoded(capturePod.input, { maxPackets });
  let count = 0n;
  for await (const bytes of client.serverStream(capturePod, request(5000n))) {
    assert.equal(fromBinary(capturePod.output, bytes).timestampNs, count++);
  }
  assert.equal(count, 5000n);
  // grpc-js forgets messages that it has not handed out when an error comes, so they are not counted.
  await assert.rejects(
    (async () => {
      for await (const _ of client.serverStream(capturePod, request(7n)));
    })(),
    { code: grpc.status.FAILED_PRECONDITION, details: "seven" },
  );
  const broken = client.serverStream(capturePod, request(0n));
  broken.on("error", () => {});
  broken.once("data", () => broken.cancel());
  await eventually(() => stopped === 3);
});

for (const service of [ServerReflection, ServerReflectionAlpha]) {
  Deno.test(`${service.typeName} lists services and gives whole files`, async () => {
    await using lab = await RpcLab.start({});
    const symbols = [
      "novanet.ext.v1.AgentExt",
      "novanet.ext.v1.AgentExt.CheckPod",
      "novanet.ext.v1.PodInfo",
      "novanet.ext.v1.PodInfo.identity_id",
      "novanet.ext.v1.PodInfo.LabelsEntry",
      "novanet.v1.PolicyEntry",
      "novanet.v1.PolicyAction",
      "novanet.v1.POLICY_ACTION_DENY",
    ];
    const [list, byName, ...bySymbol] = await askReflection(lab.socketPath, service, [
      { case: "listServices", value: "*" },
      { case: "fileByFilename", value: "novanet/v1/novanet.proto" },
      ...symbols.map((value) => ({ case: "fileContainingSymbol" as const, value })),
    ]);
    assert(list?.case === "listServicesResponse");
    assert.deepEqual(list.value.service.map(({ name }) => name), [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "novanet.ext.v1.AgentExt",
    ]);
    assert(byName?.case === "fileDescriptorResponse");
    for (const answer of bySymbol) {
      assert(answer.case === "fileDescriptorResponse");
      const files = answer.value.fileDescriptorProto.map((bytes) =>
        fromBinary(FileDescriptorProtoSchema, bytes)
      );
      // What came is enough to build the descriptors from, without anything else.
      const registry = createFileRegistry(
        create(FileDescriptorSetSchema, { file: files.toReversed() }),
      );
      assert(registry.getMessage("novanet.v1.PolicyEntry") !== undefined);
    }
    assert.equal(bySymbol.length, symbols.length);
  });

  Deno.test(`${service.typeName} answers what it does not know with an error, and goes on`, async () => {
    await using lab = await RpcLab.start({});
    const answers = await askReflection(lab.socketPath, service, [
      { case: "fileByFilename", value: "none.proto" },
      { case: "fileContainingSymbol", value: "novanet.v1.None" },
      { case: "fileContainingSymbol", value: "novanet.ext.v1.AgentExt.None" },
      { case: "fileContainingSymbol", value: "" },
      {
        case: "fileContainingExtension",
        value: { containingType: "novanet.v1.PolicyEntry", extensionNumber: 5 },
      },
      { case: "allExtensionNumbersOfType", value: "novanet.v1.None" },
      { case: undefined },
      { case: "allExtensionNumbersOfType", value: "novanet.v1.PolicyEntry" },
    ]);
    const codes = answers.map((answer) =>
      answer.case === "errorResponse" ? answer.value.errorCode : answer.case
    );
    assert.deepEqual(codes, [5, 5, 5, 5, 5, 5, 12, "allExtensionNumbersResponse"]);
  });
}
