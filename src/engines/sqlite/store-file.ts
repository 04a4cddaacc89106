// The file state.db: the local store's tables, on one thread. A cache of the journal: never synced, thrown away and
// rebuilt whenever it might not be what was written.
//
// C1. Without syncs the file is sound after a killed process but not after a lost machine: it belongs to one run of
//     the operating system (boot id). Where there is no such id it is written so that it survives (synchronous NORMAL).
// C2. A file of another format, another cluster or key, or found damaged is discarded when it is opened, never used.
// C3. With a key, states, replies, fingerprints and the shard's own notes are sealed. What rows are found by stays readable: types
//     and keys, ids of operations, versions.

import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SheafError, type Shard } from "../../base/index.ts";
import type { Cell, Position, SavedOp } from "../../shards/index.ts";
import { bootId } from "./reader.ts";
import { sealOf } from "./seal.ts";
import { sqliteCode } from "./sqlite-error.ts";
import { unpackChanges, type PackedChanges, type StoredCell } from "./store-packed.ts";
import { type OpRow, type Rows, rowsOf } from "./store-rows.ts";

const file = "state.db";
const suspectFile = "state.db.damaged";
const format = 2;
/** Read through a memory map, up to this size: three times the lookups of reading by system calls. What it maps counts as
 *  resident, and the system takes it back when it needs it. */
const mappedBytes = 256 * 1024 * 1024;
const pageRows = 512;
const pageBytes = 1024 * 1024;
const damaged: readonly (number | undefined)[] = [11, 26]; // SQLITE_CORRUPT, SQLITE_NOTADB

const schema = `
  CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT NOT NULL, cluster TEXT NOT NULL,
    key_check TEXT NOT NULL) STRICT;
  CREATE TABLE position (shard INTEGER PRIMARY KEY, generation INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
    hash BLOB NOT NULL, at REAL NOT NULL, extra BLOB NOT NULL) STRICT;
  CREATE TABLE cell (shard INTEGER NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    schema INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (shard, type, key)) STRICT, WITHOUT ROWID;
  CREATE TABLE op (shard INTEGER NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL, issued_at REAL,
    fingerprint BLOB NOT NULL, reply BLOB NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (shard, id)) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${format};`;

const opColumns = "id, seq, at, issued_at AS issuedAt, fingerprint, reply, version";

export type StoreFile = {
  /** Why what was there before was thrown away; undefined when it was kept or nothing was there. */
  readonly discarded: string | undefined;
  position(shard: Shard): Position | undefined;
  cell(shard: Shard, type: string, key: string): StoredCell | undefined;
  ops(shard: Shard): readonly SavedOp[];
  save(changes: readonly PackedChanges[]): void;
  clear(shard: Shard): void;
  search(type: string, prefix: string, after: string | undefined, limit: number, shard?: Shard): readonly Cell[];
  image(shard: Shard): StoredImage | undefined;
  /** Has the file discarded at the next start when the error says that it is damaged. */
  suspect(error: unknown): void;
  close(): void;
};

/** One shard as of when it was asked for, on a connection of its own. A page is empty once all was read. */
export type StoredImage = {
  readonly position: Position;
  cells(): readonly Cell[];
  ops(): readonly SavedOp[];
  close(): void;
};

/** Opens what is there if it can be trusted; else says why not. */
function trusted(dir: string, boot: string, cluster: string, keyCheck: string): DatabaseSync | string {
  if (existsSync(join(dir, suspectFile))) return "it was found damaged";
  const db = new DatabaseSync(join(dir, file), { timeout: 5000 });
  let why: string;
  try {
    const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version === format) {
      const about = db.prepare("SELECT boot, cluster, key_check AS keyCheck FROM about").get() as
        | { boot: string; cluster: string; keyCheck: string }
        | undefined;
      if (about?.boot === boot && about.cluster === cluster && about.keyCheck === keyCheck) return db;
      if (about?.boot !== boot) why = "the machine was restarted since";
      else why = about.cluster === cluster ? "it was written with another key" : "it is of another cluster";
    } else why = `its format is ${version}, this build's ${format}`;
  } catch (error) {
    if (!damaged.includes(sqliteCode(error))) {
      db.close();
      throw error;
    }
    why = "it is damaged";
  }
  db.close();
  return why;
}

function openOrStartOver(
  dir: string,
  cluster: string,
  keyCheck: string,
): { db: DatabaseSync; discarded: string | undefined } {
  mkdirSync(dir, { recursive: true });
  const boot = bootId();
  const path = join(dir, file);
  let discarded: string | undefined;
  let db: DatabaseSync | undefined;
  if (existsSync(path)) {
    const found = trusted(dir, boot, cluster, keyCheck);
    if (typeof found === "string") discarded = found;
    else db = found;
  }
  if (!db) {
    for (const name of [file, `${file}-wal`, `${file}-shm`, suspectFile]) rmSync(join(dir, name), { force: true });
    db = new DatabaseSync(path, { timeout: 5000 });
    db.exec("PRAGMA journal_mode = WAL");
    db.exec(`BEGIN; ${schema}`);
    db.prepare("INSERT INTO about VALUES (1, ?, ?, ?)").run(boot, cluster, keyCheck);
    db.exec("COMMIT");
  }
  db.exec(
    `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${boot ? "OFF" : "NORMAL"}; PRAGMA cache_size = -16384; PRAGMA mmap_size = ${mappedBytes}`,
  );
  return { db, discarded };
}

