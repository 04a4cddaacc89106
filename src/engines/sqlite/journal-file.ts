// The file journal.db: where it is, what is in it, how it is opened.
//
// J1. A journal that ever existed is never recreated: cluster.json beside it says that it did.
// J2. A commit adds one row to table batch, with the records of all its shards, and rewrites the head rows of those
//     shards: a row per record would dirty a page per shard, twenty times the bytes. The last batch is never removed, so
//     whoever finds no newer one knows that no head has changed.
// J3. Batches are later folded into runs (fold.ts), which keep each shard's records together and in order.
//     A record is in one batch or in one run, and all of a shard's runs are before its batches.
// J4. Records below the shard's floor are trimmed, whether or not their bytes are still there.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Apart, fromHex, invariant, SheafError, toHex, type Seq, type Shard } from "../../base/index.ts";
import { type Cluster, unfinishedRestoration } from "../../journal/index.ts";
import { isBusy } from "./sqlite-error.ts";

export const journalFile = "journal.db";
export const markerFile = "cluster.json";
export const format = 1;

const seqSpan = 2 ** 37;
/** Row id of the run that begins with this record. */
export const rowId = (shard: Shard, seq: Seq): number => shard * seqSpan + seq;
export const seqOf = (row: number): Seq => row % seqSpan;
/** What a row id holds. */
export const maxShards = 2 ** 15;

const schema = `
  CREATE TABLE IF NOT EXISTS cluster (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, id TEXT NOT NULL,
    name TEXT NOT NULL, shards INTEGER NOT NULL, created_at INTEGER NOT NULL, key_check BLOB, apart TEXT) STRICT;
  CREATE TABLE IF NOT EXISTS head (block INTEGER PRIMARY KEY, shards TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS floor (shard INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY, places TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS run (id INTEGER PRIMARY KEY, places TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
  PRAGMA user_version = ${format};`;

const sleeper = new Int32Array(new SharedArrayBuffer(4));
/** Sleeps this thread 0.05 to 0.25 ms. SQLite's own busy handler starves processes: short and random is fair. */
export const shortNap = (): void => void Atomics.wait(sleeper, 0, 0, 0.05 + Math.random() * 0.2);

/** Runs `fn` again while another process holds the lock, up to `patienceMs`; then throws SQLite's BUSY. */
export function patiently<T>(patienceMs: number, fn: () => T, onWait?: () => void): T {
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      return fn();
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error;
      onWait?.();
      shortNap();
    }
  }
}

export function openJournal(dir: string, patienceMs: number): DatabaseSync {
  const db = new DatabaseSync(join(dir, journalFile), { timeout: 0 });
  try {
    patiently(patienceMs, () => db.exec("PRAGMA journal_mode = WAL"));
    db.exec("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192");
    const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version > format) {
      const hint = "start the version of Sheaf that wrote it, or a newer one";
      throw new SheafError(
        "ENGINE_REFUSED",
        `${join(dir, journalFile)} has format ${version}; this build reads ${format}`,
        { hint },
      );
    }
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Makes the folder and the tables where there are none, and refuses a folder whose journal has vanished (J1). */
export function prepareFolder(dir: string, patienceMs: number): void {
  mkdirSync(join(dir, "snapshots"), { recursive: true });
  // SQLite opens what it may only read, and refuses the first write: refuse the folder instead.
  accessSync(dir, constants.W_OK);
  const path = join(dir, journalFile);
  const marker = existsSync(join(dir, markerFile));
  if (marker && (!existsSync(path) || statSync(path).size === 0)) {
    const name = JSON.parse(readFileSync(join(dir, markerFile), "utf8")) as { name: string };
    throw new SheafError("CORRUPT", `the journal of cluster ${JSON.stringify(name.name)} is missing: ${path}`, {
      hint: `restore ${journalFile} from a backup; only if its loss is accepted, remove ${markerFile} to start a new cluster here`,
    });
  }
  const db = openJournal(dir, patienceMs);
  try {
    const tables = db.prepare(
      "SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('cluster', 'head', 'floor', 'batch', 'run')",
    );
    if ((tables.get() as { n: number }).n === 5) return;
    if (marker) throw new SheafError("CORRUPT", `${path} has lost its tables`, { hint: "restore it from a backup" });
    patiently(patienceMs, () => db.exec("BEGIN IMMEDIATE"));
    db.exec(`${schema}\nCOMMIT`);
  } finally {
    db.close();
  }
}

/** In place of the format while a restoration is under way: above any, so that no build takes the cluster for whole. */
export const leastMark = 2 ** 30;

/** Throws ENGINE_REFUSED for a cluster whose restoration was not finished. */
export function readCluster(db: DatabaseSync, dir: string): Cluster | undefined {
  type Row = {
    format: number;
    id: string;
    name: string;
    shards: number;
    created_at: number;
    key_check: Uint8Array | null;
    /** Files made before there was this column have it not. */
    apart?: string | null;
  };
  const row = db.prepare("SELECT * FROM cluster").get() as Row | undefined;
  if (!row) return undefined;
  if (row.format >= leastMark) throw unfinishedRestoration(dir, row.name);
  return {
    id: row.id,
    name: row.name,
    shards: row.shards,
    createdAt: row.created_at,
    ...(row.apart && { apart: JSON.parse(row.apart) as Apart[] }),
    ...(row.key_check && { keyCheck: row.key_check }),
  };
}

function writeSynced(path: string, text: string): void {
  const fd = openSync(path, "w");
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes cluster.json, atomically and durably. */
export function replaceMarker(dir: string, cluster: Cluster): void {
  const shown = { format, ...cluster, keyCheck: cluster.keyCheck && toHex(cluster.keyCheck) };
  const tmp = join(dir, `${markerFile}.${process.pid}.tmp`);
  writeSynced(tmp, `${JSON.stringify(shown, null, 2)}\n`);
  renameSync(tmp, join(dir, markerFile));
  const folder = openSync(dir, "r");
  fsyncSync(folder);
  closeSync(folder);
}

export function decodeMarker(text: string): Cluster {
  const { id, name, shards, createdAt, apart, keyCheck } = JSON.parse(text) as Omit<Cluster, "keyCheck"> & {
    keyCheck?: string;
  };
  invariant(typeof id === "string", `${markerFile} names a cluster`);
  return { id, name, shards, createdAt, apart, keyCheck: keyCheck === undefined ? undefined : fromHex(keyCheck) };
}
