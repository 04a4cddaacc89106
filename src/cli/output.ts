// The output contract: data on stdout, everything else on stderr. The same data is a table for a person, tab-separated
// lines for a pipe, a JSON document with --json, identifiers with --quiet.

import { SheafError } from "../base/index.ts";
import type { Flags } from "./flags.ts";
import { printable, type Paint, type Style, type Terminal } from "./terminal.ts";

export type Column<Row> = {
  readonly title: string;
  readonly value: (row: Row) => string | number | boolean | null | undefined;
  readonly align?: "left" | "right";
  readonly style?: (row: Row) => Style | undefined;
};

export type Listing<Row> = {
  readonly columns: readonly Column<Row>[];
  /** What --quiet prints. */
  readonly id: (row: Row) => string;
  /** Where the next page starts; null on the last. */
  readonly next?: string | null;
  /** Said on stderr when there are no rows. */
  readonly empty?: string;
};

export interface Output {
  readonly flags: Flags;
  readonly terminal: Terminal;
  /** One thing. `schema` is like "sheaf.status/v1". */
  one(schema: string, value: unknown, text: (paint: Paint) => string, id?: string): void;
  list<Row>(schema: string, rows: readonly Row[], listing: Listing<Row>): void;
  /** One item of a stream: a line of NDJSON with --json. */
  item(schema: string, value: unknown, text: (paint: Paint) => string): void;
  /** A remark for people, on stderr; silent with --quiet or --json. */
  note(text: string): void;
  /** Said on stderr, and in `warnings` of the JSON document that follows. */
  warn(text: string): void;
}

export function createOutput(flags: Flags, terminal: Terminal): Output {
  const warnings: string[] = [];
  const document = (schema: string, value: unknown, next: string | null): void => {
    terminal.out.write(`${JSON.stringify({ schema, data: pick(value, flags.fields), next, warnings })}\n`);
  };
  const line = (text: string): void => terminal.out.write(text.endsWith("\n") ? text : `${text}\n`);
  return {
    flags,
    terminal,
    one(schema, value, text, id) {
      if (flags.json) return document(schema, value, null);
      if (!flags.quiet) return line(text(terminal.out.paint));
      if (id !== undefined) line(printable(id));
    },
    list(schema, rows, listing) {
      if (flags.json) return document(schema, rows, listing.next ?? null);
      if (flags.quiet) return rows.forEach((row) => line(printable(listing.id(row))));
      if (rows.length === 0 && listing.empty !== undefined) terminal.err.write(`${listing.empty}\n`);
      if (rows.length > 0) line(table(rows, listing.columns, terminal));
    },
    item(schema, value, text) {
      if (flags.json) terminal.out.write(`${JSON.stringify({ schema, data: pick(value, flags.fields) })}\n`);
      else if (!flags.quiet) line(text(terminal.out.paint));
    },
    note(text) {
      if (!flags.quiet && !flags.json) terminal.err.write(`${text}\n`);
    },
    warn(text) {
      warnings.push(text);
      if (!flags.json) terminal.err.write(`${terminal.err.paint("yellow", "▲")} ${text}\n`);
    },
  };
}

/** Only the named fields, of one object or of each in a list. Rejects USAGE for a field the data does not have. */
function pick(value: unknown, fields: readonly string[] | undefined): unknown {
  if (fields === undefined) return value;
  if (Array.isArray(value)) return value.map((item) => pick(item, fields));
  if (typeof value !== "object" || value === null) return value;
  const found = value as Record<string, unknown>;
  const unknown = fields.find((name) => !Object.hasOwn(found, name));
  if (unknown !== undefined) {
    const hint = `Fields: ${Object.keys(found).join(", ")}`;
    throw new SheafError("USAGE", `the data has no field "${unknown}"`, { hint });
  }
  return Object.fromEntries(fields.map((name) => [name, found[name]]));
}

/** Aligned with a heading for a person; the same columns, tab-separated and bare, for a pipe. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], terminal: Terminal): string {
  const { tty, paint } = terminal.out;
  const cells = rows.map((row) => columns.map((column) => cell(column.value(row))));
  if (!tty) return cells.map((row) => row.map((text) => text.replaceAll("\t", " ")).join("\t")).join("\n");
  const widths = columns.map((column, i) => Math.max(column.title.length, ...cells.map((row) => [...row[i]!].length)));
  const fit = (text: string, i: number): string => {
    const space = " ".repeat(widths[i]! - [...text].length);
    return columns[i]!.align === "right" ? space + text : text + space;
  };
  const heading = columns.map((column, i) => paint("dim", fit(column.title.toUpperCase(), i)));
  const body = cells.map((row, n) =>
    row.map((text, i) => {
      const style = columns[i]!.style?.(rows[n]!);
      return style === undefined ? fit(text, i) : paint(style, fit(text, i));
    }),
  );
  return [heading, ...body].map((row) => row.join("  ").trimEnd()).join("\n");
}

function cell(value: string | number | boolean | null | undefined): string {
  return value === null || value === undefined ? "-" : printable(String(value)).replaceAll("\n", "\\n");
}
