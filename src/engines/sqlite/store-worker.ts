// The worker thread of the local store.

import { workerData } from "node:worker_threads";
import { never, SheafError, type Shard } from "../../base/index.ts";
import { serve, type Answer } from "./serve.ts";
import { openStoreFile, type StoredImage, type StoreFile } from "./store-file.ts";
import { packCells, type PackedChanges } from "./store-packed.ts";

export type StoreRole = {
  readonly dir: string;
  readonly cluster: string;
  /** The cluster's encryption key. */
  readonly key: Uint8Array | undefined;
};
export type CellName = readonly [shard: Shard, type: string, key: string];

export type StoreAsk =
  | { readonly kind: "discarded" }
  | { readonly kind: "position" | "ops" | "clear" | "image"; readonly shard: Shard }
  | { readonly kind: "cells"; readonly names: readonly CellName[] }
  | { readonly kind: "save"; readonly changes: readonly PackedChanges[] }
  | {
      readonly kind: "search";
      readonly type: string;
      readonly prefix: string;
      readonly after: string | undefined;
      readonly limit: number;
      readonly shard: Shard | undefined;
    }
  | { readonly kind: "image-cells" | "image-ops" | "image-close"; readonly image: number };

const { dir, cluster, key } = workerData as StoreRole;
const images = new Map<number, StoredImage>();
let lastImage = 0;
let opened: StoreFile | undefined;

function imageOf(id: number): StoredImage {
  const image = images.get(id);
  if (!image) throw new SheafError("NOT_FOUND", "this image was closed");
  return image;
}

function carry(store: StoreFile, ask: StoreAsk): Answer["value"] {
  switch (ask.kind) {
    case "discarded":
      return store.discarded;
    case "position":
      return store.position(ask.shard);
    case "ops":
      return store.ops(ask.shard);
    case "clear":
      return store.clear(ask.shard);
    case "cells":
      return packCells(ask.names.map(([shard, type, key]) => store.cell(shard, type, key)));
    case "save":
      return store.save(ask.changes);
    case "search":
      return store.search(ask.type, ask.prefix, ask.after, ask.limit, ask.shard);
    case "image": {
      const image = store.image(ask.shard);
      if (!image) return undefined;
      images.set(++lastImage, image);
      return { image: lastImage, position: image.position };
    }
    case "image-cells":
      return imageOf(ask.image).cells();
    case "image-ops":
      return imageOf(ask.image).ops();
    case "image-close":
      images.get(ask.image)?.close();
      return void images.delete(ask.image);
    default:
      return never(ask);
  }
}

serve(
  () => void (opened = openStoreFile(dir, cluster, key)),
  (calls, answer) => {
    const store = opened as StoreFile;
    for (const { id, ask } of calls) {
      answer(id, () => {
        try {
          return { value: carry(store, ask as StoreAsk) };
        } catch (error) {
          store.suspect(error);
          throw error;
        }
      });
    }
  },
  () => {
    for (const image of images.values()) image.close();
    opened?.close();
  },
);
