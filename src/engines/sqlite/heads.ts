// Table head: the last record of every shard, 64 shards to a row, as a JSON array of generation, epoch, sequence of each.
// A commit of all shards rewrites few rows; a person reads them in any SQLite shell.

import type { DatabaseSync } from "node:sqlite";
import { SheafError, type Epoch, type Shard } from "../../base/index.ts";
import type { Head } from "../../journal/index.ts";

const perRow = 64;
const width = 3; // generation, epoch, seq
const blockOf = (shard: Shard): number => Math.floor(shard / perRow);
const placeOf = (shard: Shard): number => (shard % perRow) * width;

function decode(block: number, text: string | undefined): number[] {
  if (text === undefined) return Array.from({ length: perRow }, () => [1, 0, 0]).flat();
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch {}
  if (
    Array.isArray(row) &&
    row.length === perRow * width &&
    row.every((value) => Number.isSafeInteger(value) && value >= 0)
  )
    return row as number[];
  const says = `the heads of shards ${block * perRow} to ${(block + 1) * perRow - 1} cannot be read`;
  throw new SheafError("CORRUPT", says, { hint: "restore the data directory from a backup" });
}

function headIn(row: readonly number[], shard: Shard): Head {
  const at = placeOf(shard);
  return { shard, generation: row[at] as number, epoch: row[at + 1] as number, seq: row[at + 2] as number };
}

/** Reads heads as of the transaction under way. */
export function openHeadReader(db: DatabaseSync): (shards: readonly Shard[]) => Head[] {
  const find = db.prepare("SELECT shards FROM head WHERE block = ?");
  return (shards) => {
    const rows = new Map<number, number[]>();
    return shards.map((shard) => {
      const block = blockOf(shard);
      let row = rows.get(block);
      if (!row) rows.set(block, (row = decode(block, (find.get(block) as { shards: string } | undefined)?.shards)));
      return headIn(row, shard);
    });
  };
}

export type KeptHeads = {
  /** Throws CORRUPT when the shard's row cannot be read. */
  of(shard: Shard): Head;
  /** Raises the sequence by one, in memory. */
  advance(shard: Shard, epoch: Epoch): void;
  /** Puts a head in the place of what is there, in memory. */
  set(head: Head): void;
  /** Writes the rows that changed. */
  store(): void;
  /** Forgets all: they are read again when next asked for. */
  forget(): void;
};

/** Heads kept in memory between transactions. Whoever keeps them says when they may have changed. */
export function openKeptHeads(db: DatabaseSync): KeptHeads {
  const find = db.prepare("SELECT shards FROM head WHERE block = ?");
  const put = db.prepare(
    "INSERT INTO head (block, shards) VALUES (?, ?) ON CONFLICT (block) DO UPDATE SET shards = excluded.shards",
  );
  const rows = new Map<number, number[]>();
  const changed = new Set<number>();
  function rowOf(block: number): number[] {
    let row = rows.get(block);
    if (!row) rows.set(block, (row = decode(block, (find.get(block) as { shards: string } | undefined)?.shards)));
    return row;
  }
  return {
    of: (shard) => headIn(rowOf(blockOf(shard)), shard),
    advance(shard, epoch) {
      const row = rowOf(blockOf(shard));
      const at = placeOf(shard);
      row[at + 1] = epoch;
      row[at + 2]!++;
      changed.add(blockOf(shard));
    },
    set({ shard, generation, epoch, seq }) {
      rowOf(blockOf(shard)).splice(placeOf(shard), width, generation, epoch, seq);
      changed.add(blockOf(shard));
    },
    store() {
      for (const block of changed) put.run(block, JSON.stringify(rows.get(block)));
      changed.clear();
    },
    forget() {
      rows.clear();
      changed.clear();
    },
  };
}
