/** Fields of a line; empty ones are left out. */
export type LogFields = Readonly<Record<string, string | number>>;

/**
 * Appends one line to the log file: time, then `key=value` pairs, values with white space quoted.
 * The file is made with mode 0640. A log that can't be written must not fail a pod: the fault is returned.
 *
 * @param path `undefined` for no log.
 * @returns why it could not be written, `undefined` when it was.
 */
export function appendLog(
  path: string | undefined,
  time: Date,
  fields: LogFields,
): string | undefined {
  if (path === undefined) return undefined;
  try {
    using file = Deno.openSync(path, { append: true, create: true, mode: 0o640 });
    file.writeSync(new TextEncoder().encode(formatLine(time, fields)));
    return undefined;
  } catch (cause) {
    return `cannot append to logFile ${path}: ${cause instanceof Error ? cause.message : cause}`;
  }
}

/** One line, with its newline; written at once, so that plugins that run at a time do not mix. */
export function formatLine(time: Date, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `${key}=${quote(String(value))}`);
  return `${time.toISOString()} ${pairs.join(" ")}\n`;
}

function quote(value: string): string {
  return /^[\x21\x23-\x7e]+$/.test(value) ? value : JSON.stringify(value);
}
