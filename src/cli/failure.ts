// How a failure is told: what happened, why, what to do, where to read; one per run, never a stack unless --debug.
// Exit codes come from the catalogue.

import { asSheafError, catalogue, type SheafError } from "../base/index.ts";
import type { Flags } from "./flags.ts";
import { printable, type Terminal } from "./terminal.ts";

/** Thrown to end with a code and nothing more to say: the command has already printed what it found. */
export class Exit extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

/** Prints the failure on stderr and returns the exit code. */
export function report(error: unknown, flags: Flags, terminal: Terminal): number {
  if (error instanceof Exit) return error.code;
  const failure = asSheafError(error);
  terminal.err.write(flags.json ? `${JSON.stringify({ error: toJson(failure) })}\n` : `${toText(failure, terminal)}\n`);
  if (flags.debug) terminal.err.write(`\n${stack(error)}\n`);
  return catalogue[failure.code].exit;
}

function toJson(failure: SheafError): Record<string, unknown> {
  return {
    code: failure.code,
    message: failure.message,
    hint: failure.hint ?? null,
    docs: `sheaf help ${failure.code}`,
    retryable: failure.retry !== "never",
    outcome: failure.outcome,
    details: {
      retry: failure.retry,
      retryAfterMs: failure.retryAfterMs ?? null,
      issues: failure.issues ?? [],
      name: failure.error ?? null,
      data: failure.data ?? null,
    },
  };
}

const outcomes = {
  applied: "It took effect.",
  "not-applied": "Nothing was changed.",
  unknown:
    "It may or may not have taken effect: look before you repeat it, or repeat it with the same idempotency key.",
} as const;

function toText(failure: SheafError, { err }: Terminal): string {
  const lines = [`${err.paint("red", "✗")} ${err.paint("bold", failure.code)}  ${printable(failure.message)}`, ""];
  for (const issue of failure.issues ?? []) {
    lines.push(
      `  ${printable(issue.path.length === 0 ? "(input)" : issue.path.join("."))}: ${printable(issue.message)}`,
    );
  }
  if (failure.code === "DECLARED" && failure.data !== undefined) {
    lines.push(`  ${failure.error ?? ""} ${printable(JSON.stringify(failure.data))}`);
  }
  const says = catalogue[failure.code].says;
  const why = failure.message === says || failure.code === "USAGE" ? "" : `${capital(says)}.`;
  if (why + aboutOutcome(failure) !== "") lines.push(`  ${`${why}${aboutOutcome(failure)}`.trim()}`);
  if (failure.hint !== undefined) lines.push(`  ${printable(failure.hint)}`);
  lines.push(`  More: sheaf help ${failure.code}`);
  return lines.join("\n");
}

/** Only calls have an outcome worth a sentence; a mistyped flag changes nothing, as everybody knows. */
function aboutOutcome(failure: SheafError): string {
  const silent = ["USAGE", "IN_USE", "NO_CLUSTER", "NOT_FOUND", "INTERNAL"].includes(failure.code);
  return silent ? "" : ` ${outcomes[failure.outcome]}`;
}

function stack(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncaused by ${stack(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
