/** A kernel table that has no room. */

import { isErrno } from "../../shared/ffi/errno.ts";
import { RpcCode } from "../../shared/rpc/errors.ts";

/** Nothing more fits into a table; nothing was changed. */
export class TableFullError extends Error {
  override readonly name = "TableFullError";
  readonly rpcCode = RpcCode.RESOURCE_EXHAUSTED;

  /**
   * @param table Name of the map.
   * @param maxEntries Entries that fit.
   */
  constructor(readonly table: string, readonly maxEntries: number, options?: ErrorOptions) {
    super(`${table} is full: it holds at most ${maxEntries} entries`, options);
  }
}

/**
 * Runs a map write and names the table when it is full.
 *
 * @throws TableFullError; else what `write` throws.
 */
export function namingFullTable<T>(table: string, maxEntries: number, write: () => T): T {
  try {
    return write();
  } catch (error) {
    // Hashes answer E2BIG, or ENOMEM when the memory for one more is missing; tries answer ENOSPC.
    const full = isErrno(error, "E2BIG") || isErrno(error, "ENOSPC") || isErrno(error, "ENOMEM");
    if (full) throw new TableFullError(table, maxEntries, { cause: error });
    throw error;
  }
}
