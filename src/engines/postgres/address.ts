// Where a PostgreSQL server is: the address that pg understands, less our own parameter `schema`. It may hold a password,
// so it is never shown; `shown` is.

import pg from "pg";
import { SheafError } from "../../base/index.ts";

export type Address = {
  readonly connectionString: string;
  /** The schema that holds this cluster's tables. */
  readonly schema: string;
  /** Host, port and database, for people. */
  readonly shown: string;
};

export const defaultSchema = "sheaf";

const usage = (says: string): SheafError =>
  new SheafError("USAGE", says, { hint: "postgres://USER@HOST:5432/DATABASE?schema=sheaf" });

/** Rejects USAGE when `url` or the schema's name cannot be used. */
export function addressOf(url: string, schema?: string): Address {
  const [before = "", query = ""] = url.split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  const named = schema ?? parameters.get("schema") ?? defaultSchema;
  // Plain names only: they stand in statements, and in the name of the channel.
  if (!/^[a-z_][a-z0-9_]{0,47}$/.test(named) || named.startsWith("pg_"))
    throw usage(
      "a schema's name is 1 to 48 of the characters a-z, 0-9 and _, and begins with a letter, but not with pg_",
    );
  parameters.delete("schema");
  const connectionString = parameters.size === 0 ? before : `${before}?${parameters}`;
  return { connectionString, schema: named, shown: shownOf(connectionString) };
}

function shownOf(connectionString: string): string {
  try {
    const { host, port, database } = new pg.Client({ connectionString });
    return `${host}:${port}/${database ?? ""}`;
  } catch (error) {
    // Its message may quote the address; that of a file that is not there names only the file.
    const { code, path } = error as { code?: unknown; path?: unknown };
    throw usage(code === "ENOENT" ? `${String(path)} is not there` : "the engine's address is not understood");
  }
}
