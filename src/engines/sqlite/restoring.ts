// Filling an empty journal.db with journals that were kept elsewhere: the writer's part. The cluster's row bears a mark in
// place of its format until all is there, and each step asks whether the mark is still its own.

import type { DatabaseSync } from "node:sqlite";
import { concat, SheafError, type Generation, type Shard } from "../../base/index.ts";
import { checkContinues, type Cluster } from "../../journal/index.ts";
import { insertCluster, needNone } from "./cluster-row.ts";
import type { KeptHeads } from "./heads.ts";
import { format, leastMark, replaceMarker, rowId } from "./journal-file.ts";
import { type Packed, unpackEntries } from "./packed.ts";

export type RestoreAsk = { readonly mark: number } & (
  | { readonly step: "begin"; readonly cluster: Cluster; readonly again: boolean }
  | { readonly step: "load"; readonly shard: Shard; readonly generation: Generation; readonly entries: Packed }
  | { readonly step: "finish"; readonly cluster: Cluster }
  | { readonly step: "abandon" }
);

/** A run ends past this many bytes, as in fold.ts. */
const runBytes = 256 * 1024;

/** `lock` begins a transaction; `heads` are the writer's, and forgotten by then. */
export function openRestoring(dir: string, db: DatabaseSync, lock: () => void, heads: KeptHeads) {
  const markOf = db.prepare("SELECT format AS mark FROM cluster");
  const floor = db.prepare("INSERT INTO floor (shard, first) VALUES (?, ?)");
  const insert = db.prepare("INSERT INTO run (id, places, bytes) VALUES (?, ?, ?)");
  const setMark = db.prepare("UPDATE cluster SET format = ?");

  function empty(): void {
    db.exec("DELETE FROM cluster; DELETE FROM head; DELETE FROM floor; DELETE FROM batch; DELETE FROM run");
  }

  function load({ shard, generation, entries: packed }: Extract<RestoreAsk, { step: "load" }>): void {
    const entries = unpackEntries(shard, packed);
    const [first, last] = [entries[0], entries.at(-1)];
    if (!first || !last) return;
    const head = heads.of(shard);
    checkContinues(head, entries);
    if (head.seq === 0 && first.seq > 1) floor.run(shard, first.seq);
    for (let at = 0; at < entries.length;) {
      const places: number[] = [];
      const parts: Uint8Array[] = [];
      const from = at;
      for (let bytes = 0; at < entries.length && (at === from || bytes < runBytes); at++) {
        const { epoch, record } = entries[at]!;
        places.push(epoch, record.length);
        parts.push(record);
        bytes += record.length;
      }
      insert.run(rowId(shard, entries[from]!.seq), JSON.stringify(places), concat(parts));
    }
    heads.set({ shard, generation, epoch: last.epoch, seq: last.seq });
    heads.store();
  }

  function needMine(mark: number): void {
    if ((markOf.get() as { mark: number } | undefined)?.mark === mark) return;
    throw new SheafError("IN_USE", "another restoration has taken this one's place");
  }

  function begin(cluster: Cluster, again: boolean, mark: number): void {
    const there = markOf.get() as { mark: number } | undefined;
    if (again && there && there.mark >= leastMark) empty();
    needNone(dir, db);
    insertCluster(db, cluster, mark);
  }

  function carry(ask: RestoreAsk): void {
    if (ask.step === "begin") return begin(ask.cluster, ask.again, ask.mark);
    needMine(ask.mark);
    if (ask.step === "load") load(ask);
    else if (ask.step === "abandon") empty();
    else setMark.run(format);
  }

  return (ask: RestoreAsk): void => {
    lock();
    try {
      heads.forget();
      carry(ask);
      db.exec("COMMIT");
    } finally {
      if (db.isTransaction) db.exec("ROLLBACK");
      heads.forget();
    }
    if (ask.step === "finish") replaceMarker(dir, ask.cluster);
  };
}
