// Everything that writes journal.db, on one connection and one thread. Group commit: appends that wait together
// become one transaction and one sync.
//
// W1. An append is answered durable only after COMMIT returned and the file is still the one at its path.
// W2. What fails before COMMIT is certainly not stored (refused); COMMIT itself may fail either way (unknown), except
//     for a full disk: SQLite writes the commit frame last, so a frame that found no room ends an invalid transaction.

import { statSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { SheafError, type Seq, type Shard } from "../../base/index.ts";
import type { Append, Cluster } from "../../journal/index.ts";
import { createCluster, identifyCluster } from "./cluster-row.ts";
import { journalFile, openJournal, patiently, rowId, shortNap } from "./journal-file.ts";
import { asEngineError, sqliteCode } from "./sqlite-error.ts";
import { openTrimmer } from "./trimmer.ts";
import { countAppends, unpackAppends, type Packed } from "./packed.ts";

export type Verdict = "durable" | "fenced" | "unknown" | "refused";
/** One answer per append, and why for those unknown or refused. */
export type Verdicts = { readonly each: readonly Verdict[]; readonly error?: SheafError | undefined };

const FULL = 13;
/** Frames in the write-ahead log from which a checkpoint is worth its syncs: 16 MiB. */
const checkpointFrames = 4096;
/** For how long one meeting with another writer is taken to mean that there are others. */
const contentionMs = 1000;

export type Writer = {
  append(group: readonly Packed[]): readonly Verdicts[];
  /** True when the write-ahead log has grown enough to be folded into the file. */
  checkpointDue(): boolean;
  /** Folds in what another thread's checkpoint left, so that the log starts over. */
  finishCheckpoint(): void;
  identify(): Cluster | undefined;
  create(cluster: Cluster): void;
  /** Deletes one slice; true when nothing is left to delete. */
  trimSlice(shard: Shard, through: Seq): boolean;
  close(): void;
};

export function openWriter(dir: string, patienceMs: number): Writer {
  const db: DatabaseSync = openJournal(dir, patienceMs);
  const path = join(dir, journalFile);
  const born = statSync(path, { bigint: true });
  const begin = db.prepare("BEGIN IMMEDIATE");
  const commit = db.prepare("COMMIT");
  const advance = db.prepare("UPDATE head SET epoch = ?, seq = seq + 1 WHERE shard = ? AND generation = ? AND seq = ? AND epoch <= ?");
  const found = db.prepare("INSERT INTO head (shard, generation, epoch, seq) VALUES (?, 1, ?, 1) ON CONFLICT DO NOTHING");
  const insert = db.prepare("INSERT INTO record (id, epoch, bytes) VALUES (?, ?, ?)");
  let contendedUntil = 0;
  let commitsSinceLook = 0;

  /** While other processes write too, each leaves the others a moment between two transactions, or they would starve. */
  function lock(): void {
    if (performance.now() < contendedUntil) shortNap();
    patiently(patienceMs, () => begin.run(), () => (contendedUntil = performance.now() + contentionMs));
  }
  function abandon(): void {
    if (db.isTransaction) db.exec("ROLLBACK");
  }
  function checkSameFile(): void {
    const now = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (now?.ino === born.ino && now.dev === born.dev) return;
    throw new SheafError("CORRUPT", `${path} was removed or replaced while in use`, { outcome: "unknown", hint: "stop every node of this cluster, then put the file back or restore a backup" });
  }
  function one({ shard, generation, epoch, expected, record }: Append): Verdict {
    let { changes } = advance.run(epoch, shard, generation, expected, epoch);
    if (changes === 0 && expected === 0 && generation === 1) changes = found.run(shard, epoch).changes;
    if (changes === 0) return "fenced";
    insert.run(rowId(shard, expected + 1), epoch, record);
    return "durable";
  }

  return {
    append(group) {
      let committing = false;
      try {
        lock();
        const all = group.map((packed) => ({ each: Array.from(unpackAppends(packed), one) }));
        committing = true;
        commit.run();
        checkSameFile();
        commitsSinceLook++;
        return all;
      } catch (cause) {
        const error = asEngineError(cause);
        abandon();
        const verdict: Verdict = committing && sqliteCode(cause) !== FULL ? "unknown" : "refused";
        return group.map((packed) => ({ each: new Array<Verdict>(countAppends(packed)).fill(verdict), error }));
      }
    },
    checkpointDue() {
      if (commitsSinceLook < 64) return false;
      commitsSinceLook = 0;
      const { log } = db.prepare("PRAGMA wal_checkpoint(NOOP)").get() as { log: number };
      return log >= checkpointFrames;
    },
    finishCheckpoint() {
      db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    },
    identify: () => identifyCluster(dir, db),
    create: (cluster) => createCluster(dir, db, lock, cluster),
    trimSlice: openTrimmer(db, lock),
    close: () => db.close(),
  };
}
