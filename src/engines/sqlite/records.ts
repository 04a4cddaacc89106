// Finds records in the tables run and batch, within the read transaction under way.

import type { DatabaseSync } from "node:sqlite";
import type { Epoch, Seq, Shard } from "../../base/index.ts";
import { batchPlaces, runPlaces, type Place } from "./batches.ts";
import { rowId, seqOf } from "./journal-file.ts";

export type Stored = { readonly seq: Seq; readonly epoch: Epoch; readonly record: Uint8Array };

/** A shard's records from where it was asked on, in the order in which they are kept: runs, then batches (J3). */
export type Scan = (shard: Shard) => Iterable<Stored>;

type Row = { readonly id: number; readonly places: string; readonly bytes: Uint8Array };
type Found = Place & { readonly batch: number };

/** Most bytes of batches held while several shards are read: their records are often in the same ones. */
const maxHeldBytes = 16 * 1024 * 1024;

/** Scans shards, each from its own sequence, inside a transaction that the caller has begun. */
export function openRecords(db: DatabaseSync): (from: ReadonlyMap<Shard, Seq>) => Scan {
  const covering = db.prepare("SELECT max(id) AS id FROM run WHERE id > ? AND id <= ?");
  const runs = db.prepare("SELECT id, places, bytes FROM run WHERE id >= ? AND id < ? ORDER BY id");
  const batches = db.prepare("SELECT id, places FROM batch ORDER BY id DESC");
  const bytesOf = db.prepare("SELECT bytes FROM batch WHERE id = ?");

  /** What the batches hold of these shards: newest first, and no further back than they ask. */
  function inBatches(from: ReadonlyMap<Shard, Seq>): ReadonlyMap<Shard, readonly Found[]> {
    const found = new Map<Shard, Found[]>([...from.keys()].map((shard) => [shard, []]));
    let open = from.size;
    for (const { id, places } of batches.iterate() as Iterable<unknown> as Iterable<Row>) {
      for (const place of batchPlaces(id, places)) {
        const start = from.get(place.shard);
        if (start === undefined || place.seq < start) continue;
        found.get(place.shard)?.push({ ...place, batch: id });
        if (place.seq === start) open--;
      }
      if (open <= 0) break;
    }
    for (const list of found.values()) list.sort((a, b) => a.seq - b.seq);
    return found;
  }

  return (from) => {
    let index: ReadonlyMap<Shard, readonly Found[]> | undefined;
    const held = new Map<number, Uint8Array>();
    let heldBytes = 0;
    function batch(id: number): Uint8Array {
      let bytes = held.get(id);
      if (bytes) return bytes;
      ({ bytes } = bytesOf.get(id) as { bytes: Uint8Array });
      heldBytes += bytes.length;
      if (heldBytes > maxHeldBytes) {
        held.clear();
        heldBytes = bytes.length;
      }
      held.set(id, bytes);
      return bytes;
    }
    return function* (shard) {
      const start = from.get(shard) ?? 1;
      const { id } = covering.get(rowId(shard, 0), rowId(shard, start)) as { id: number | null };
      for (const run of runs.iterate(
        id ?? rowId(shard, 0),
        rowId(shard + 1, 0),
      ) as Iterable<unknown> as Iterable<Row>) {
        for (const { seq, epoch, at, length } of runPlaces(shard, seqOf(run.id), run.places)) {
          if (seq >= start) yield { seq, epoch, record: run.bytes.subarray(at, at + length) };
        }
      }
      index ??= inBatches(from);
      for (const { seq, epoch, at, length, batch: id } of index.get(shard) ?? [])
        yield { seq, epoch, record: batch(id).subarray(at, at + length) };
    };
  };
}
