// Everything that writes journal.db, on one connection and one thread. Group commit: appends that wait together
// become one transaction and one sync.
//
// W1. An append is answered durable only after COMMIT returned and the file is still the one at its path.
// W2. What fails before COMMIT is certainly not stored (refused); COMMIT itself may fail either way (unknown), except
//     for a full disk: SQLite writes the commit frame last, so a frame that found no room ends an invalid transaction.
// W3. Trimming happens only when no append waits, in slices of about a millisecond, and needs no sync: losing a trim is
//     harmless, and a later append's sync covers it in order.

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { SheafError, type Seq, type Shard } from "../../base/index.ts";
import type { Append, Cluster } from "../../journal/index.ts";
import { decodeMarker, journalFile, markerFile, openJournal, patiently, readCluster, replaceMarker, rowId, seqOf, shortNap } from "./journal-file.ts";
import { asEngineError, sqliteCode } from "./sqlite-error.ts";
import { countAppends, unpackAppends, type Packed } from "./packed.ts";

export type Verdict = "durable" | "fenced" | "unknown" | "refused";
/** One answer per append, and why for those unknown or refused. */
export type Verdicts = { readonly each: readonly Verdict[]; readonly error?: SheafError | undefined };

const FULL = 13;
/** Frames in the write-ahead log from which a checkpoint is worth its syncs: 16 MiB. */
const checkpointFrames = 4096;
const trimRows = 64;
const trimBytes = 1024 * 1024;

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
  const headSeq = db.prepare("SELECT seq FROM head WHERE shard = ?");
  const oldest = db.prepare(`SELECT id, length(bytes) AS size FROM record WHERE id > ? AND id <= ? ORDER BY id LIMIT ${trimRows}`);
  const remove = db.prepare("DELETE FROM record WHERE id > ? AND id <= ?");
  let contended = false;
  let commitsSinceLook = 0;

  /** Between two transactions of a busy process the others get a moment, or they would starve. */
  function lock(): void {
    if (contended) shortNap();
    contended = false;
    patiently(patienceMs, () => begin.run(), () => (contended = true));
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
    identify() {
      const cluster = readCluster(db);
      let marker: Cluster | undefined;
      try {
        marker = decodeMarker(readFileSync(join(dir, markerFile), "utf8"));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
          throw new SheafError("CORRUPT", `${join(dir, markerFile)} cannot be read`, { cause: error, hint: `remove it: it is written again from ${journalFile}` });
        }
      }
      if (marker && marker.id !== cluster?.id) {
        const is = cluster ? `cluster ${JSON.stringify(cluster.name)}` : "no cluster";
        const hint = `restore the ${journalFile} of that cluster`;
        throw new SheafError(cluster ? "WRONG_CLUSTER" : "CORRUPT", `${markerFile} names cluster ${JSON.stringify(marker.name)}, ${journalFile} holds ${is}`, { hint });
      }
      if (cluster && !marker) replaceMarker(dir, cluster);
      return cluster;
    },
    create(cluster) {
      lock();
      try {
        const there = readCluster(db);
        if (there) throw new SheafError("WRONG_CLUSTER", `${dir} holds cluster ${JSON.stringify(there.name)} (${there.id}) already`);
        db.prepare("INSERT INTO cluster VALUES (1, 1, ?, ?, ?, ?, ?)").run(
          cluster.id, cluster.name, cluster.shards, cluster.createdAt, cluster.keyCheck ?? null,
        );
        commit.run();
      } finally {
        abandon();
      }
      replaceMarker(dir, cluster);
    },
    trimSlice(shard, through) {
      db.exec("PRAGMA synchronous = NORMAL");
      try {
        lock();
        const head = (headSeq.get(shard) as { seq: number } | undefined)?.seq ?? 0;
        const last = rowId(shard, Math.min(through, head - 1));
        const rows = oldest.all(rowId(shard, 0), last) as { id: number; size: number }[];
        let bytes = 0;
        let upTo = 0;
        for (const { id, size } of rows) {
          if (upTo > 0 && (bytes += size) > trimBytes) break;
          upTo = seqOf(id);
        }
        if (upTo > 0) remove.run(rowId(shard, 0), rowId(shard, upTo));
        commit.run();
        return upTo === 0 || rowId(shard, upTo) >= last;
      } finally {
        abandon();
        db.exec("PRAGMA synchronous = FULL");
      }
    },
    close: () => db.close(),
  };
}
