// What SQLite's result codes mean to a caller of an engine (https://sqlite.org/rescode.html).

import { asSheafError, SheafError, type ErrorCode } from "../../base/index.ts";

const BUSY = 5;
const LOCKED = 6;
const meanings: Readonly<Record<number, readonly [ErrorCode, string | undefined]>> = {
  3: ["ENGINE_REFUSED", "give this user access to the data directory"],
  5: ["ENGINE_UNAVAILABLE", "another process has kept the database locked; see which one with `fuser` or `lsof`"],
  6: ["ENGINE_UNAVAILABLE", undefined],
  8: ["ENGINE_REFUSED", "the data directory is read-only: make it writable, or choose another"],
  10: ["ENGINE_UNAVAILABLE", "the disk reported an error: look at the system log before going on"],
  11: ["CORRUPT", "restore the data directory from a backup"],
  13: ["ENGINE_FULL", "free space on the disk that holds the data directory; writing resumes by itself"],
  14: ["ENGINE_REFUSED", "make the data directory readable and writable for this user"],
  26: ["CORRUPT", "the file is not a Sheaf database: restore it from a backup, or choose another data directory"],
};

/** SQLite's primary result code, or undefined when the error is not from SQLite. */
export function sqliteCode(error: unknown): number | undefined {
  const { errcode } = (error ?? {}) as { errcode?: unknown };
  return typeof errcode === "number" ? errcode & 0xff : undefined;
}

export const isBusy = (error: unknown): boolean => [BUSY, LOCKED].includes(sqliteCode(error) ?? -1);

const refusedFiles: readonly unknown[] = ["EROFS", "EACCES", "EPERM", "ENOTDIR", "EISDIR"];
const fullFiles: readonly unknown[] = ["ENOSPC", "EDQUOT", "EFBIG"];

/** The error as one of the catalogue's. */
export function asEngineError(error: unknown): SheafError {
  if (error instanceof SheafError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const { code } = (error ?? {}) as { code?: unknown };
  if (fullFiles.includes(code))
    return new SheafError("ENGINE_FULL", message, { cause: error, hint: meanings[13]?.[1] });
  if (refusedFiles.includes(code))
    return new SheafError("ENGINE_REFUSED", message, { cause: error, hint: meanings[8]?.[1] });
  const meaning = meanings[sqliteCode(error) ?? -1];
  return meaning ? new SheafError(meaning[0], message, { cause: error, hint: meaning[1] }) : asSheafError(error);
}
