// The caller's side of watching: asks the reader's thread for the next growth as long as anybody watches.

import type { Shard } from "../../base/index.ts";
import type { Grown } from "./growth.ts";
import type { Link } from "./link.ts";
import type { ReaderAsk } from "./worker.ts";

type Watch = { readonly onGrown: (shards: readonly Shard[] | undefined) => void };

export type Watches = {
  /** As `Engine.watch`. */
  add(onGrown: Watch["onGrown"]): () => void;
  /** Ends all. */
  end(): void;
};

export function openWatches(reader: Link): Watches {
  const watches = new Set<Watch>();
  let runs = false;

  async function nextGrowth(): Promise<Grown | "gone"> {
    return reader.ask<Grown>({ kind: "growth" } satisfies ReaderAsk).catch(() => "gone" as const);
  }
  async function run(): Promise<void> {
    runs = true;
    while (watches.size > 0) {
      const grown = await nextGrowth();
      if (grown === "gone") break;
      if (grown.length === 0) continue;
      const shards = grown === "any" ? undefined : grown;
      for (const watch of watches) watch.onGrown(shards);
    }
    runs = false;
  }
  function rest(): void {
    if (runs && watches.size === 0) reader.ask({ kind: "rest" } satisfies ReaderAsk).catch(() => {});
  }
  return {
    add(onGrown) {
      const watch: Watch = { onGrown };
      watches.add(watch);
      if (!runs) void run();
      return () => {
        if (watches.delete(watch)) rest();
      };
    },
    end() {
      watches.clear();
      rest();
    },
  };
}
