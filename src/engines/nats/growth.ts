// Who is told that journals have grown. Hints of one turn of the event loop are told together.

import type { Shard } from "../../base/index.ts";

type OnGrown = (shards: readonly Shard[] | undefined) => void;

export type Growth = {
  watch(onGrown: OnGrown): () => void;
  tell(shard: Shard): void;
  /** Hints may have been lost. */
  tellAll(): void;
  end(): void;
};

export function growth(): Growth {
  const watchers = new Set<{ readonly onGrown: OnGrown }>();
  const grown = new Set<Shard>();
  let isAny = false;
  let due: NodeJS.Immediate | undefined;

  const flush = (): void => {
    due = undefined;
    const shards = isAny ? undefined : [...grown];
    isAny = false;
    grown.clear();
    for (const one of watchers) one.onGrown(shards);
  };
  const soon = (): void => {
    if (watchers.size > 0) due ??= setImmediate(flush);
  };

  return {
    watch(onGrown) {
      const one = { onGrown };
      watchers.add(one);
      return () => void watchers.delete(one);
    },
    tell(shard) {
      grown.add(shard);
      soon();
    },
    tellAll() {
      isAny = true;
      soon();
    },
    end() {
      watchers.clear();
      if (due) clearImmediate(due);
    },
  };
}
