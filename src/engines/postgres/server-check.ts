// Whether a server may hold journals at all: what it would lose in a power cut, or answer without having kept it, is
// refused by name.

import { SheafError } from "../../base/index.ts";

/** What a session says of its server and of itself. */
export type Session = {
  /** As in server_version_num: 150004. */
  readonly version: number;
  readonly fsync: string;
  readonly full_page_writes: string;
  readonly synchronous_commit: string;
  readonly standby: boolean;
  readonly read_only: string;
};

const oldest = 15;

const refused = (says: string, hint: string): SheafError => new SheafError("ENGINE_REFUSED", says, { hint });

/** Why the server of this session is refused; undefined when it is sound. `retry` is "later" where it may change by itself. */
export function whyRefused(session: Session): SheafError | undefined {
  const major = Math.floor(session.version / 10_000);
  if (major < oldest)
    return refused(
      `PostgreSQL ${major} is too old: ${oldest} or newer is needed`,
      `upgrade the server to ${oldest} or newer`,
    );
  if (session.standby)
    return new SheafError("ENGINE_REFUSED", "this PostgreSQL server is a standby, in recovery", {
      retry: "later",
      hint: "name the primary in the engine's address, or an address that follows it",
    });
  if (session.read_only === "on")
    return new SheafError(
      "ENGINE_REFUSED",
      "this PostgreSQL server is read-only (default_transaction_read_only = on)",
      {
        retry: "later",
        hint: "set default_transaction_read_only = off for this role, its database and the server",
      },
    );
  if (session.fsync !== "on")
    return refused("PostgreSQL runs with fsync = off: a power cut would lose what was acknowledged", setOn("fsync"));
  if (session.full_page_writes !== "on")
    return refused(
      "PostgreSQL runs with full_page_writes = off: a power cut could tear its pages",
      setOn("full_page_writes"),
    );
  if (session.synchronous_commit !== "on" && session.synchronous_commit !== "remote_apply")
    return refused(
      `synchronous_commit is ${session.synchronous_commit} although this session has set it to on`,
      "let the role set synchronous_commit, and connect without a proxy that resets it",
    );
  return undefined;
}

const setOn = (name: string): string => `set ${name} = on in postgresql.conf and reload the server`;
