import { Buffer } from "node:buffer";
import type { MethodDefinition } from "@grpc/grpc-js";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponseSchema,
} from "../../shared/gen/grpc/health/v1/health_pb.ts";

/** grpc.health.v1.Health/Check as grpc-js wants to have a method described. */
export const HEALTH_CHECK: MethodDefinition<{ service: string }, { status: number }> = {
  path: "/grpc.health.v1.Health/Check",
  requestStream: false,
  responseStream: false,
  requestSerialize: (value) =>
    Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, value))),
  requestDeserialize: (bytes) => fromBinary(HealthCheckRequestSchema, bytes),
  responseSerialize: (value) =>
    Buffer.from(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, value))),
  responseDeserialize: (bytes): HealthCheckResponse => fromBinary(HealthCheckResponseSchema, bytes),
};
