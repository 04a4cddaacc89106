// Reads journal.db on its own connection, so that reading never waits for a sync and never delays an append.

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { SheafError, type Epoch, type Seq, type Shard } from "../../base/index.ts";
import type { Head } from "../../journal/index.ts";
import { batchPlaces, runPlaces } from "./batches.ts";
import { openHeadReader } from "./heads.ts";
import { journalFile, openJournal, rowId, seqOf } from "./journal-file.ts";
import { packEntries, type Packed } from "./packed.ts";

export type PackedPage = { readonly entries: Packed; readonly first: Seq; readonly head: Head };
export type Facts = Record<string, string | number | boolean>;

/** A page ends once it holds this many bytes. */
const maxPageBytes = 8 * 1024 * 1024;

/** A checkpoint is repeated until what was written meanwhile is this little: the writer finishes it between two commits. */
const leftFrames = 512;
const checkpointRounds = 4;

export type Reader = {
  /** Heads as of a transaction that starts now. */
  heads(shards: readonly Shard[]): readonly Head[];
  page(shard: Shard, from: Seq, limit: number): PackedPage;
  /** Copies the write-ahead log into the file as far as readers allow, without holding up writers. */
  checkpoint(): void;
  facts(): Facts;
  close(): void;
};

export function openReader(dir: string, patienceMs: number): Reader {
  const db = openJournal(dir, patienceMs);
  const heads = openHeadReader(db);
  const floorOf = db.prepare("SELECT first FROM floor WHERE shard = ?");
  const covering = db.prepare("SELECT max(id) AS id FROM run WHERE id > ? AND id <= ?");
  const runs = db.prepare("SELECT id, places, bytes FROM run WHERE id >= ? AND id < ? ORDER BY id");
  const batches = db.prepare("SELECT id, places FROM batch ORDER BY id");
  const bytesOf = db.prepare("SELECT bytes FROM batch WHERE id = ?");

  function consistently<T>(fn: () => T): T {
    db.exec("BEGIN");
    try {
      return fn();
    } finally {
      db.exec("COMMIT");
    }
  }
  function missing(shard: Shard, seq: Seq): SheafError {
    const hint = "restore the data directory from a backup";
    return new SheafError("CORRUPT", `record ${seq} of shard ${shard} is missing from ${join(dir, journalFile)}`, {
      hint,
    });
  }

  type Row = { readonly id: number; readonly places: string; readonly bytes: Uint8Array };

  /** The shard's records from `from` on, in the order in which they are kept: runs, then batches (J3). */
  function* records(shard: Shard, from: Seq): Generator<{ seq: Seq; epoch: Epoch; record: Uint8Array }> {
    const { id } = covering.get(rowId(shard, 0), rowId(shard, from)) as { id: number | null };
    for (const run of runs.iterate(id ?? rowId(shard, 0), rowId(shard + 1, 0)) as Iterable<unknown> as Iterable<Row>) {
      for (const { seq, epoch, at, length } of runPlaces(shard, seqOf(run.id), run.places)) {
        if (seq >= from) yield { seq, epoch, record: run.bytes.subarray(at, at + length) };
      }
    }
    for (const batch of batches.iterate() as Iterable<unknown> as Iterable<Row>) {
      const mine = batchPlaces(batch.id, batch.places).filter((place) => place.shard === shard && place.seq >= from);
      if (mine.length === 0) continue;
      const { bytes } = bytesOf.get(batch.id) as { bytes: Uint8Array };
      for (const { seq, epoch, at, length } of mine) yield { seq, epoch, record: bytes.subarray(at, at + length) };
    }
  }

  return {
    heads: (shards) => consistently(() => heads(shards)),
    page: (shard, from, limit) =>
      consistently(() => {
        const [head] = heads([shard]) as [Head];
        const first = (floorOf.get(shard) as { first: Seq } | undefined)?.first ?? 1;
        const start = Math.max(from, first);
        const entries: { seq: Seq; epoch: Epoch; record: Uint8Array }[] = [];
        let bytes = 0;
        const wanted = Math.max(0, Math.min(limit, head.seq - start + 1));
        if (wanted > 0) {
          for (const entry of records(shard, start)) {
            if (entry.seq !== start + entries.length) throw missing(shard, start + entries.length);
            entries.push(entry);
            if (entries.length === wanted || (bytes += entry.record.length) >= maxPageBytes) break;
          }
          if (entries.length < wanted && bytes < maxPageBytes) throw missing(shard, start + entries.length);
        }
        return { entries: packEntries(entries), first, head };
      }),
    checkpoint() {
      for (let round = 0; round < checkpointRounds; round++) {
        db.exec("PRAGMA wal_checkpoint(PASSIVE)");
        const { log, checkpointed } = db.prepare("PRAGMA wal_checkpoint(NOOP)").get() as {
          log: number;
          checkpointed: number;
        };
        if (log - checkpointed < leftFrames) return;
      }
    },
    facts() {
      const get = (sql: string): string | number => Object.values(db.prepare(sql).get() ?? {})[0] as string | number;
      const size = (name: string): number => statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0;
      return {
        sqlite: get("SELECT sqlite_version()"),
        journalMode: get("PRAGMA journal_mode"),
        synchronous: get("PRAGMA synchronous") === 2 ? "FULL" : String(get("PRAGMA synchronous")),
        fileBytes: size(journalFile),
        walBytes: size(`${journalFile}-wal`),
        bootId: bootId(),
      };
    },
    close: () => db.close(),
  };
}

/** Names this run of the operating system; empty where it cannot be told. */
export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
