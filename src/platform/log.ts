// Structured log lines on standard error: JSON for machines, short coloured lines for a person at a terminal.
//
// G1. Logging never blocks the event loop and never throws: what a full or closed pipe does not take is dropped and
//     counted, and the count is logged as soon as there is room again.

import type { Counter, Fields, Log, Meter } from "../host/index.ts";
import { lineSink, type LineSink } from "./line-sink.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";
export type LogOptions = {
  /** Defaults to "info". */
  readonly level?: LogLevel | undefined;
  /** Defaults to "text" on a terminal, "json" elsewhere. */
  readonly format?: "json" | "text" | undefined;
  /** A file descriptor; standard error by default. */
  readonly fd?: number | undefined;
  /** Put into every line, such as the node's id. */
  readonly fields?: Fields | undefined;
  /** Where dropped lines are counted. */
  readonly meter?: Meter | undefined;
};

const levels = ["debug", "info", "warn", "error", "silent"] as const;
const maxLineCharacters = 16_384;
const maxDepth = 6;

/** A value as JSON can hold it. Never throws: a log line about a broken value must still be written. */
function plain(value: unknown, depth = 0): unknown {
  if (typeof value === "bigint" || typeof value === "symbol") return String(value);
  if (typeof value === "function") return "[function]";
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (depth >= maxDepth) return "[deep]";
  try {
    if (value instanceof Date) return String(value);
    if (value instanceof Error) {
      const { code } = value as { code?: unknown };
      const cause = value.cause === undefined ? {} : { cause: plain(value.cause, depth + 1) };
      return {
        message: value.message,
        ...(code === undefined ? {} : { code: plain(code, depth + 1) }),
        stack: value.stack,
        ...cause,
      };
    }
    if (Array.isArray(value)) return value.slice(0, 100).map((item) => plain(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value)
        .slice(0, 100)
        .map(([key, item]) => [key, plain(item, depth + 1)]),
    );
  } catch {
    return "[unreadable]";
  }
}

function asJson(level: LogLevel, message: string, fields: Fields): string {
  const line = JSON.stringify({ time: new Date().toISOString(), level, message, ...(plain(fields) as object) });
  if (line.length <= maxLineCharacters) return line;
  return JSON.stringify({
    time: new Date().toISOString(),
    level,
    message: message.slice(0, maxLineCharacters / 4),
    truncated: true,
  });
}

const colours: Readonly<Record<string, string>> = { debug: "\x1b[2m", info: "", warn: "\x1b[33m", error: "\x1b[31m" };
/** Control characters could move the cursor or hide text on a terminal. */
// oxlint-disable-next-line no-control-regex
const printable = (text: string): string =>
  text.replace(/[\x00-\x1f\x7f-\x9f]/g, (c) => JSON.stringify(c).slice(1, -1));

function asText(level: LogLevel, message: string, fields: Fields): string {
  const parts = [
    new Date().toTimeString().slice(0, 8),
    `${colours[level] ?? ""}${level.padEnd(5)}`,
    printable(message),
  ];
  for (const [name, value] of Object.entries(plain(fields) as Fields)) {
    if (value === undefined) continue;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    parts.push(`\x1b[2m${printable(name)}=\x1b[22m${printable(text)}`);
  }
  return `${parts.join(" ").slice(0, maxLineCharacters)}\x1b[0m`;
}

export function realLog(options: LogOptions & { readonly sink?: LineSink | undefined } = {}): Log {
  const least = levels.indexOf(options.level ?? "info");
  const sink = options.sink ?? lineSink(options.fd ?? 2);
  const format = (options.format ?? (sink.terminal ? "text" : "json")) === "json" ? asJson : asText;
  const dropped: Counter | undefined = options.meter?.counter(
    "sheaf_log_dropped_lines",
    "Log lines that standard error did not take.",
  );
  let missing = 0;

  const at =
    (level: Exclude<LogLevel, "silent">) =>
    (message: string, fields: Fields = {}): void => {
      if (levels.indexOf(level) < least) return;
      const all = options.fields ? { ...options.fields, ...fields } : fields;
      if (missing > 0 && sink.write(format("warn", "log lines were dropped", { lines: missing }))) missing = 0;
      if (missing === 0 && sink.write(format(level, message, all))) return;
      missing++;
      dropped?.add();
    };

  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
