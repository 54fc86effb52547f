import { create, type DescField, type DescMessage, ScalarType, toBinary } from "@bufbuild/protobuf";
import type { SeededRandom } from "../../shared/testing/seeded_random.ts";

const MOST_ITEMS = 4;
const DEEPEST = 4;
const NUMBERS = [0, 1, 2, 6, 17, 53, 80, 128, 255, 256, 65535, 65536, 0x0af40002, 0x7fffffff];

/**
 * Bytes of a message whose fields are of the right types.
 * @param texts what strings are taken from
 */
export function randomMessage(
  desc: DescMessage,
  random: SeededRandom,
  texts: readonly string[],
): Uint8Array {
  return toBinary(desc, create(desc, fields(desc, { random, texts }, 0)));
}

interface Source {
  readonly random: SeededRandom;
  readonly texts: readonly string[];
}

function fields(desc: DescMessage, source: Source, depth: number): Record<string, unknown> {
  const { random } = source;
  const record: Record<string, unknown> = {};
  for (const field of desc.fields) {
    if (field.oneof !== undefined && field.oneof.fields[0] !== field) continue;
    if (random.below(5) === 0) continue;
    const value = fieldValue(field, source, depth);
    if (field.oneof === undefined) record[field.localName] = value;
    else record[field.oneof.localName] = { case: field.localName, value };
  }
  return record;
}

function fieldValue(field: DescField, source: Source, depth: number): unknown {
  const { random } = source;
  const single = () => singleValue(field, source, depth);
  switch (field.fieldKind) {
    case "list":
      return Array.from({ length: random.below(MOST_ITEMS) }, single);
    case "map":
      return Object.fromEntries(
        Array.from({ length: random.below(MOST_ITEMS) }, () => [
          scalarValue(field.mapKey, source),
          single(),
        ]),
      );
    default:
      return single();
  }
}

function singleValue(field: DescField, source: Source, depth: number): unknown {
  if (field.message !== undefined) {
    return depth >= DEEPEST ? {} : fields(field.message, source, depth + 1);
  }
  if (field.enum !== undefined) {
    const values = field.enum.values;
    return values[source.random.below(values.length)]?.number ?? 0;
  }
  return scalarValue(field.scalar ?? ScalarType.STRING, source);
}

function scalarValue(type: ScalarType, { random, texts }: Source): unknown {
  const number = NUMBERS[random.below(NUMBERS.length)]!;
  switch (type) {
    case ScalarType.STRING:
      return texts[random.below(texts.length)]!;
    case ScalarType.BYTES:
      return random.bytes([0, 4, 6, 6, 6, 16][random.below(6)]!);
    case ScalarType.BOOL:
      return random.below(2) === 0;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return random.below(1000) / 10;
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return BigInt(number);
    default:
      return number;
  }
}
