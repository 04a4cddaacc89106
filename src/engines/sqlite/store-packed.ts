// One shard's changes as they cross threads: one buffer for all states, replies and other bytes, transferred.
// Cloning a state that is a view would clone the whole buffer behind it.

import { concat } from "../../base/index.ts";
import type { Cell, Changes } from "../../shards/index.ts";

type Numbers = readonly number[];
export type PackedChanges = {
  readonly shard: number;
  readonly position: Numbers;
  readonly names: readonly string[];
  readonly ids: readonly string[];
  readonly forgetOps: readonly string[];
  readonly trims: Changes["trims"];
  /** Per cell: version, schema. Per operation: seq, at, issuedAt (NaN for none), version. */
  readonly numbers: Float64Array<ArrayBuffer>;
  /** Lengths of: hash, extra, each state, each fingerprint and reply, in the order in which `bytes` holds them. */
  readonly lengths: Float64Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
};

export function packChanges({ shard, position, cells, ops, forgetOps, trims }: Changes): PackedChanges {
  const parts: Uint8Array[] = [position.hash, position.extra];
  const numbers = new Float64Array(cells.length * 2 + ops.length * 4);
  const names: string[] = [];
  let at = 0;
  for (const { type, key, version, schema, state } of cells) {
    names.push(type, key);
    numbers[at++] = version;
    numbers[at++] = schema;
    parts.push(state);
  }
  for (const op of ops) {
    numbers.set([op.seq, op.at, op.issuedAt ?? Number.NaN, op.version], at);
    at += 4;
    parts.push(op.fingerprint, op.reply);
  }
  return {
    shard,
    position: [position.generation, position.epoch, position.seq, position.at],
    names,
    ids: ops.map(({ id }) => id),
    forgetOps,
    trims,
    numbers,
    lengths: Float64Array.from(parts, ({ length }) => length),
    bytes: concat(parts),
  };
}

export const buffersOf = (packed: PackedChanges): ArrayBuffer[] => [
  packed.numbers.buffer,
  packed.lengths.buffer,
  packed.bytes.buffer,
];

export function unpackChanges({
  shard,
  position,
  names,
  ids,
  forgetOps,
  trims,
  numbers,
  lengths,
  bytes,
}: PackedChanges): Changes {
  let part = 0;
  let from = 0;
  let at = 0;
  const take = (): Uint8Array => bytes.subarray(from, (from += lengths[part++] as number));
  const number = (): number => numbers[at++] as number;
  const [generation, epoch, seq, time] = position as [number, number, number, number];
  const folded = { generation, epoch, seq, at: time, hash: take(), extra: take() };
  const cells = Array.from({ length: names.length / 2 }, (_, i) => ({
    type: names[i * 2] as string,
    key: names[i * 2 + 1] as string,
    version: number(),
    schema: number(),
    state: take(),
  }));
  const ops = ids.map((id) => {
    const [seq, at, issuedAt, version] = [number(), number(), number(), number()];
    return {
      id,
      seq,
      at,
      issuedAt: Number.isNaN(issuedAt) ? undefined : issuedAt,
      version,
      fingerprint: take(),
      reply: take(),
    };
  });
  return { shard, position: folded, cells, ops, forgetOps, ...(trims && { trims }) };
}

/** Cells as the answer to a lookup: the asker knows their types and keys. */
export type PackedCells = {
  /** Per name: version, schema, length of the state; a length of -1 says that there is no such cell. */
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
};

export type StoredCell = Pick<Cell, "version" | "schema" | "state">;

export function packCells(cells: readonly (StoredCell | undefined)[]): PackedCells {
  const numbers = new Float64Array(cells.length * 3);
  cells.forEach((cell, i) => {
    numbers[i * 3] = cell?.version ?? 0;
    numbers[i * 3 + 1] = cell?.schema ?? 0;
    numbers[i * 3 + 2] = cell?.state.length ?? -1;
  });
  return { numbers, bytes: concat(cells.flatMap((cell) => cell?.state ?? [])) };
}

/** The states are copies: a cell that is kept must not keep the others of its answer. */
export function unpackCells({ numbers, bytes }: PackedCells): (StoredCell | undefined)[] {
  let at = 0;
  return Array.from({ length: numbers.length / 3 }, (_, i) => {
    const [version, schema, length] = [numbers[i * 3], numbers[i * 3 + 1], numbers[i * 3 + 2]] as [
      number,
      number,
      number,
    ];
    return length < 0 ? undefined : { version, schema, state: bytes.slice(at, (at += length)) };
  });
}
