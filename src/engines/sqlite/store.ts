// The local materialised store on SQLite, on a worker thread of its own: a node's cache of the state of its shards.

import type { Log } from "../../host/index.ts";
import type { Cell, Image, Position, SavedOp, Store } from "../../shards/index.ts";
import { startWorker } from "./link.ts";
import { buffersOf, packChanges } from "./store-packed.ts";
import type { CellName, StoreAsk, StoreRole } from "./store-worker.ts";

export type StoreOptions = {
  /** The node's own folder; no two processes may use one. Made when missing. */
  readonly dir: string;
  /** Id of the cluster; what was stored for another one is discarded. */
  readonly cluster?: string | undefined;
  /** Told when what was stored before had to be discarded. */
  readonly log?: Log | undefined;
};

type Waiting = { readonly name: CellName; resolve(cell: Cell | undefined): void; reject(error: unknown): void };

/** Opens the store in `dir`, discarding what was there if the machine was restarted since, or it is of another cluster or
 *  format, or damaged. An image's connection is held until both its streams were read, or one was left early. */
export async function sqliteStore({ dir, cluster = "", log }: StoreOptions): Promise<Store> {
  const link = await startWorker(import.meta.url, "store-worker", { dir, cluster } satisfies StoreRole);
  const ask = <T>(what: StoreAsk, transfer: ArrayBuffer[] = []): Promise<T> => link.ask<T>(what, transfer);
  const discarded = await ask<string | undefined>({ kind: "discarded" });
  if (discarded !== undefined) log?.warn("the local store is discarded and will be rebuilt", { dir, because: discarded });
  let waiting: Waiting[] = [];

  /** Lookups of one turn travel in one message. */
  async function lookUp(): Promise<void> {
    const asked = waiting;
    waiting = [];
    try {
      const cells = await ask<readonly (Cell | undefined)[]>({ kind: "cells", names: asked.map(({ name }) => name) });
      asked.forEach(({ resolve }, i) => resolve(cells[i]));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  function streams(image: number): Pick<Image, "cells" | "ops"> {
    let unread = 2;
    const close = (): Promise<void> => ask<void>({ kind: "image-close", image });
    async function* pages<T>(kind: "image-cells" | "image-ops"): AsyncGenerator<readonly T[]> {
      let done = false;
      try {
        for (;;) {
          const page = await ask<readonly T[]>({ kind, image });
          if (page.length === 0) break;
          yield page;
        }
        done = true;
      } finally {
        unread--;
        if (!done || unread === 0) await close();
      }
    }
    return { cells: pages<Cell>("image-cells"), ops: pages<SavedOp>("image-ops") };
  }

  return {
    position: (shard) => ask<Position | undefined>({ kind: "position", shard }),
    cell: (shard, type, key) =>
      new Promise((resolve, reject) => {
        if (waiting.push({ name: [shard, type, key], resolve, reject }) === 1) queueMicrotask(() => void lookUp());
      }),
    ops: (shard) => ask<readonly SavedOp[]>({ kind: "ops", shard }),
    async save(changes) {
      const packed = changes.map(packChanges);
      await ask({ kind: "save", changes: packed }, packed.flatMap(buffersOf));
    },
    clear: (shard) => ask<void>({ kind: "clear", shard }),
    async image(shard) {
      const opened = await ask<{ image: number; position: Position } | undefined>({ kind: "image", shard });
      return opened && { position: opened.position, ...streams(opened.image) };
    },
    search: (type, prefix, after, limit) => ask<readonly Cell[]>({ kind: "search", type, prefix, after, limit }),
    close: () => link.end(),
  };
}
