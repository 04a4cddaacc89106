// Notices that some process has committed to journal.db, and whose shards grew. Runs on the reader's thread and
// connection, and costs nothing while nobody writes.
//
// G1. The file system tells of a write to the write-ahead log a little before the commit can be seen, so the journal is looked
//     at at once, and again and again, less and less often, until well past what a sync takes.
// G2. Where the file system tells nothing, the journal is looked at regularly instead.

import { watch } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Shard } from "../../base/index.ts";
import { batchPlaces } from "./batches.ts";
import { journalFile } from "./journal-file.ts";

/** Shards that have grown, or "any" when it is not known which. */
export type Grown = readonly Shard[] | "any";

/** Between a write and the looks that follow it, the first of which is at once. */
const looksMs = [1, 1, 3, 5, 10, 20, 40, 80, 160] as const;
/** After a look that found something the next waits so long. It bounds what a busy journal costs: each such look takes 50 µs, one
 *  that finds nothing 5. */
const restMs = 2;
/** Between looks where the file system tells nothing: under 1 % of a processor. */
const blindLookMs = 25;
/** A look that finds more batches than this does not tell their shards apart. */
const maxRows = 1024;

export type Growth = {
  /** Calls `tell` once, when something has grown since the last call; with nothing when stopped first. Begins watching. */
  next(tell: (grown: Grown) => void): void;
  stop(): void;
};

/** Looks at one connection for what other connections have committed since the last look. */
function openLook(db: DatabaseSync): () => Grown {
  const dataVersion = db.prepare("PRAGMA data_version");
  const newest = db.prepare("SELECT max(id) AS id FROM batch");
  const since = db.prepare(`SELECT id, places FROM batch WHERE id > ? ORDER BY id LIMIT ${maxRows}`);
  const versionNow = (): number => (dataVersion.get() as { data_version: number }).data_version;
  const newestNow = (): number => (newest.get() as { id: number | null }).id ?? 0;
  let version = versionNow();
  let seen = newestNow();
  return () => {
    const now = versionNow();
    if (now === version) return [];
    version = now;
    const before = seen;
    seen = newestNow();
    const rows = since.all(before) as { id: number; places: string }[];
    // Fewer rows than batches: some are folded already, or the journal is another.
    if (rows.length !== seen - before) return "any";
    return [...new Set(rows.flatMap(({ id, places }) => batchPlaces(id, places).map(({ shard }) => shard)))];
  };
}

/** `tick` is another clock in tests only. */
export function openGrowth(dir: string, db: DatabaseSync, tick = (): number => performance.now()): Growth {
  let grown: Set<Shard> | "any" = new Set();
  let asked: ((grown: Grown) => void) | undefined;
  let stopWatching: (() => void) | undefined;

  function answer(): void {
    if (!asked || (grown !== "any" && grown.size === 0)) return;
    const tell = asked;
    const told = grown === "any" ? grown : [...grown];
    asked = undefined;
    grown = new Set();
    tell(told);
  }
  function add(more: Grown): void {
    if (more === "any") grown = "any";
    else if (grown !== "any") for (const shard of more) grown.add(shard);
    answer();
  }

  function start(): () => void {
    const look = openLook(db);
    let foundAt = -Infinity;
    const lookOnce = (): void => {
      let found: Grown = "any";
      try {
        found = look();
      } catch {} // Whoever asks next is told why.
      if (found.length > 0) foundAt = tick();
      add(found);
    };
    let timer: NodeJS.Timeout | undefined;
    let looks = 0;
    function lookAgain(): void {
      lookOnce();
      timer = looks < looksMs.length ? setTimeout(lookAgain, looksMs[looks++]) : undefined;
    }
    function written(): void {
      looks = 0;
      clearTimeout(timer);
      const restsMs = foundAt + restMs - tick();
      if (restsMs > 0) timer = setTimeout(lookAgain, restsMs);
      else lookAgain();
    }
    function lookBlindly(): void {
      clearTimeout(timer);
      timer = setInterval(lookOnce, blindLookMs);
    }
    try {
      const watcher = watch(join(dir, `${journalFile}-wal`), written);
      watcher.on("error", () => (watcher.close(), lookBlindly()));
      return () => (watcher.close(), clearTimeout(timer));
    } catch {
      lookBlindly();
      return () => clearTimeout(timer);
    }
  }

  return {
    next(tell) {
      asked?.([]);
      asked = tell;
      stopWatching ??= start();
      answer();
    },
    stop() {
      stopWatching?.();
      stopWatching = undefined;
      grown = new Set();
      const tell = asked;
      asked = undefined;
      tell?.([]);
    },
  };
}
