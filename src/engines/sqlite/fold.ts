// Folds batches, which hold records as they were committed, into runs, which hold one shard's records in order: a shard is
// then read and trimmed without touching what is of others. Done in slices between appends.
//
// L1. Needs no sync: losing a fold is harmless, and a later append's sync covers it in order.
// L2. What is trimmed already is not folded.
// L3. The last batch stays (J2).

import type { DatabaseSync } from "node:sqlite";
import { concat, SheafError, type Epoch, type Seq, type Shard } from "../../base/index.ts";
import { batchPlaces } from "./batches.ts";
import { rowId } from "./journal-file.ts";

/** One slice: what is worth a transaction, and short enough that an append may wait for it. */
const sliceBytes = 1024 * 1024;
const sliceRows = 256;
/** A run ends past this many bytes, so that reading its last record does not mean reading much. */
const runBytes = 256 * 1024;

type Row = { readonly id: number; readonly places: string; readonly bytes: Uint8Array };
type Run = { readonly first: Seq; readonly places: number[]; readonly parts: Uint8Array[]; bytes: number };

export type Folding = {
  /** Told what a commit added. */
  added(rows: number, bytes: number): void;
  /** True when there is enough to fold. */
  due(): boolean;
  /** Folds one slice, inside a transaction that the caller has begun. */
  slice(): void;
};

export function openFolding(db: DatabaseSync): Folding {
  const oldest = db.prepare(
    `SELECT id, places, bytes FROM batch WHERE id < (SELECT max(id) FROM batch) ORDER BY id LIMIT ${sliceRows}`,
  );
  const floors = db.prepare("SELECT shard, first FROM floor");
  const insert = db.prepare("INSERT INTO run (id, places, bytes) VALUES (?, ?, ?)");
  const remove = db.prepare("DELETE FROM batch WHERE id <= ?");
  const count = db.prepare("SELECT count(*) AS rows FROM batch");
  // Counted at the first commit: a damaged batch must not keep the engine from opening.
  let rows = 0;
  let counted = false;
  let bytes = 0;

  function write(shard: Shard, { first, places, parts }: Run): void {
    insert.run(rowId(shard, first), JSON.stringify(places), concat(parts));
  }

  return {
    added(moreRows, moreBytes) {
      if (counted) rows += moreRows;
      else ({ rows } = count.get() as { rows: number });
      counted = true;
      bytes += moreBytes;
    },
    due: () => rows > sliceRows || bytes > sliceBytes,
    slice() {
      const floor = new Map((floors.all() as { shard: Shard; first: Seq }[]).map(({ shard, first }) => [shard, first]));
      const runs = new Map<Shard, Run>();
      let last: Row | undefined;
      let taken = 0;
      for (const row of oldest.iterate() as Iterable<unknown> as Iterable<Row>) {
        for (const place of batchPlaces(row.id, row.places))
          add(place.shard, place.epoch, place.seq, row.bytes.subarray(place.at, place.at + place.length));
        last = row;
        if ((taken += row.bytes.length) >= sliceBytes) break;
      }
      for (const [shard, run] of runs) write(shard, run);
      if (last) remove.run(last.id);
      ({ rows } = count.get() as { rows: number });
      bytes = Math.max(0, bytes - taken);
      if (rows <= 1) bytes = 0;

      function add(shard: Shard, epoch: Epoch, seq: Seq, record: Uint8Array): void {
        if (seq < (floor.get(shard) ?? 1)) return;
        let run = runs.get(shard);
        if (run && seq !== run.first + run.parts.length)
          throw new SheafError("CORRUPT", `record ${seq} of shard ${shard} is out of order`);
        if (run && run.bytes >= runBytes) {
          write(shard, run);
          run = undefined;
        }
        if (!run) runs.set(shard, (run = { first: seq, places: [], parts: [], bytes: 0 }));
        run.places.push(epoch, record.length);
        run.parts.push(record);
        run.bytes += record.length;
      }
    },
  };
}
