/** The .proto files with their comments, as buf reads them. */
import {
  createFileRegistry,
  type DescEnum,
  type DescEnumValue,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BUF = "node_modules/@bufbuild/buf/bin/buf";

// Numbers of fields of google.protobuf.FileDescriptorProto and its parts, of which comment paths are made.
const FILE = { messageType: 4, enumType: 5, service: 6, syntax: 12 };
const MESSAGE = { field: 2, nestedType: 3, enumType: 4 };
const ENUM_VALUE = 2;
const METHOD = 2;

/** Whatever can carry a comment. */
export type Described =
  | DescFile
  | DescService
  | DescMethod
  | DescMessage
  | DescField
  | DescEnum
  | DescEnumValue;

/** Runs `buf build` over proto/. @throws {Error} when buf finds something wrong */
export async function readProtos(): Promise<DescFile[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", BUF, "build", "--output=-#format=binpb", "--as-file-descriptor-set"],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`buf build: ${new TextDecoder().decode(stderr)}`);
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout));
  return [...registry.files].sort((a, b) => a.name < b.name ? -1 : 1);
}

/** A message and all that are declared inside it, but for the entries of maps. */
export function withNested(message: DescMessage): DescMessage[] {
  return [message, ...message.nestedMessages.flatMap(withNested)];
}

/** All enums of a file. */
export function enumsOf(file: DescFile): DescEnum[] {
  return [
    ...file.enums,
    ...file.messages.flatMap(withNested).flatMap((message) => message.nestedEnums),
  ];
}

/** Everything of a file that must have a comment, the file itself first. */
export function describedOf(file: DescFile): Described[] {
  return [
    file,
    ...file.services.flatMap((service) => [service, ...service.methods]),
    ...file.messages.flatMap(withNested).flatMap((message) => [message, ...message.fields]),
    ...enumsOf(file).flatMap((desc) => [desc, ...desc.values]),
  ];
}

function pathOf(desc: Described): number[] {
  switch (desc.kind) {
    case "file":
      return [FILE.syntax];
    case "service":
      return [FILE.service, desc.file.services.indexOf(desc)];
    case "rpc":
      return [...pathOf(desc.parent), METHOD, desc.parent.methods.indexOf(desc)];
    case "message":
      return desc.parent === undefined
        ? [FILE.messageType, desc.file.proto.messageType.indexOf(desc.proto)]
        : [
          ...pathOf(desc.parent),
          MESSAGE.nestedType,
          desc.parent.proto.nestedType.indexOf(desc.proto),
        ];
    case "field":
      return [...pathOf(desc.parent), MESSAGE.field, desc.parent.proto.field.indexOf(desc.proto)];
    case "enum":
      return desc.parent === undefined
        ? [FILE.enumType, desc.file.proto.enumType.indexOf(desc.proto)]
        : [
          ...pathOf(desc.parent),
          MESSAGE.enumType,
          desc.parent.proto.enumType.indexOf(desc.proto),
        ];
    case "enum_value":
      return [...pathOf(desc.parent), ENUM_VALUE, desc.parent.proto.value.indexOf(desc.proto)];
  }
}

function fileOf(desc: Described): DescFile {
  if (desc.kind === "file") return desc;
  return "file" in desc ? desc.file : desc.parent.file;
}

/** The full name of a file, service, message or enum, or of a member after its parent's. */
export function nameOf(desc: Described): string {
  if (desc.kind === "file") return `${desc.name}.proto`;
  return "typeName" in desc ? desc.typeName : `${desc.parent.typeName}.${desc.name}`;
}

/** The comment before something, its lines without their leading space; empty when there is none. */
export function commentOf(desc: Described): string {
  const key = pathOf(desc).join();
  const location = fileOf(desc).proto.sourceCodeInfo?.location
    .find((one) => one.path.join() === key);
  return (location?.leadingComments ?? "").replaceAll(/^ /gm, "").trim();
}
