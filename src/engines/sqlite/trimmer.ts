// Trims a shard's journal in slices of about a millisecond, between appends.
//
// T1. A trim needs no sync: losing one is harmless, and a later append's sync covers it in order.

import type { DatabaseSync } from "node:sqlite";
import type { Seq, Shard } from "../../base/index.ts";
import { rowId, seqOf } from "./journal-file.ts";

const trimRows = 64;
const trimBytes = 1024 * 1024;

/** Deletes one slice of what is at or below `through`, never the head's record; true when nothing is left to delete. */
export function openTrimmer(db: DatabaseSync, lock: () => void): (shard: Shard, through: Seq) => boolean {
  const headSeq = db.prepare("SELECT seq FROM head WHERE shard = ?");
  const oldest = db.prepare(`SELECT id, length(bytes) AS size FROM record WHERE id > ? AND id <= ? ORDER BY id LIMIT ${trimRows}`);
  const remove = db.prepare("DELETE FROM record WHERE id > ? AND id <= ?");
  return (shard, through) => {
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
      db.exec("COMMIT");
      return upTo === 0 || rowId(shard, upTo) >= last;
    } finally {
      if (db.isTransaction) db.exec("ROLLBACK");
      db.exec("PRAGMA synchronous = FULL");
    }
  };
}
