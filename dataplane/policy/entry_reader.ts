/**
 * Reads the policy entries of a request from its bytes, without making an object of each: a request may
 * hold 60,000 of them. It reads what encoders of protobuf write. What they need not write that way, such as
 * numbers in more bytes than needed, it leaves to the general decoder, and so it never differs from that.
 *
 * Pure.
 *
 * @module
 */

import { checkAction, type PolicyKeyFields, policyKeyWords } from "./policy_entry.ts";
import type { PolicyTable } from "./policy_table.ts";

/** The first byte of a field: number 1, length-delimited. All requests have their entries there. */
const ENTRIES_TAG = 1 << 3 | 2;
/** The second byte of the tags of fields 100 to 103; the first tells which. */
const HUNDREDS = 100 << 3 >>> 7;
const LENGTH_DELIMITED = 2;
const MORE = 0x80;

/** Tags of an entry's fields: number and wire type, of two bytes from 100 up. */
enum Tag {
  SRC_IDENTITY = 1 << 3,
  DST_IDENTITY = 2 << 3,
  PROTOCOL = 3 << 3,
  DST_PORT = 4 << 3,
  ACTION = 5 << 3,
  DIRECTION = 100 << 3 & 0x7f | MORE,
  PORT_PREFIX_LEN = 101 << 3 & 0x7f | MORE,
  ISOLATION = 102 << 3 & 0x7f | MORE,
  RULE_ID = 103 << 3 & 0x7f | MORE,
}

/** The bytes are not what this reader reads; they may be good nevertheless. */
class UnusualBytes extends Error {
  override readonly name = "UnusualBytes";
}

/** Reads fields one after the other. */
class FieldReader implements PolicyKeyFields {
  readonly #bytes: Uint8Array;
  /** Where the next byte stands. */
  at: number;
  srcIdentity = 0;
  dstIdentity = 0;
  protocol = 0;
  dstPort = 0;
  action = 0;
  direction = 0;
  portPrefixLen = 0;
  isolation = false;
  ruleId = 0;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** A number of up to 32 bits. */
  varint(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.at++] as number;
    if (byte < MORE) return byte;
    let value = byte & 0x7f;
    for (let shift = 7; shift <= 28; shift += 7) {
      byte = bytes[this.at++] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < MORE) {
        if (shift === 28 && byte > 0xf) break;
        return value >>> 0;
      }
    }
    throw new UnusualBytes();
  }

  /** Reads an entry that ends at `end`. */
  entry(end: number): void {
    this.srcIdentity =
      this.dstIdentity =
      this.protocol =
      this.dstPort =
      this.action =
        0;
    this.direction = this.portPrefixLen = this.ruleId = 0;
    this.isolation = false;
    while (this.at < end) this.#field();
    if (this.at !== end) throw new UnusualBytes();
  }

  #field(): void {
    const tag = this.#bytes[this.at++] as Tag;
    if (tag >= MORE && this.#bytes[this.at++] !== HUNDREDS) throw new UnusualBytes();
    const value = this.varint();
    switch (tag) {
      case Tag.SRC_IDENTITY:
        this.srcIdentity = value;
        return;
      case Tag.DST_IDENTITY:
        this.dstIdentity = value;
        return;
      case Tag.PROTOCOL:
        this.protocol = value;
        return;
      case Tag.DST_PORT:
        this.dstPort = value;
        return;
      case Tag.ACTION:
        this.action = value;
        return;
      case Tag.DIRECTION:
        this.direction = value;
        return;
      case Tag.PORT_PREFIX_LEN:
        this.portPrefixLen = value;
        return;
      case Tag.ISOLATION:
        this.isolation = value !== 0;
        return;
      case Tag.RULE_ID:
        this.ruleId = value;
        return;
      default:
        throw new UnusualBytes();
    }
  }
}

/** What {@linkcode readEntries} found. */
export interface ReadEntries {
  /** The fields of the request that are no entries, as bytes. */
  readonly rest: Uint8Array;
}

/**
 * Reads the entries of a request, or of some whole fields of it, and checks them.
 *
 * @param table Takes them.
 * @returns undefined when the general decoder has to look: something is unusual, wrong, or there twice.
 *   The table is of no use then.
 */
export function readEntries(bytes: Uint8Array, table: PolicyTable): ReadEntries | undefined {
  const reader = new FieldReader(bytes, 0);
  const rest: Uint8Array[] = [];
  try {
    while (reader.at < bytes.length) {
      const from = reader.at;
      const isEntry = bytes[from] === ENTRIES_TAG;
      const end = fieldEnd(bytes, reader);
      if (!isEntry) {
        rest.push(bytes.subarray(from, end));
        reader.at = end;
        continue;
      }
      const { size } = table;
      reader.entry(end);
      checkAction(reader.action, reader.isolation);
      table.set(...policyKeyWords(reader), reader.action, reader.ruleId);
      if (table.size === size) return undefined;
    }
  } catch {
    // Wrong entries end here too: the general decoder's caller says what is wrong with them, and where.
    return undefined;
  }
  return { rest: joined(rest) };
}

/**
 * Cuts from two requests the fields that they have in common at their beginnings and ends.
 *
 * @returns the whole fields between, of each; undefined when the general decoder has to look.
 */
export function differingFields(
  before: Uint8Array,
  after: Uint8Array,
): { readonly before: Uint8Array; readonly after: Uint8Array } | undefined {
  const [left, right] = [new FieldReader(before, 0), new FieldReader(after, 0)];
  const same = commonBeginning(before, after);
  try {
    let from = 0;
    for (let end = 0; end <= same && from < before.length;) {
      from = left.at = end;
      if (from < before.length) end = fieldEnd(before, left);
      left.at = end;
    }
    const sameEnd = commonEnd(before, after, from);
    [left.at, right.at] = [from, from];
    for (;;) {
      const [leftOver, rightOver] = [before.length - left.at, after.length - right.at];
      if (leftOver === rightOver && leftOver <= sameEnd) break;
      if (leftOver >= rightOver) left.at = fieldEnd(before, left);
      else right.at = fieldEnd(after, right);
    }
    return { before: before.subarray(from, left.at), after: after.subarray(from, right.at) };
  } catch {
    return undefined;
  }
}

/** Whether two requests are the same: a word at a time, since they may have megabytes. */
export function sameRequest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && commonBeginning(a, b) === a.length;
}

/** Where the length-delimited field at the reader's place ends; the reader then stands at its content. */
function fieldEnd(bytes: Uint8Array, reader: FieldReader): number {
  if ((reader.varint() & 7) !== LENGTH_DELIMITED) throw new UnusualBytes();
  const length = reader.varint();
  const end = reader.at + length;
  if (end > bytes.length) throw new UnusualBytes();
  return end;
}

const WORD = 4;

function commonBeginning(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  const [left, right] = [wordsOf(a), wordsOf(b)];
  let at = 0;
  while (at + WORD <= most && left.getInt32(at) === right.getInt32(at)) at += WORD;
  while (at < most && a[at] === b[at]) at++;
  return at;
}

/** @param from Where the common beginning ends: the ends do not reach into it. */
function commonEnd(a: Uint8Array, b: Uint8Array, from: number): number {
  const most = Math.min(a.length, b.length) - from;
  const [left, right] = [wordsOf(a), wordsOf(b)];
  let count = 0;
  while (
    count + WORD <= most &&
    left.getInt32(a.length - count - WORD) === right.getInt32(b.length - count - WORD)
  ) count += WORD;
  while (count < most && a[a.length - count - 1] === b[b.length - count - 1]) count++;
  return count;
}

function wordsOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
