// Everything that writes journal.db, on one connection and one thread. Group commit: appends that wait together
// become one transaction and one sync.
//
// W1. An append is answered durable only after COMMIT returned, the log was synced since, and the file is still the one at
//     its path.
// W2. What fails before COMMIT is certainly not stored (refused); COMMIT itself may fail either way (unknown), except
//     for a full disk: SQLite writes the commit frame last, so a frame that found no room ends an invalid transaction.
//     What was not synced is unknown too.
// W3. Heads are kept in memory and compared inside the transaction, which has first seen that no other process has added
//     a batch since they were read (J2). They may be ahead of what is durable: a sync makes all before it durable (Y1).
// W4. A shard whose rows contradict its head is refused alone, with CORRUPT.

import { statSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { concat, SheafError, type Seq, type Shard } from "../../base/index.ts";
import type { Append, Cluster } from "../../journal/index.ts";
import { batchPlaces } from "./batches.ts";
import { createCluster, identifyCluster } from "./cluster-row.ts";
import { openFolding } from "./fold.ts";
import { openKeptHeads } from "./heads.ts";
import { journalFile, openJournal, patiently, rowId, shortNap } from "./journal-file.ts";
import { watchLock } from "./lock-holder.ts";
import { changeMember, type MemberChange } from "./members.ts";
import { countAppends, unpackAppends, type Packed } from "./packed.ts";
import { openRestoring, type RestoreAsk } from "./restoring.ts";
import { asEngineError, isBusy, sqliteCode } from "./sqlite-error.ts";
import { openTrimmer } from "./trimmer.ts";
import { openWalSync } from "./wal-sync.ts";

export type Verdict = "durable" | "fenced" | "unknown" | "refused";
/** One answer per append, and why for those unknown or refused. */
export type Verdicts = { readonly each: readonly Verdict[]; readonly error?: SheafError | undefined };

const FULL = 13;
/** Frames in the write-ahead log from which a checkpoint is worth its syncs: 16 MiB. */
const checkpointFrames = 4096;
/** How often to look: after 64 commits, or this many bytes. */
const lookBytes = 1024 * 1024;
/** Most bytes in one batch row: far below what SQLite holds in one. */
const maxRowBytes = 16 * 1024 * 1024;
/** For how long one meeting with another writer is taken to mean that there are others. */
const contentionMs = 1000;
/** What each leaves the others between two transactions then, unless a sync took longer anyway: else they would starve. */
const leftMs = 0.25;

/** Of upkeep in slices: "busy" when another process holds the lock. */
export type Progress = "done" | "more" | "busy";

export type Writer = {
  append(group: readonly Packed[]): readonly Verdicts[];
  /** True when the write-ahead log has grown enough to be folded into the file. */
  checkpointDue(): boolean;
  /** Folds in what another thread's checkpoint left, so that the log starts over. */
  finishCheckpoint(): void;
  identify(): Cluster | undefined;
  create(cluster: Cluster): void;
  /** One step of a restoration, in a transaction of its own. */
  restore(ask: RestoreAsk): void;
  /** Deletes one slice of what is at or below `through`. */
  trimSlice(shard: Shard, through: Seq): Progress;
  /** Changes the registry. */
  changeMember(change: MemberChange): Progress;
  /** True when batches wait to be folded into runs. */
  foldDue(): boolean;
  foldSlice(): Progress;
  /** Why batches are folded no more, told once. */
  takeFoldingStopped(): SheafError | undefined;
  /** That a process was killed for standing still with the lock, told once. */
  takeKilled(): string | undefined;
  close(): void;
};

/** `syncFile` is another than the system's in tests only. */
export function openWriter(dir: string, patienceMs: number, syncFile?: (file: number) => void): Writer {
  const db: DatabaseSync = openJournal(dir, patienceMs);
  const path = join(dir, journalFile);
  // Syncing at COMMIT would keep the lock for as long as the disk takes.
  db.exec("PRAGMA synchronous = NORMAL");
  const wal = openWalSync(db, path, syncFile);
  const born = statSync(path, { bigint: true });
  const begin = db.prepare("BEGIN IMMEDIATE");
  const commit = db.prepare("COMMIT");
  const newest = db.prepare("SELECT max(id) AS id FROM batch");
  const insert = db.prepare("INSERT INTO batch (id, places, bytes) VALUES (?, ?, ?)");
  const runAbove = db.prepare("SELECT 1 FROM run WHERE id > ? AND id < ? LIMIT 1");
  const batches = db.prepare("SELECT id, places FROM batch");
  const heads = openKeptHeads(db);
  const folding = openFolding(db);
  const trim = openTrimmer(db);
  const restoring = openRestoring(dir, db, lock, heads);
  /** The newest batch as of which `heads` were read; undefined when they are not to be trusted. */
  let seen: number | undefined;
  /** Per shard that this process has appended to: why it is refused, or that it is sound. */
  const audited = new Map<Shard, SheafError | "sound">();
  let highest: Map<Shard, Seq> | undefined;
  let foldable = true;
  let foldingStopped: SheafError | undefined;
  let contendedUntil = 0;
  const watch = watchLock(dir);
  let killed: string | undefined;
  let committedAt = 0;
  let commitsSinceLook = 0;
  let bytesSinceLook = 0;

  function lock(): void {
    const now = performance.now();
    if (now < contendedUntil && now < committedAt + leftMs) shortNap();
    patiently(
      patienceMs,
      () => begin.run(),
      () => {
        contendedUntil = performance.now() + contentionMs;
        killed = watch.refused() ?? killed;
      },
    );
    watch.had();
  }
  function abandon(): void {
    if (db.isTransaction) db.exec("ROLLBACK");
  }
  function checkSameFile(): void {
    const now = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (now?.ino === born.ino && now.dev === born.dev) return;
    throw new SheafError("CORRUPT", `${path} was removed or replaced while in use`, {
      outcome: "unknown",
      hint: "stop every node of this cluster, then put the file back or restore a backup",
    });
  }
  /** Looks once whether any row is above the head: written by no version of this code. */
  function audit(shard: Shard): SheafError | "sound" {
    let found = audited.get(shard);
    if (found) return found;
    try {
      if (!highest) {
        highest = new Map();
        for (const { id, places } of batches.iterate() as Iterable<unknown> as Iterable<{
          id: number;
          places: string;
        }>) {
          for (const { shard, seq } of batchPlaces(id, places))
            highest.set(shard, Math.max(seq, highest.get(shard) ?? 0));
        }
      }
      const { seq } = heads.of(shard);
      const above = (highest.get(shard) ?? 0) > seq || runAbove.get(rowId(shard, seq), rowId(shard + 1, 0));
      found = above
        ? new SheafError("CORRUPT", `shard ${shard} has records above its head, ${seq}, in ${path}`, {
            hint: "restore the data directory from a backup",
          })
        : "sound";
    } catch (error) {
      found = asEngineError(error);
      if (found.code !== "CORRUPT") throw error;
    }
    audited.set(shard, found);
    return found;
  }

  /** Rows not yet inserted, of one transaction. */
  type Row = { readonly places: number[]; readonly parts: Uint8Array[]; bytes: number };

  function one({ shard, generation, epoch, expected, record }: Append, row: Row): Verdict | SheafError {
    const found = audit(shard);
    if (found !== "sound") return found;
    const head = heads.of(shard);
    if (head.generation !== generation || head.seq !== expected || head.epoch > epoch) return "fenced";
    heads.advance(shard, epoch);
    row.places.push(shard, epoch, expected + 1, record.length);
    row.parts.push(record);
    row.bytes += record.length;
    return "durable";
  }

  /** All appends of one call, as one row, or several when they are very large. `id` is the newest row's; returns it. */
  function addRows(packed: Packed, id: number, verdicts: (Verdict | SheafError)[]): number {
    let row: Row = { places: [], parts: [], bytes: 0 };
    const write = (): void => {
      if (row.parts.length === 0) return;
      const whole = row.bytes === packed.bytes.length ? packed.bytes : concat(row.parts);
      insert.run(++id, JSON.stringify(row.places), whole);
      row = { places: [], parts: [], bytes: 0 };
    };
    for (const append of unpackAppends(packed)) {
      if (row.bytes + append.record.length > maxRowBytes) write();
      verdicts.push(one(append, row));
    }
    write();
    return id;
  }

  function toVerdicts(found: readonly (Verdict | SheafError)[]): Verdicts {
    const error = found.find((verdict) => verdict instanceof SheafError);
    return { each: found.map((verdict) => (verdict instanceof SheafError ? "refused" : verdict)), error };
  }

  /** A transaction of upkeep: without a sync, and not waiting for another process's lock. */
  function aside(fn: () => boolean): Progress {
    try {
      begin.run();
      watch.had();
      const done = fn();
      commit.run();
      return done ? "done" : "more";
    } catch (error) {
      if (!isBusy(error)) throw error;
      killed = watch.refused() ?? killed;
      return "busy";
    } finally {
      abandon();
    }
  }

  /** What is committed meanwhile is durable at once. */
  function syncing(fn: () => void): void {
    db.exec("PRAGMA synchronous = FULL");
    try {
      fn();
    } finally {
      db.exec("PRAGMA synchronous = NORMAL");
    }
  }

  return {
    append(group) {
      let committing = false;
      try {
        wal.check();
        lock();
        const before = (newest.get() as { id: number | null }).id ?? 0;
        if (before !== seen) heads.forget();
        seen = undefined;
        let id = before;
        const all = group.map((packed) => {
          const verdicts: (Verdict | SheafError)[] = [];
          id = addRows(packed, id, verdicts);
          return toVerdicts(verdicts);
        });
        heads.store();
        committing = true;
        commit.run();
        committedAt = performance.now();
        wal.sync();
        checkSameFile();
        seen = id;
        commitsSinceLook++;
        const added = group.reduce((sum, { bytes }) => sum + bytes.length, 0);
        bytesSinceLook += added;
        folding.added(id - before, added);
        return all;
      } catch (cause) {
        const error = asEngineError(cause);
        abandon();
        const verdict: Verdict = committing && sqliteCode(cause) !== FULL ? "unknown" : "refused";
        return group.map((packed) => ({ each: new Array<Verdict>(countAppends(packed)).fill(verdict), error }));
      }
    },
    checkpointDue() {
      if (commitsSinceLook < 64 && bytesSinceLook < lookBytes) return false;
      commitsSinceLook = 0;
      bytesSinceLook = 0;
      const { log } = db.prepare("PRAGMA wal_checkpoint(NOOP)").get() as { log: number };
      return log >= checkpointFrames;
    },
    finishCheckpoint() {
      db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    },
    identify: () => identifyCluster(dir, db),
    create: (cluster) => syncing(() => createCluster(dir, db, lock, cluster)),
    restore(ask) {
      seen = undefined;
      syncing(() => restoring(ask));
      audited.clear();
      highest = undefined;
      if (ask.step === "load") bytesSinceLook += ask.entries.bytes.length;
    },
    trimSlice: (shard, through) => aside(() => trim(shard, through)),
    changeMember: (change) => aside(() => (changeMember(db, change), true)),
    foldDue: () => foldable && folding.due(),
    foldSlice() {
      try {
        return aside(() => (folding.slice(), !folding.due()));
      } catch (error) {
        // Records that contradict each other stay as they are, for whoever reads them to be told of.
        const failure = asEngineError(error);
        if (failure.code !== "ENGINE_FULL") {
          foldable = false;
          foldingStopped = failure;
        }
        return "done";
      }
    },
    takeFoldingStopped() {
      const failure = foldingStopped;
      foldingStopped = undefined;
      return failure;
    },
    takeKilled() {
      const says = killed;
      killed = undefined;
      return says;
    },
    close() {
      foldable = false;
      watch.close();
      wal.close();
      db.close();
    },
  };
}
