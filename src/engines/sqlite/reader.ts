// Reads journal.db on its own connection, so that reading never delays an append.
//
// R1. Whoever is given records waits for `durable` first: what was committed since the last sync here is synced, whoever
//     committed it. A head alone may be ahead of that, and waits for nothing.

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { SheafError, type Seq, type Shard } from "../../base/index.ts";
import { type Ask, hasNews, type Head, maxPageBytes, type RegistryLook } from "../../journal/index.ts";
import { openGrowth, type Growth } from "./growth.ts";
import { openHeadReader } from "./heads.ts";
import { journalFile, openJournal } from "./journal-file.ts";
import { listMembers, lookAtMembers } from "./members.ts";
import { packEntries, type Packed } from "./packed.ts";
import { openRecords, type Scan, type Stored } from "./records.ts";
import { asEngineError } from "./sqlite-error.ts";
import { openWalSyncs, type SyncFile } from "./wal-sync.ts";

export type PackedPage = { readonly entries: Packed; readonly first: Seq; readonly head: Head };
export type Facts = Record<string, string | number | boolean>;

/** A checkpoint is repeated until what was written meanwhile is this little: the writer finishes it between two commits. */
const leftFrames = 512;
const checkpointRounds = 4;

export type Reader = {
  /** Heads as of a transaction that starts now. */
  heads(shards: readonly Shard[]): readonly Head[];
  page(shard: Shard, from: Seq, limit: number): PackedPage;
  /** As `Engine.tail`. */
  tail(asks: readonly Ask[], limit: number): readonly PackedPage[];
  /** Calls back once all that was given out so far is durable, or with ENGINE_UNAVAILABLE (R1). */
  durable(tell: (error: SheafError | undefined) => void): void;
  members(): ReadonlyMap<string, Uint8Array>;
  /** As `Registry.look`. */
  look(since: string | undefined, keys: readonly string[]): RegistryLook;
  readonly growth: Growth;
  /** Copies the write-ahead log into the file as far as readers allow, without holding up writers. */
  checkpoint(): void;
  facts(): Facts;
  close(): void;
};

/** `syncFile` is another than the system's in tests only. */
export function openReader(dir: string, patienceMs: number, syncFile?: SyncFile): Reader {
  const db = openJournal(dir, patienceMs);
  const syncs = openWalSyncs(db, join(dir, journalFile), syncFile);
  /** Changes whenever another connection has committed. */
  const dataVersion = db.prepare("PRAGMA data_version");
  let seenVersion: number | undefined;
  let durableVersion: number | undefined;
  const heads = openHeadReader(db);
  const floorOf = db.prepare("SELECT first FROM floor WHERE shard = ?");
  const recordsOf = openRecords(db);
  const growth = openGrowth(dir, db);

  function consistently<T>(fn: () => T): T {
    db.exec("BEGIN");
    try {
      seenVersion = (dataVersion.get() as { data_version: number }).data_version;
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

  /** Where a page of the shard begins and how long it is, but for its bytes. */
  function place(head: Head, from: Seq, limit: number): { first: Seq; start: Seq; count: number } {
    const first = (floorOf.get(head.shard) as { first: Seq } | undefined)?.first ?? 1;
    const start = Math.max(from, first);
    return { first, start, count: Math.max(0, Math.min(limit, head.seq - start + 1)) };
  }

  /** That many records from `start` on, as far as they fit; when none fits, the first all the same if `must`. */
  function collect(shard: Shard, records: Iterable<Stored>, start: Seq, count: number, room: number, must: boolean) {
    const entries: Stored[] = [];
    if (count === 0) return entries;
    let bytes = 0;
    for (const entry of records) {
      if (entry.seq !== start + entries.length) throw missing(shard, start + entries.length);
      bytes += entry.record.length;
      if (bytes > room && !(must && entries.length === 0)) return entries;
      entries.push(entry);
      if (entries.length === count) return entries;
    }
    throw missing(shard, start + entries.length);
  }

  /** As `collect`, for a tail: "full" when nothing more fits, nothing when the shard cannot be read. */
  function collectReadable(shard: Shard, scan: Scan, start: Seq, count: number, room: number): Stored[] | "full" {
    try {
      const entries = collect(shard, scan(shard), start, count, room, room === maxPageBytes);
      return entries.length === 0 && count > 0 ? "full" : entries;
    } catch (error) {
      if (asEngineError(error).code !== "CORRUPT") throw error;
      return [];
    }
  }

  return {
    heads: (shards) => consistently(() => heads(shards)),
    page: (shard, from, limit) =>
      consistently(() => {
        const [head] = heads([shard]) as [Head];
        const { first, start, count } = place(head, from, limit);
        const records = recordsOf(new Map([[shard, start]]))(shard);
        return { entries: packEntries(collect(shard, records, start, count, maxPageBytes, true)), first, head };
      }),
    tail: (asks, limit) =>
      consistently(() => {
        const found = heads(asks.map(({ shard }) => shard));
        const due = asks.flatMap(({ from }, i) => {
          const head = found[i] as Head;
          const at = place(head, from, limit);
          return hasNews(from, { first: at.first, head }) ? [{ head, ...at }] : [];
        });
        const scan = recordsOf(
          new Map(due.flatMap(({ head, start, count }) => (count > 0 ? [[head.shard, start]] : []))),
        );
        const pages: PackedPage[] = [];
        let room = maxPageBytes;
        for (const { head, first, start, count } of due) {
          const entries = collectReadable(head.shard, scan, start, count, room);
          if (entries === "full") break;
          for (const { record } of entries) room -= record.length;
          pages.push({ entries: packEntries(entries), first, head });
        }
        return pages;
      }),
    durable(tell) {
      const version = seenVersion;
      if (version === durableVersion) return tell(undefined);
      syncs.soon((error) => {
        if (!error) durableVersion = version;
        tell(error);
      });
    },
    members: () => listMembers(db),
    look: (since, keys) => lookAtMembers(db, since, keys),
    growth,
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
    close() {
      growth.stop();
      syncs.close();
      db.close();
    },
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
