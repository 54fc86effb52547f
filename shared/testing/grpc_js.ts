import { Buffer } from "node:buffer";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import type { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { methodPath } from "../rpc/service.ts";

const asBuffer = (bytes: Buffer) => bytes;

/** @returns a message of this type, encoded. */
export function encoded<I extends DescMessage>(desc: I, init: MessageInitShape<I>): Buffer {
  return Buffer.from(toBinary(desc, create(desc, init)));
}

/** A client by grpc-js, an implementation of gRPC that is not ours: what a stranger's client does must work. */
export class GrpcJs extends grpc.Client implements Disposable {
  constructor(socketPath: string) {
    super(`unix:${socketPath}`, grpc.credentials.createInsecure());
  }

  /** Makes a unary call. @throws {grpc.ServiceError} */
  unary(method: DescMethod, request: Buffer, deadlineMs = 5000): Promise<Buffer> {
    return new Promise((resolve, reject) =>
      this.makeUnaryRequest(
        methodPath(method),
        asBuffer,
        asBuffer,
        request,
        { deadline: Date.now() + deadlineMs },
        (error, answer) => error ? reject(error) : resolve(answer as Buffer),
      )
    );
  }

  /** Begins a stream of answers. */
  serverStream(method: DescMethod, request: Buffer): grpc.ClientReadableStream<Buffer> {
    return this.makeServerStreamRequest(methodPath(method), asBuffer, asBuffer, request);
  }

  /** Begins a stream in both directions. */
  bidi(method: DescMethod): grpc.ClientDuplexStream<Buffer, Buffer> {
    return this.makeBidiStreamRequest(methodPath(method), asBuffer, asBuffer);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Asks server reflection the questions on one stream. @returns the answers, in order */
export async function askReflection(
  socketPath: string,
  service: typeof ServerReflection | typeof ServerReflectionAlpha,
  questions: readonly MessageInitShape<typeof ServerReflection.method.serverReflectionInfo.input>[
    "messageRequest"
  ][],
) {
  using client = new GrpcJs(socketPath);
  const { input, output } = ServerReflection.method.serverReflectionInfo;
  const stream = client.bidi(service.method.serverReflectionInfo);
  for (const messageRequest of questions) {
    stream.write(encoded(input, { messageRequest: messageRequest! }));
  }
  stream.end();
  const answers = [];
  for await (const bytes of stream) {
    answers.push(fromBinary(output, bytes as Buffer).messageResponse);
  }
  return answers;
}
