// Which shard a key lives on. Stable forever: golden vectors guard it (shard-of.test.ts).
// FNV-1a over UTF-16 code units with the finaliser of MurmurHash3 (Appleby, public domain), 32 bits.

import type { Shard } from "./units.ts";

export function hash32(text: string, seed = 0): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i);
    h = Math.imul(h, 0x01000193);
  }
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}

/** A key of that type that is placed in this shard. */
export function keyIn(type: string, shard: Shard, shards: number): string {
  for (let n = 0; ; n++) {
    const key = `${shard}.${n}`;
    if (shardOf(type, key, shards) === shard) return key;
  }
}

/** The shard of an entity key. Entities of different types with the same key are placed apart from each other. */
export const shardOf = (type: string, key: string, shards: number): Shard => hash32(key, hash32(type)) % shards;
