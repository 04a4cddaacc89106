// The local store in memory, for simulation and tests. It outlives the node object that uses it, as a disk would.

import type { Shard } from "../base/index.ts";
import type { Cell, Changes, Image, Position, SavedOp, Store } from "./store.ts";

type Kept = { position: Position; cells: Map<string, Cell>; ops: Map<string, SavedOp> };

const name = (type: string, key: string): string => `${type}\n${key}`;

async function* page<T>(all: T): AsyncIterable<T> {
  yield all;
}

export function memoryStore(): Store {
  const shards = new Map<Shard, Kept>();

  const save = async (changes: readonly Changes[]): Promise<void> => {
    for (const change of changes) {
      const kept: Kept = shards.get(change.shard) ?? { position: change.position, cells: new Map(), ops: new Map() };
      kept.position = change.position;
      for (const { type, below } of change.trims ?? [])
        for (const [id, cell] of kept.cells) if (cell.type === type && cell.key < below) kept.cells.delete(id);
      for (const cell of change.cells) kept.cells.set(name(cell.type, cell.key), cell);
      for (const op of change.ops) {
        kept.ops.delete(op.id); // so that they stay in the order of their last use
        kept.ops.set(op.id, op);
      }
      for (const id of change.forgetOps) kept.ops.delete(id);
      shards.set(change.shard, kept);
    }
  };

  const image = async (shard: Shard): Promise<Image | undefined> => {
    const kept = shards.get(shard);
    if (!kept) return undefined;
    const cells = [...kept.cells.values()];
    const ops = [...kept.ops.values()];
    return {
      position: kept.position,
      cells: page(cells),
      ops: page(ops),
    };
  };

  return {
    position: async (shard) => shards.get(shard)?.position,
    cell: async (shard, type, key) => shards.get(shard)?.cells.get(name(type, key)),
    ops: async (shard) => [...(shards.get(shard)?.ops.values() ?? [])],
    save,
    clear: async (shard) => void shards.delete(shard),
    image,
    search: async (type, prefix, after, limit, shard) =>
      [...shards]
        .filter(([number]) => shard === undefined || number === shard)
        .map(([, kept]) => kept)
        .flatMap((kept) => [...kept.cells.values()])
        .filter(
          (cell) => cell.type === type && cell.key.startsWith(prefix) && (after === undefined || cell.key > after),
        )
        .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
        .slice(0, limit),
    close: async () => {},
  };
}
