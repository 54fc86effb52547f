/** @returns RFC 3339 in UTC with nanoseconds. @param unixNs since 1970-01-01. */
export function rfc3339(unixNs: bigint): string {
  const [ms, ns] = divide(unixNs);
  return new Date(ms).toISOString().replace("Z", `${String(ns).padStart(6, "0")}Z`);
}

/** @returns the time of day in UTC as 15:04:05.000. @param unixNs since 1970-01-01. */
export function clock(unixNs: bigint): string {
  return new Date(divide(unixNs)[0]).toISOString().slice(11, 23);
}

/** Milliseconds, and the nanoseconds after them. */
function divide(unixNs: bigint): [number, number] {
  const ns = ((unixNs % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return [Number((unixNs - ns) / 1_000_000n), Number(ns)];
}
