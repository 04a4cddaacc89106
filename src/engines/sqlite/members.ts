// Table registry: what the nodes of the cluster say of themselves. It is made by the first put: a journal of an earlier
// build has none, and a full disk must not keep a journal from opening. Nothing depends on it, so its changes are not
// synced, and losing it is no damage.

import type { DatabaseSync } from "node:sqlite";

const table = "CREATE TABLE IF NOT EXISTS registry (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID";

/** One change; no value deletes. */
export type MemberChange = { readonly key: string; readonly value?: Uint8Array | undefined };

/** Inside a transaction that the caller has begun. */
export function changeMember(db: DatabaseSync, { key, value }: MemberChange): void {
  db.exec(table);
  if (value) db.prepare("INSERT OR REPLACE INTO registry (key, value) VALUES (?, ?)").run(key, value);
  else db.prepare("DELETE FROM registry WHERE key = ?").run(key);
}

export function listMembers(db: DatabaseSync): Map<string, Uint8Array> {
  if (!db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'registry'").get()) return new Map();
  const rows = db.prepare("SELECT key, value FROM registry").all() as { key: string; value: Uint8Array }[];
  return new Map(rows.map(({ key, value }) => [key, value]));
}
