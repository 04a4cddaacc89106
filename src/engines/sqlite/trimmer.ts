// Trims a shard's journal: raises its floor, then deletes runs below it in slices, between appends.
//
// T1. A trim needs no sync: losing one is harmless, and a later append's sync covers it in order.
// T2. The head's record is never trimmed.

import type { DatabaseSync } from "node:sqlite";
import type { Seq, Shard } from "../../base/index.ts";
import { openHeadReader } from "./heads.ts";
import { rowId } from "./journal-file.ts";

const trimRows = 64;
const trimBytes = 1024 * 1024;

/** Trims one slice of what is at or below `through`, inside a transaction that the caller has begun; true when nothing is
 *  left to delete. */
export function openTrimmer(db: DatabaseSync): (shard: Shard, through: Seq) => boolean {
  const heads = openHeadReader(db);
  const raise = db.prepare(
    "INSERT INTO floor (shard, first) VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET first = max(first, excluded.first)",
  );
  const covering = db.prepare("SELECT max(id) AS id FROM run WHERE id >= ? AND id <= ?");
  const oldest = db.prepare(
    `SELECT id, length(bytes) AS size FROM run WHERE id >= ? AND id < ? ORDER BY id LIMIT ${trimRows}`,
  );
  const remove = db.prepare("DELETE FROM run WHERE id >= ? AND id <= ?");
  return (shard, through) => {
    const [head] = heads([shard]);
    const first = Math.min(through, (head?.seq ?? 0) - 1) + 1;
    if (first <= 1) return true;
    raise.run(shard, first);
    // The run that the floor is in, or behind, stays: it may hold records above.
    const { id: end } = covering.get(rowId(shard, 0), rowId(shard, first)) as { id: number | null };
    const rows = oldest.all(rowId(shard, 0), end ?? 0) as { id: number; size: number }[];
    let bytes = 0;
    let upTo: number | undefined;
    for (const { id, size } of rows) {
      if (upTo !== undefined && bytes + size > trimBytes) break;
      bytes += size;
      upTo = id;
    }
    if (upTo !== undefined) remove.run(rowId(shard, 0), upTo);
    return upTo === rows.at(-1)?.id && rows.length < trimRows;
  };
}
