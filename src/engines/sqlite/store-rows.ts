// Rows of the local store as they are stored, and back: their values sealed where the cluster has a key.

import { concat, type Shard } from "../../base/index.ts";
import type { Cell, Position, SavedOp } from "../../shards/index.ts";
import type { Seal } from "./seal.ts";

const nothing = new Uint8Array(0);

/** A remembered operation as SQLite gives it. */
export type OpRow = Omit<SavedOp, "issuedAt"> & { readonly issuedAt: number | null };

/** Where a value belongs. */
const cellPlace = (shard: Shard, { type, key, version, schema }: Omit<Cell, "state">): string =>
  `cell\0${shard}\0${type}\0${version}\0${schema}\0${key}`;
const opPlace = (shard: Shard, { id, seq, version }: Pick<SavedOp, "id" | "seq" | "version">): string =>
  `op\0${shard}\0${seq}\0${version}\0${id}`;
const positionPlace = (shard: Shard, { generation, seq }: Position): string =>
  `position\0${shard}\0${generation}\0${seq}`;

/** Rows as they are stored, and back. */
export type Rows = {
  readonly cell: (shard: Shard, cell: Cell) => Cell;
  readonly openCell: <C extends Cell>(shard: Shard, cell: C) => C;
  readonly op: (shard: Shard, op: SavedOp) => SavedOp;
  readonly openOp: (shard: Shard, row: OpRow) => SavedOp;
  readonly position: (shard: Shard, position: Position) => Position;
  readonly openPosition: (shard: Shard, position: Position) => Position;
};

export function rowsOf(seal: Seal): Rows {
  const plainOp = (row: OpRow): SavedOp => ({ ...row, issuedAt: row.issuedAt ?? undefined });
  if (seal.keyCheck === "") {
    const same = <T>(_: Shard, row: T): T => row;
    return {
      cell: same,
      openCell: same,
      op: same,
      openOp: (_, row) => plainOp(row),
      position: same,
      openPosition: same,
    };
  }
  return {
    cell: (shard, cell) => ({ ...cell, state: seal.seal(cell.state, cellPlace(shard, cell)) }),
    openCell: (shard, cell) => ({ ...cell, state: seal.open(cell.state, cellPlace(shard, cell)) }),
    op(shard, op) {
      const { fingerprint, reply } = op;
      const both = concat([Uint8Array.of(fingerprint.length), fingerprint, reply]);
      return { ...op, fingerprint: nothing, reply: seal.seal(both, opPlace(shard, op)) };
    },
    openOp(shard, row) {
      const both = seal.open(row.reply, opPlace(shard, row));
      const end = 1 + (both[0] ?? 0);
      return { ...plainOp(row), fingerprint: both.slice(1, end), reply: both.slice(end) };
    },
    position: (shard, position) => ({ ...position, extra: seal.seal(position.extra, positionPlace(shard, position)) }),
    openPosition: (shard, position) => ({
      ...position,
      extra: seal.open(position.extra, positionPlace(shard, position)),
    }),
  };
}