function openImage(path: string, shard: Shard, rows: Rows): StoredImage | undefined {
  const db = new DatabaseSync(path, { timeout: 5000, readOnly: true });
  db.exec("BEGIN");
  const position = db
    .prepare("SELECT generation, epoch, seq, hash, at, extra FROM position WHERE shard = ?")
    .get(shard) as Position | undefined;
  if (!position) {
    db.close();
    return undefined;
  }
  const cells = db
    .prepare("SELECT type, key, version, schema, state FROM cell WHERE shard = ? ORDER BY type, key")
    .iterate(shard) as Iterator<unknown> as Iterator<Cell>;
  const ops = db
    .prepare(`SELECT ${opColumns} FROM op WHERE shard = ? ORDER BY seq`)
    .iterate(shard) as Iterator<unknown> as Iterator<OpRow>;
  function page<T>(all: Iterator<T>, size: (row: T) => number): T[] {
    const taken: T[] = [];
    for (let bytes = 0; taken.length < pageRows && bytes < pageBytes;) {
      const next: IteratorResult<T, unknown> = all.next();
      if (next.done === true) break;
      taken.push(next.value);
      bytes += size(next.value);
    }
    return taken;
  }
  return {
    position: rows.openPosition(shard, position),
    cells: () => page(cells, ({ state }) => state.length).map((cell) => rows.openCell(shard, cell)),
    ops: () => page(ops, ({ reply }) => reply.length).map((row) => rows.openOp(shard, row)),
    close: () => void (db.isOpen && db.close()),
  };
}

/** `key` is the cluster's encryption key, where it has one. */
export function openStoreFile(dir: string, cluster: string, key?: Uint8Array): StoreFile {
  const seal = sealOf(key, cluster);
  const sealed = seal.keyCheck !== "";
  const rows = rowsOf(seal);
  const { db, discarded } = openOrStartOver(dir, cluster, seal.keyCheck);
  const positionOf = db.prepare("SELECT generation, epoch, seq, hash, at, extra FROM position WHERE shard = ?");
  const cellOf = db.prepare("SELECT version, schema, state FROM cell WHERE shard = ? AND type = ? AND key = ?");
  const opsOf = db.prepare(`SELECT ${opColumns} FROM op WHERE shard = ? ORDER BY seq`);
  const putPosition = db.prepare("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?, ?, ?)");
  const putCell = db.prepare("INSERT OR REPLACE INTO cell VALUES (?, ?, ?, ?, ?, ?)");
  const putOp = db.prepare("INSERT OR REPLACE INTO op VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const trim = db.prepare("DELETE FROM cell WHERE shard = ? AND type = ? AND key < ?");
  const forget = db.prepare("DELETE FROM op WHERE shard = ? AND id = ?");
  const emptyAll = ["cell", "op", "position"].map((table) => db.prepare(`DELETE FROM ${table} WHERE shard = ?`));
  const shards = db.prepare("SELECT shard FROM position ORDER BY shard");
  const from = "SELECT type, key, version, schema, state FROM cell WHERE shard = ? AND type = ? AND key >= ?";
  const find = db.prepare(`${from} ORDER BY key LIMIT ?`);
  const findAfter = db.prepare(`${from} AND key > ? ORDER BY key LIMIT ?`);

  function atomically(fn: () => void): void {
    db.exec("BEGIN IMMEDIATE");
    try {
      fn();
      db.exec("COMMIT");
    } finally {
      if (db.isTransaction) db.exec("ROLLBACK");
    }
  }
  function saveOne(packed: PackedChanges): void {
    const { shard, cells, ops, forgetOps, trims = [], ...changes } = unpackChanges(packed);
    for (const { type, below } of trims) trim.run(shard, type, below);
    for (const cell of cells) {
      const { type, key, version, schema, state } = rows.cell(shard, cell);
      putCell.run(shard, type, key, version, schema, state);
    }
    for (const op of ops.map((each) => rows.op(shard, each)))
      putOp.run(shard, op.id, op.seq, op.at, op.issuedAt ?? null, op.fingerprint, op.reply, op.version);
    const position = rows.position(shard, changes.position);
    for (const id of forgetOps) forget.run(shard, id);
    putPosition.run(
      shard,
      position.generation,
      position.epoch,
      position.seq,
      position.hash,
      position.at,
      position.extra,
    );
  }

  return {
    discarded,
    position(shard) {
      const found = positionOf.get(shard) as Position | undefined;
      return found && rows.openPosition(shard, found);
    },
    cell(shard, type, key) {
      const found = cellOf.get(shard, type, key) as StoredCell | undefined;
      return found && sealed ? rows.openCell(shard, { type, key, ...found }) : found;
    },
    ops: (shard) => (opsOf.all(shard) as OpRow[]).map((row) => rows.openOp(shard, row)),
    save: (changes) => atomically(() => changes.forEach(saveOne)),
    clear: (shard) => atomically(() => emptyAll.forEach((empty) => empty.run(shard))),
    search(type, prefix, after, limit, only) {
      const found: { bytes: Buffer; shard: Shard; cell: Cell }[] = [];
      const among = only === undefined ? (shards.all() as { shard: number }[]) : [{ shard: only }];
      for (const { shard } of among) {
        const cells =
          after === undefined ? find.all(shard, type, prefix, limit) : findAfter.all(shard, type, prefix, after, limit);
        for (const cell of cells as Cell[]) {
          if (!cell.key.startsWith(prefix)) break;
          found.push({ bytes: Buffer.from(cell.key), shard, cell });
        }
      }
      // As SQLite orders text, so that the next page continues where this one ends.
      return found
        .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
        .slice(0, limit)
        .map(({ shard, cell }) => rows.openCell(shard, cell));
    },
    image: (shard) => openImage(join(dir, file), shard, rows),
    suspect(error) {
      const altered = error instanceof SheafError && error.code === "CORRUPT";
      if (altered || damaged.includes(sqliteCode(error))) writeFileSync(join(dir, suspectFile), "");
    },
    close: () => db.close(),
  };
}
