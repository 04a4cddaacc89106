import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type Apart, hash32, keyIn, placing, roleOfShard, shardOf } from "./shard-of.ts";

const apart: readonly Apart[] = [
  { entities: ["order", "cart"], first: 48, shards: 16 },
  { entities: ["seat"], first: 32, shards: 16 },
];

test("shards: known keys stay where they are, for ever", () => {
  const place = placing(64, apart);
  const known: readonly (readonly [string, string, number, number, number])[] = [
    ["account", "a", 3_727_638_535, 7, 7],
    ["account", "acc-7", 3_599_840_448, 0, 0],
    ["order", "1", 8_932_712, 40, 56],
    ["cart", "1", 1_867_115_284, 20, 52],
    ["sheaf.inbox", "3.0", 2_023_281_264, 48, 16],
    ["x", "ü🐦", 1_252_928_002, 2, 2],
    ["x", "", 4_234_818_302, 62, 30],
  ];
  for (const [type, key, hash, shard, placed] of known)
    assert.deepEqual(
      [hash32(key, hash32(type)), shardOf(type, key, 64), place(type, key)],
      [hash, shard, placed],
      type,
    );
});

test("shards: entities that are kept apart have theirs alone, and all else those before", () => {
  const place = placing(64, apart);
  const met = new Map<string, Set<number>>();
  fc.assert(
    fc.property(
      fc.constantFrom("order", "cart", "seat", "account", "toString", "queue mail", "sheaf.topic"),
      fc.string(),
      (type, key) => {
        const shard = place(type, key);
        const role = roleOfShard(apart, shard);
        const meant = new Map([
          ["order", "order"],
          ["cart", "order"],
          ["seat", "seat"],
        ]);
        assert.equal(role, meant.get(type) ?? "rest", `${type} lies in a shard of ${role}`);
        met.set(type, (met.get(type) ?? new Set()).add(shard));
      },
    ),
    { numRuns: 5000 },
  );
  for (const type of ["order", "cart", "seat"]) assert.equal(met.get(type)?.size, 16, type);
  for (const type of ["account", "queue mail", "sheaf.topic"]) assert.equal(met.get(type)?.size, 32, type);
});

test("shards: a shard can be addressed by a key of the runtime's own names, whatever is kept apart", () => {
  const place = placing(64, apart);
  for (let shard = 0; shard < 64; shard++) assert.equal(place("sheaf.inbox", keyIn("sheaf.inbox", shard, 64)), shard);
});

test("shards: where nothing is kept apart, all go by one role", () => {
  assert.equal(placing(64, undefined)("order", "1"), shardOf("order", "1", 64));
  assert.equal(roleOfShard(undefined, 3), "entities");
});
