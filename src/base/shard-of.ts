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

/** Entities whose keys are kept in shards of their own, so that nodes may host them apart from all others. */
export type Apart = { readonly entities: readonly string[]; readonly first: Shard; readonly shards: number };

/** By which role the nodes go that host this shard: the first name of those kept apart, `rest`, or `entities` where none are. */
export function roleOfShard(apart: readonly Apart[] | undefined, shard: Shard): string {
  if (apart === undefined) return "entities";
  return apart.find(({ first, shards }) => shard >= first && shard < first + shards)?.entities[0] ?? "rest";
}

/** The shard of a key in a cluster that keeps some entities apart: they have the shards at the end, and all else those before. A
 *  shard as such is addressed by a name that no entity can have, and by a key that `keyIn` made for it. */
export function placing(shards: number, apart: readonly Apart[] | undefined): (type: string, key: string) => Shard {
  if (apart === undefined) return (type, key) => shardOf(type, key, shards);
  const own = new Map(apart.flatMap((one) => one.entities.map((name) => [name, one])));
  const others = Math.min(...apart.map(({ first }) => first));
  return (type, key) => {
    const one = own.get(type);
    if (one) return one.first + shardOf(type, key, one.shards);
    const whole = shardOf(type, key, shards);
    return isEntityName(type) || !key.startsWith(`${whole}.`) ? shardOf(type, key, others) : whole;
  };
}

const isEntityName = (type: string): boolean => !type.includes(".") && !type.includes(" ");
