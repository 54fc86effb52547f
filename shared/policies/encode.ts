/**
 * SyncPoliciesRequest as bytes, several times as fast as by its descriptor: a request may hold 60,000
 * entries, which must not be copied into as many messages first.
 *
 * Pure.
 *
 * @module
 */

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type PolicyEntrySchema, SyncPoliciesRequestSchema } from "../gen/novanet/v1/novanet_pb.ts";
import type { Encoder } from "../rpc/client.ts";

type Entry = MessageInitShape<typeof PolicyEntrySchema>;
type Request = MessageInitShape<typeof SyncPoliciesRequestSchema>;
/** What a decoder leaves in messages, and which is encoded again. */
interface Unknown {
  readonly $unknown?: unknown;
}

/** More than any entry takes: nine numbers of at most five bytes, tags of one or two, tag and length. */
const MOST_ENTRY_BYTES = 64;
/** What most entries take at most. */
const USUAL_ENTRY_BYTES = 32;
const POLICIES_TAG = 1 << 3 | 2;
const MORE = 0x80;
const MAX_ENUM = 2 ** 31 - 1;
const ENTRY_TYPE = "novanet.v1.PolicyEntry";

/** Writes entries one after the other. */
class EntryWriter {
  #bytes: Uint8Array;
  #at = 0;

  constructor(entries: number) {
    this.#bytes = new Uint8Array(entries * USUAL_ENTRY_BYTES + MOST_ENTRY_BYTES);
  }

  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** @returns whether it could: not when a field has a value that its type does not have */
  entry(entry: Entry & Unknown): boolean {
    const { $typeName, $unknown, srcIdentity = 0, dstIdentity = 0, protocol = 0 } = entry;
    const { dstPort = 0, action = 0, direction = 0, portPrefixLen = 0, ruleId = 0 } = entry;
    const { isolation = false } = entry;
    const isGood = isU32(srcIdentity) && isU32(dstIdentity) && isU32(protocol) && isU32(dstPort) &&
      isU32(action) && action <= MAX_ENUM && isU32(direction) && direction <= MAX_ENUM &&
      isU32(portPrefixLen) && isU32(ruleId) && typeof isolation === "boolean" &&
      $unknown === undefined && ($typeName === undefined || $typeName === ENTRY_TYPE);
    if (!isGood) return false;
    if (this.#bytes.length - this.#at < MOST_ENTRY_BYTES) this.#grow();
    this.#bytes[this.#at] = POLICIES_TAG;
    this.#at += 2;
    const from = this.#at;
    this.#field(1, srcIdentity);
    this.#field(2, dstIdentity);
    this.#field(3, protocol);
    this.#field(4, dstPort);
    this.#field(5, action);
    this.#field(100, direction);
    this.#field(101, portPrefixLen);
    this.#field(102, isolation ? 1 : 0);
    this.#field(103, ruleId);
    this.#bytes[from - 1] = this.#at - from;
    return true;
  }

  #field(number: number, value: number): void {
    if (value === 0) return;
    this.#varint(number << 3);
    this.#varint(value);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= MORE) {
      this.#bytes[this.#at++] = rest & 0x7f | MORE;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  #grow(): void {
    const bigger = new Uint8Array(this.#bytes.length * 2);
    bigger.set(this.#bytes);
    this.#bytes = bigger;
  }
}

function isU32(value: number): boolean {
  return value >>> 0 === value;
}

/**
 * Encodes a request.
 *
 * @returns the bytes that `toBinary(create(...))` gives; undefined when that would fail, or differ
 */
export function encodeSyncPolicies(request: Request & Unknown): Uint8Array | undefined {
  const { $unknown, policies = [], cidrIdentities = [], ruleNames = {} } = request;
  if ($unknown !== undefined) return undefined;
  const writer = new EntryWriter(policies.length);
  for (const entry of policies) if (!writer.entry(entry)) return undefined;
  // Fields stand in the order of their numbers, and that of the entries is the first.
  const others = create(SyncPoliciesRequestSchema, { cidrIdentities, ruleNames });
  const rest = toBinary(SyncPoliciesRequestSchema, others);
  const { written } = writer;
  const bytes = new Uint8Array(written.length + rest.length);
  bytes.set(written);
  bytes.set(rest, written.length);
  return bytes;
}

/** For clients of DataplaneControl that send whole sets. */
export const POLICY_ENCODERS: ReadonlyMap<typeof SyncPoliciesRequestSchema, Encoder> = new Map([
  [SyncPoliciesRequestSchema, (request: object) => encodeSyncPolicies(request)],
]);
