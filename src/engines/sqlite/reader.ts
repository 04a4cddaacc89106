// Reads journal.db on its own connection, so that reading never waits for a sync and never delays an append.

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { SheafError, type Seq, type Shard } from "../../base/index.ts";
import type { Head } from "../../journal/index.ts";
import { journalFile, openJournal, rowId, seqOf } from "./journal-file.ts";
import { packEntries, type Packed } from "./packed.ts";

export type PackedPage = { readonly entries: Packed; readonly first: Seq; readonly head: Head };
export type Facts = Record<string, string | number | boolean>;

/** A page ends once it holds this many bytes. */
const maxPageBytes = 8 * 1024 * 1024;

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
  const headOf = db.prepare("SELECT generation, epoch, seq FROM head WHERE shard = ?");
  const firstOf = db.prepare("SELECT id FROM record WHERE id > ? AND id < ? ORDER BY id LIMIT 1");
  const rowsFrom = db.prepare("SELECT id, epoch, bytes FROM record WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?");

  function consistently<T>(fn: () => T): T {
    db.exec("BEGIN");
    try {
      return fn();
    } finally {
      db.exec("COMMIT");
    }
  }
  function head(shard: Shard): Head {
    const row = headOf.get(shard) as { generation: number; epoch: number; seq: number } | undefined;
    return row ? { shard, ...row } : { shard, generation: 1, epoch: 0, seq: 0 };
  }
  function missing(shard: Shard, seq: Seq): SheafError {
    const hint = "restore the data directory from a backup";
    return new SheafError("CORRUPT", `record ${seq} of shard ${shard} is missing from ${join(dir, journalFile)}`, { hint });
  }

  return {
    heads: (shards) => consistently(() => shards.map(head)),
    page: (shard, from, limit) =>
      consistently(() => {
        const last = head(shard);
        const lowest = firstOf.get(rowId(shard, 0), rowId(shard + 1, 0)) as { id: number } | undefined;
        if (!lowest && last.seq > 0) throw missing(shard, last.seq);
        const first = lowest ? seqOf(lowest.id) : last.seq + 1;
        const start = Math.max(from, first);
        const entries: { seq: number; epoch: number; record: Uint8Array }[] = [];
        let bytes = 0;
        const wanted = Math.max(0, Math.min(limit, last.seq - start + 1));
        type Row = { id: number; epoch: number; bytes: Uint8Array };
        for (const row of rowsFrom.iterate(rowId(shard, start), rowId(shard + 1, 0) - 1, wanted) as Iterable<Row>) {
          const seq = seqOf(row.id);
          if (seq !== start + entries.length) throw missing(shard, start + entries.length);
          entries.push({ seq, epoch: row.epoch, record: row.bytes });
          if ((bytes += row.bytes.length) >= maxPageBytes) break;
        }
        if (entries.length < wanted && bytes < maxPageBytes) throw missing(shard, start + entries.length);
        return { entries: packEntries(entries), first, head: last };
      }),
    checkpoint() {
      db.exec("PRAGMA wal_checkpoint(PASSIVE)");
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
