// Table registry: what the nodes of the cluster say of themselves. It is made by the first put: a journal of an earlier
// build has none, and a full disk must not keep a journal from opening. Nothing depends on it, so its changes are not
// synced, and losing it is no damage.
//
// Each put is numbered, in `told`; the row of `counter`, which is no key, has the last number. It never falls.

import type { DatabaseSync } from "node:sqlite";
import type { RegistryLook } from "../../journal/index.ts";

const table = `CREATE TABLE IF NOT EXISTS registry (key TEXT PRIMARY KEY, value BLOB NOT NULL, told INTEGER NOT NULL DEFAULT 0)
  STRICT, WITHOUT ROWID`;
const counter = "#";

/** One change: what is put or renewed has a value. */
export type MemberChange = {
  readonly act: "put" | "renew" | "delete";
  readonly key: string;
  readonly value?: Uint8Array | undefined;
};

/** Inside a transaction that the caller has begun. */
export function changeMember(db: DatabaseSync, { act, key, value = new Uint8Array() }: MemberChange): void {
  db.exec(table);
  if (!isNumbered(db)) db.exec("ALTER TABLE registry ADD COLUMN told INTEGER NOT NULL DEFAULT 0");
  if (act === "delete") db.prepare("DELETE FROM registry WHERE key = ?").run(key);
  else if (act === "renew") db.prepare("UPDATE registry SET value = ? WHERE key = ?").run(value, key);
  else {
    const next = `INSERT INTO registry (key, value, told) VALUES (?, x'', 1)
      ON CONFLICT (key) DO UPDATE SET told = told + 1 RETURNING told`;
    const { told } = db.prepare(next).get(counter) as { told: number };
    db.prepare("INSERT OR REPLACE INTO registry (key, value, told) VALUES (?, ?, ?)").run(key, value, told);
  }
}

/** False where there is no registry yet, or that of an earlier build. */
const isNumbered = (db: DatabaseSync): boolean =>
  db.prepare("SELECT 1 FROM pragma_table_info('registry') WHERE name = 'told'").get() !== undefined;

type Row = { readonly key: string; readonly value: Uint8Array; readonly told: number };

const valuesOf = (rows: readonly Pick<Row, "key" | "value">[]): Map<string, Uint8Array> =>
  new Map(rows.flatMap(({ key, value }) => (key === counter ? [] : [[key, value]])));

export function listMembers(db: DatabaseSync): Map<string, Uint8Array> {
  if (!db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'registry'").get()) return new Map();
  return valuesOf(db.prepare("SELECT key, value FROM registry").all() as Row[]);
}

/** As `Registry.look`. */
export function lookAtMembers(db: DatabaseSync, since: string | undefined, keys: readonly string[]): RegistryLook {
  if (!isNumbered(db)) {
    const told = listMembers(db);
    return { cursor: "", told, found: new Map(keys.flatMap((key) => pairOf(key, told.get(key)))) };
  }
  const all =
    "SELECT key, value, told FROM registry WHERE told > ? OR key = ? OR key IN (SELECT value FROM json_each(?))";
  const ask = (from: number): Row[] => db.prepare(all).all(from, counter, JSON.stringify(keys)) as Row[];
  const known = /^\d+$/.test(since ?? "") ? Number(since) : -1;
  let [from, rows] = [known, ask(known)];
  const last = rows.find(({ key }) => key === counter)?.told ?? 0;
  if (known > last) [from, rows] = [-1, ask(-1)];
  const asked = new Set(keys);
  return {
    cursor: String(last),
    told: valuesOf(rows.filter(({ told }) => told > from)),
    found: valuesOf(rows.filter(({ key }) => asked.has(key))),
  };
}

const pairOf = (key: string, value: Uint8Array | undefined): [string, Uint8Array][] => (value ? [[key, value]] : []);
