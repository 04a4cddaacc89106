// The local materialised store on SQLite, on a worker thread of its own: a node's cache of the state of its shards.

import { SheafError } from "../../base/index.ts";
import type { Log } from "../../host/index.ts";
import type { Cell, Image, Position, SavedOp, Store } from "../../shards/index.ts";
import { startWorker, type Link } from "./link.ts";
import { buffersOf, packChanges, unpackCells, type PackedCells } from "./store-packed.ts";
import type { CellName, StoreAsk, StoreRole } from "./store-worker.ts";

export type StoreOptions = {
  /** The node's own folder; no two processes may use one. Made when missing. */
  readonly dir: string;
  /** Tells the id of the cluster, asked at the first use of the store, by when the cluster exists; what was stored for
   *  another one is discarded. */
  readonly cluster: () => Promise<string>;
  /** The cluster's encryption key: values are kept sealed. */
  readonly encryptionKey?: Uint8Array | undefined;
  /** Told when what was stored before had to be discarded. */
  readonly log?: Log | undefined;
};

type Waiting = { readonly name: CellName; resolve(cell: Cell | undefined): void; reject(error: unknown): void };

/** A store in `dir`, which is opened at its first use: what was there is discarded if the machine was restarted since, or it
 *  is of another cluster or format, or damaged. An image's connection is held until both its streams were read, or one was
 *  left early. */
export function sqliteStore({ dir, cluster, encryptionKey, log }: StoreOptions): Store {
  async function open(): Promise<Link> {
    const link = await startWorker(import.meta.url, "store-worker", {
      dir,
      cluster: await cluster(),
      key: encryptionKey,
    } satisfies StoreRole);
    const discarded = await link.ask<string | undefined>({ kind: "discarded" } satisfies StoreAsk);
    if (discarded !== undefined)
      log?.warn("the local store is discarded and will be rebuilt", { dir, because: discarded });
    return link;
  }
  let opened: Promise<Link> | undefined;
  let closed = false;
  async function ask<T>(what: StoreAsk, transfer: ArrayBuffer[] = []): Promise<T> {
    if (closed) throw new SheafError("ENGINE_UNAVAILABLE", "the store is closed");
    // What could not be opened may be tried again: nothing rests on it yet.
    const link = await (opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw error;
    }));
    return link.ask<T>(what, transfer);
  }
  let waiting: Waiting[] = [];

  /** Lookups of one turn travel in one message. */
  async function lookUp(): Promise<void> {
    const asked = waiting;
    waiting = [];
    try {
      const cells = unpackCells(await ask<PackedCells>({ kind: "cells", names: asked.map(({ name }) => name) }));
      asked.forEach(({ name: [, type, key], resolve }, i) => resolve(cells[i] && { type, key, ...cells[i] }));
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
    search: (type, prefix, after, limit, shard) =>
      ask<readonly Cell[]>({ kind: "search", type, prefix, after, limit, shard }),
    async close() {
      closed = true;
      const link = await opened?.catch(() => undefined);
      await link?.end();
    },
  };
}
