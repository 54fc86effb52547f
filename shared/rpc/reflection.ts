/** The answers of gRPC server reflection, v1 and v1alpha, from the descriptors of the services. */
import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import type {
  ServerReflection,
  ServerReflectionRequest,
} from "../gen/grpc/reflection/v1/reflection_pb.ts";
import type { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { notFound, RpcCode, type RpcError, toRpcError, unimplemented } from "./errors.ts";
import type { ServiceImpl } from "./service.ts";

/** A file and all that it imports, each before those that need it. */
function withImports(file: DescFile, into: Set<DescFile> = new Set()): Set<DescFile> {
  for (const dependency of file.dependencies) withImports(dependency, into);
  return into.add(file);
}

type Question = ServerReflectionRequest["messageRequest"];

/** Answers questions about a list of services. */
export class Reflection {
  readonly #services: () => readonly DescService[];

  /** @param services asked at every question, since services may be added later */
  constructor(services: () => readonly DescService[]) {
    this.#services = services;
  }

  /** Handlers of grpc.reflection.v1.ServerReflection. */
  readonly v1: ServiceImpl<typeof ServerReflection> = {
    serverReflectionInfo: (requests) => this.#answers(requests),
  };

  /** Handlers of grpc.reflection.v1alpha.ServerReflection: the same fields under another package name. */
  readonly v1alpha = this.v1 as unknown as ServiceImpl<typeof ServerReflectionAlpha>;

  async *#answers(requests: AsyncIterable<ServerReflectionRequest>) {
    for await (const request of requests) {
      const { host, messageRequest } = request;
      yield {
        validHost: host,
        originalRequest: { host, messageRequest },
        messageResponse: this.#answer(messageRequest),
      };
    }
  }

  #answer(question: Question) {
    try {
      return this.#found(question);
    } catch (thrown) {
      return errorAnswer(toRpcError(thrown));
    }
  }

  #found(question: Question) {
    switch (question.case) {
      case "listServices": {
        const names = this.#services().map((service) => service.typeName).sort();
        const service = names.map((name) => ({ name }));
        return { case: "listServicesResponse" as const, value: { service } };
      }
      case "fileByFilename":
        return this.#fileAnswer(
          this.#files().find((file) => `${file.name}.proto` === question.value),
          `file ${JSON.stringify(question.value)}`,
        );
      case "fileContainingSymbol":
        return this.#fileAnswer(
          this.#fileOf(question.value),
          `symbol ${JSON.stringify(question.value)}`,
        );
      case "allExtensionNumbersOfType": {
        const baseTypeName = question.value;
        if (this.#fileOf(baseTypeName) === undefined) throw notFound(`message "${baseTypeName}"`);
        return {
          case: "allExtensionNumbersResponse" as const,
          value: { baseTypeName, extensionNumber: [] },
        };
      }
      case "fileContainingExtension":
        throw notFound(
          `extension ${question.value.extensionNumber} of "${question.value.containingType}"`,
        );
      default:
        throw unimplemented("this question");
    }
  }

  #files(): DescFile[] {
    const files = new Set<DescFile>();
    for (const service of this.#services()) withImports(service.file, files);
    return [...files];
  }

  #fileOf(symbol: string): DescFile | undefined {
    return this.#files().find((file) =>
      [...symbolsOf(file.proto)].some((name) => `${file.proto.package}.${name}` === symbol)
    );
  }

  #fileAnswer(file: DescFile | undefined, what: string) {
    if (file === undefined) throw notFound(what);
    const fileDescriptorProto = [...withImports(file)].reverse().map((one) =>
      toBinary(FileDescriptorProtoSchema, one.proto)
    );
    return { case: "fileDescriptorResponse" as const, value: { fileDescriptorProto } };
  }
}

/** All that a file declares, named relative to its package. */
function* symbolsOf(file: FileDescriptorProto): Generator<string> {
  for (const message of file.messageType) yield* symbolsOfMessage(message, "");
  for (const desc of file.enumType) yield* symbolsOfEnum(desc, "");
  for (const service of file.service) {
    yield service.name;
    for (const method of service.method) yield `${service.name}.${method.name}`;
  }
}

function* symbolsOfMessage(message: DescriptorProto, scope: string): Generator<string> {
  yield scope + message.name;
  const inner = `${scope}${message.name}.`;
  for (const member of [...message.field, ...message.oneofDecl]) yield inner + member.name;
  for (const nested of message.nestedType) yield* symbolsOfMessage(nested, inner);
  for (const desc of message.enumType) yield* symbolsOfEnum(desc, inner);
}

/** The values of an enum stand beside it, not in it. */
function* symbolsOfEnum(desc: EnumDescriptorProto, scope: string): Generator<string> {
  yield scope + desc.name;
  for (const value of desc.value) yield scope + value.name;
}

function errorAnswer(error: RpcError) {
  const errorCode: number = error.code === RpcCode.OK ? RpcCode.UNKNOWN : error.code;
  return { case: "errorResponse" as const, value: { errorCode, errorMessage: error.message } };
}
