// A node's local store, which outlives the node. Saves are atomic and in order, but the last few are lost with the power:
// the store is a cache, and says of itself up to where it is folded.

import { type Cell, memoryStore, type Changes, type Store } from "../shards/index.ts";
import type { Shard } from "../base/index.ts";
import type { Random } from "./random.ts";

type Step =
  | { readonly kind: "save"; readonly changes: readonly Changes[] }
  | { readonly kind: "clear"; readonly shard: Shard };

export interface SimStore {
  /** What one run of the node sees: nothing of it arrives, nor is answered, once `alive` says no. */
  open(alive: () => boolean): Store;
  /** What is kept of an entity. */
  cell(shard: Shard, type: string, key: string): Promise<Cell | undefined>;
  /** Undoes a random number of the newest saves. */
  losePower(random: Random): Promise<void>;
  /** As after the disk was replaced. */
  wipe(): void;
}

export function simStore(): SimStore {
  let kept = memoryStore();
  let steps: Step[] = [];
  const replay = async (all: readonly Step[]): Promise<Store> => {
    const fresh = memoryStore();
    for (const step of all) await (step.kind === "save" ? fresh.save(step.changes) : fresh.clear(step.shard));
    return fresh;
  };
  return {
    open(alive) {
      const only = <T>(run: () => Promise<T>): Promise<T> => (alive() ? run() : new Promise(() => undefined));
      return {
        position: (shard) => only(() => kept.position(shard)),
        cell: (shard, type, key) => only(() => kept.cell(shard, type, key)),
        ops: (shard) => only(() => kept.ops(shard)),
        save: (changes) =>
          only(() => {
            steps.push({ kind: "save", changes });
            return kept.save(changes);
          }),
        clear: (shard) =>
          only(() => {
            steps.push({ kind: "clear", shard });
            return kept.clear(shard);
          }),
        image: (shard) => only(() => kept.image(shard)),
        search: (...asked) => only(() => kept.search(...asked)),
        close: async () => undefined,
      };
    },
    cell: (shard, type, key) => kept.cell(shard, type, key),
    async losePower(random) {
      steps = steps.slice(0, Math.max(0, steps.length - random.below(4)));
      kept = await replay(steps);
    },
    wipe() {
      steps = [];
      kept = memoryStore();
    },
  };
}
