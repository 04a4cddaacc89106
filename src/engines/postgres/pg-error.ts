// What PostgreSQL's SQLSTATE codes mean to a caller of an engine (https://www.postgresql.org/docs/current/errcodes-appendix.html).
//
// E1. An error is certain (outcome "not-applied") only when the server itself said ERROR, which rolls the statement back, and
//     its code is on the list below. All else is unknown: a lost socket, a timeout, a terminated session (57P01), a FATAL or
//     PANIC, a severity in a language that we do not read, a code that nobody has thought about.

import { type ErrorCode, type Outcome, SheafError } from "../../base/index.ts";

type Meaning = readonly [code: ErrorCode, hint?: string];

const gone = "restore the database from a backup";
/** By whole code, else by its class: the first two characters. */
const certain: Readonly<Record<string, Meaning>> = {
  "22": ["BAD_INPUT"],
  "23505": ["CORRUPT", "a journal has records above its head: restore the database from a backup"],
  "25006": ["ENGINE_UNAVAILABLE", "the server takes no writes: it is a standby, or was made read-only"],
  "26000": ["ENGINE_UNAVAILABLE", "prepared statements vanish: a proxy that pools transactions may be in between"],
  "3F000": ["CORRUPT", gone],
  "40001": ["ENGINE_UNAVAILABLE"],
  "40P01": ["ENGINE_UNAVAILABLE"],
  "42501": ["ENGINE_REFUSED", "grant the role what the page on the PostgreSQL engine lists"],
  "42703": ["CORRUPT", gone],
  "42P01": ["CORRUPT", gone],
  "53100": ["ENGINE_FULL", "free space on the disk of the database server; writing resumes by itself"],
  "53": ["ENGINE_UNAVAILABLE", "the database server is short of memory or of another resource"],
  "54": ["TOO_LARGE"],
  "55P03": ["ENGINE_UNAVAILABLE"],
  XX001: ["CORRUPT", gone],
  XX002: ["CORRUPT", gone],
};

/** Errors that refuse a connection before it has carried anything. */
const refusing: Readonly<Record<string, Meaning>> = {
  "28": ["ENGINE_REFUSED", "check the role, its password and the server's pg_hba.conf"],
  "3D000": ["ENGINE_REFUSED", "create the database, or name another in the engine's address"],
  "42501": ["ENGINE_REFUSED", "grant the role CONNECT on the database"],
};

const codeOf = (error: unknown): string => {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === "string" ? code : "";
};
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What a statement that was sent has failed with, as one of the catalogue's. */
export function asStatementError(error: unknown): SheafError {
  if (error instanceof SheafError) return error;
  const code = codeOf(error);
  const { severity } = (error ?? {}) as { severity?: unknown };
  const meaning = severity === "ERROR" ? (certain[code] ?? certain[code.slice(0, 2)]) : undefined;
  if (meaning) return said(meaning, error, "not-applied");
  return said(["ENGINE_UNAVAILABLE"], error, "unknown");
}

/** What a connection could not be made for. Nothing was sent: `retry` says whether waiting may help. */
export function asConnectError(error: unknown, where: string): SheafError {
  if (error instanceof SheafError && error.outcome === "not-applied") return error;
  const code = codeOf(error);
  const meaning = refusing[code] ?? refusing[code.slice(0, 2)];
  const isTls = /CERT|UNABLE_TO_|SIGNATURE|^ERR_TLS|^ERR_SSL/.test(code) || /support SSL/.test(messageOf(error));
  const says = `PostgreSQL at ${where}: ${messageOf(error)}`;
  if (meaning) return new SheafError(meaning[0], says, { hint: meaning[1] });
  if (isTls)
    return new SheafError("ENGINE_REFUSED", says, {
      hint: "see that the server has TLS on, and name what signs its certificate: sslmode=verify-full&sslrootcert=FILE",
    });
  return new SheafError("ENGINE_UNAVAILABLE", says, { hint: "see that the server runs and can be reached from here" });
}

function said([code, hint]: Meaning, error: unknown, outcome: Outcome): SheafError {
  const state = codeOf(error);
  const says = `PostgreSQL: ${messageOf(error)}${state === "" ? "" : ` (${state})`}`;
  return new SheafError(code, says, { outcome, hint, cause: error });
}
