/**
 * Logs of all daemons: one line a record on stderr, as text or as JSON.
 *
 * The only file that knows the logging library. Values of fields whose name says that they are
 * secret (token, password, key, ...) never reach the output.
 *
 * @module
 */
import { configureSync, getLogger as getLogtapeLogger, type LogRecord } from "@logtape/logtape";

/** Severities, least first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** One of {@linkcode LOG_LEVELS}. */
export type LogLevel = typeof LOG_LEVELS[number];

/** Named values beside the message. Nested objects are written as JSON. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes records of one area of a program. */
export interface Logger {
  /** For developers. */
  debug(message: string, fields?: LogFields): void;
  /** What an operator wants to see of a healthy program. */
  info(message: string, fields?: LogFields): void;
  /** Something is wrong, the program goes on. */
  warn(message: string, fields?: LogFields): void;
  /** Something failed. */
  error(message: string, fields?: LogFields): void;
}

/** Options of {@linkcode configureLogging}. */
export interface LoggingOptions {
  /** Records below this level are not written. */
  readonly level: LogLevel;
  /** `text` for people, `json` for collectors: one object a line. Default: `text`. */
  readonly format?: "text" | "json";
  /** Receives whole lines, newline included. Default: stderr. */
  readonly write?: (line: string) => void;
}

/** Sets level, format and destination for the whole process; may be called again. */
export function configureLogging(options: LoggingOptions): void {
  const format = options.format === "json" ? formatJson : formatText;
  const write = options.write ?? writeToStderr;
  configureSync({
    reset: true,
    sinks: { line: (record) => write(`${format(record)}\n`) },
    loggers: [
      {
        category: [],
        sinks: ["line"],
        lowestLevel: options.level === "warn" ? "warning" : options.level,
      },
      { category: ["logtape", "meta"], sinks: ["line"], lowestLevel: "warning" },
    ],
  });
}

/**
 * A logger whose records carry `area`.
 *
 * @param area Part of the program, `/` between the levels, such as `dataplane/policy`.
 */
export function getLogger(area: string): Logger {
  const logger = getLogtapeLogger(area.split("/"));
  return {
    debug: (message, fields) => logger.debug(message, { ...fields }),
    info: (message, fields) => logger.info(message, { ...fields }),
    warn: (message, fields) => logger.warn(message, { ...fields }),
    error: (message, fields) => logger.error(message, { ...fields }),
  };
}

const encoder = new TextEncoder();

/** A log line that cannot be written is lost: a closed stderr must not stop a daemon. */
function writeToStderr(line: string): void {
  const bytes = encoder.encode(line);
  try {
    for (let written = 0; written < bytes.length;) {
      written += Deno.stderr.writeSync(bytes.subarray(written));
    }
  } catch {
    return;
  }
}

const SECRET_NAME = /pass(word|wd|phrase)|secret|token|credential|authorization|private_?key/i;

function plain(name: string, value: unknown): unknown {
  if (SECRET_NAME.test(name)) return "[secret]";
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Error) return describeError(value);
  return value;
}

/** The message of an error and of all its causes, which is what a log line has room for. */
function describeError(error: Error): string {
  const text = `${error.name}: ${error.message}`;
  return error.cause instanceof Error ? `${text} (cause: ${describeError(error.cause)})` : text;
}

function levelName(record: LogRecord): string {
  return record.level === "warning" ? "warn" : record.level;
}

function messageOf(record: LogRecord): string {
  return typeof record.rawMessage === "string" ? record.rawMessage : record.rawMessage.join("");
}

function formatJson(record: LogRecord): string {
  const head = {
    time: new Date(record.timestamp).toISOString(),
    level: levelName(record),
    area: record.category.join("/"),
    message: messageOf(record),
  };
  // The head stands first in the line and wins over fields of the same name.
  return JSON.stringify({ ...head, ...record.properties, ...head }, plain);
}

function formatText(record: LogRecord): string {
  const fields = Object.entries(record.properties)
    .map(([name, value]) => ` ${name}=${formatValue(plain(name, value))}`).join("");
  const head = `${new Date(record.timestamp).toISOString()} ${levelName(record).padEnd(5)}`;
  return `${head} ${record.category.join("/")}: ${oneLine(messageOf(record))}${fields}`;
}

function oneLine(text: string): string {
  return text.replaceAll("\n", "\\n");
}

function formatValue(value: unknown): string {
  if (typeof value === "string") {
    return /^[\w.:/@%+-]+$/.test(value) ? value : JSON.stringify(value);
  }
  return JSON.stringify(value, plain) ?? "undefined";
}
