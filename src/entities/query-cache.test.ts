import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "../host/index.ts";
import type { CompiledEntity, Operation } from "../model/index.ts";
import type { Ask } from "./query.ts";
import { type Place, QueryCache } from "./query-cache.ts";

const code = { contract: { name: "account" } } as CompiledEntity;
const otherCode = { contract: { name: "account" } } as CompiledEntity;
const counts = new Map<string, number>();
const host = {
  meter: {
    counter: (_name: string, _help: string, labels: Record<string, string>) => ({
      add: () => void counts.set(labels.result!, (counts.get(labels.result!) ?? 0) + 1),
    }),
  },
  faults: { mutant: () => false },
} as unknown as Host;

function placeOf(cache: QueryCache, key: string, input?: unknown, version = 1, by = code, generation = 1): Place {
  const shard = { fold: { generation } };
  const ask = { entity: by, operation: { name: "balance" } as Operation, key, input, shard } as unknown as Ask;
  const place = cache.place(ask, version);
  assert.ok(place);
  return place;
}

test("query cache: an answer is found for the same question of the same state and code only", () => {
  const cache = new QueryCache({ queryCacheBytes: 10_000 }, host);
  cache.keep(placeOf(cache, "a", { n: 1 }), [1]);
  const found = (
    ...asked: [key: string, input?: unknown, version?: number, by?: CompiledEntity, generation?: number]
  ) => cache.find(placeOf(cache, ...asked))?.output;
  assert.deepEqual(found("a", { n: 1 }), [1]);
  assert.equal(found("b", { n: 1 }), undefined);
  assert.equal(found("a", { n: 2 }), undefined);
  assert.equal(found("a"), undefined);
  assert.equal(found("a", { n: 1 }, 2), undefined);
  assert.equal(found("a", { n: 1 }, 1, otherCode), undefined);
  assert.equal(found("a", { n: 1 }, 1, code, 2), undefined);
  assert.deepEqual([counts.get("hit"), counts.get("miss")], [1, 6]);
});

test("query cache: names that run into each other are told apart", () => {
  const cache = new QueryCache({ queryCacheBytes: 10_000 }, host);
  const names = [placeOf(cache, "a\0b"), placeOf(cache, "b", "a\0"), placeOf(cache, "\0b", "a"), placeOf(cache, "ab")];
  assert.equal(new Set(names.map(({ name }) => name)).size, names.length);
});

test("query cache: an answer is nobody's to change, and an empty one is one", () => {
  const cache = new QueryCache({ queryCacheBytes: 10_000 }, host);
  const given = { list: [1] };
  cache.keep(placeOf(cache, "a"), given);
  given.list.push(2);
  const first = cache.find(placeOf(cache, "a"))?.output as typeof given;
  first.list.push(3);
  assert.deepEqual(cache.find(placeOf(cache, "a"))?.output, { list: [1] });
  cache.keep(placeOf(cache, "none"), undefined);
  assert.deepEqual(cache.find(placeOf(cache, "none")), { output: undefined, packed: undefined });
});

test("query cache: it stays within its bytes, forgets what was used longest ago, and takes nothing that is too large", () => {
  const cache = new QueryCache({ queryCacheBytes: 4000 }, host);
  const answer = "x".repeat(1000);
  for (const key of ["a", "b", "c"]) cache.keep(placeOf(cache, key), answer);
  assert.ok(cache.find(placeOf(cache, "a")));
  cache.keep(placeOf(cache, "d"), answer);
  const there = ["a", "b", "c", "d"].filter((key) => cache.find(placeOf(cache, key)));
  assert.deepEqual(there, ["a", "c", "d"]);
  for (let i = 0; i < 100; i++) cache.keep(placeOf(cache, "a", undefined, i), answer);
  assert.ok(cache.find(placeOf(cache, "c")), "one that replaces another takes no room of others");
  cache.keep(placeOf(cache, "c"), "x".repeat(6000));
  assert.equal(cache.find(placeOf(cache, "c")), undefined);
  assert.ok(cache.find(placeOf(cache, "d")), "what does not fit makes no room for itself");
});

test("query cache: what no state was written for, and inputs that are large or no plain data, are not kept", () => {
  const cache = new QueryCache({ queryCacheBytes: 5000 }, host);
  const ask = (input: unknown): Ask =>
    ({ entity: code, operation: { name: "q" }, key: "k", input, shard: { fold: { generation: 1 } } }) as unknown as Ask;
  assert.equal(cache.place(ask(undefined), undefined), undefined);
  for (const odd of ["x".repeat(2000), new Date(), new Map(), { f: () => 1 }])
    assert.equal(cache.place(ask(odd), 1), undefined);
  assert.ok(cache.place(ask({ n: 1 }), 1));
});
