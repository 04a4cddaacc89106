// A node's local store, which outlives the node. Saves are atomic and in order, but the last few are lost with the power:
// the store is a cache, and says of itself up to where it is folded.

import { type Cell, loggedOf, logRows, memoryStore, type Changes, type LogsMemo, type Store } from "../shards/index.ts";
import type { Seq, Shard } from "../base/index.ts";
import { unpack } from "../wire/index.ts";
import type { Random } from "./random.ts";

type Step =
  | { readonly kind: "save"; readonly changes: readonly Changes[] }
  | { readonly kind: "clear"; readonly shard: Shard };

export interface SimStore {
  /** What one run of the node sees: nothing of it arrives, nor is answered, once `alive` says no. */
  open(alive: () => boolean): Store;
  /** What is kept of an entity. */
  cell(shard: Shard, type: string, key: string): Promise<Cell | undefined>;
  /** What is kept of topics, in words, and as of which record. */
  topics(shard: Shard): Promise<{ readonly seq: Seq; readonly says: string } | undefined>;
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
    topics: (shard) => topicsOf(kept, shard),
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

async function topicsOf(kept: Store, shard: Shard): Promise<{ readonly seq: Seq; readonly says: string } | undefined> {
  const position = await kept.position(shard);
  if (!position) return undefined;
  const { logs } = unpack(position.extra) as { logs?: LogsMemo };
  const all: string[] = [];
  for (const [topic, last, , floor, bytes] of logs?.logs ?? []) {
    const cells = await kept.search(logRows(topic), "", undefined, Infinity, shard);
    const left = cells.map(loggedOf).map(({ n, key, value }) => `${n} ${key} ${value.length}`);
    all.push(`${topic} ${last} ${floor} ${bytes}: ${left.join(", ")}`);
  }
  const places = (logs?.groups ?? []).map(
    ([group, topic, through, paused]) => `${group} ${topic} ${through} ${paused}`,
  );
  return { seq: position.seq, says: [...all.sort(), ...places.sort()].join("\n") };
}
