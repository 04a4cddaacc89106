import assert from "node:assert/strict";
import test from "node:test";
import { allWatched, defaultTiming, neighboursOf, Watch } from "./index.ts";

const named = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `n${i}`);

test("watch: in a small cluster all watch all, in a larger one each watches four", () => {
  for (let count = 1; count <= allWatched; count++)
    for (const me of named(count)) assert.equal(neighboursOf(me, named(count)).size, count - 1);
  for (const count of [6, 7, 50, 1000]) assert.equal(neighboursOf("n3", named(count)).size, 4);
  assert.deepEqual(neighboursOf("n0", []), new Set());
});

test("watch: W1 whoever is watched watches in turn, whatever the order in which members are known", () => {
  const ids = named(60);
  for (const me of ids)
    for (const other of neighboursOf(me, ids)) assert.ok(neighboursOf(other, [...ids].reverse()).has(me));
});

test("watch: W2 whoever is named is asked at every beat for two leases, and then rests again", () => {
  const ids = named(60);
  const watch = new Watch("n0", defaultTiming);
  watch.among(ids);
  const far = ids.find((id) => id !== "n0" && !neighboursOf("n0", ids).has(id)) as string;
  const restMs = 2 * defaultTiming.beatMs * ids.length;
  assert.equal(watch.restMs(far, 0), restMs);
  watch.named([far], 1000);
  assert.equal(watch.restMs(far, 2900), undefined);
  assert.equal(watch.restMs(far, 3001), restMs);
});

test("watch: the others are told once of each that is not heard, and again after it was heard; nobody where all watch all", () => {
  const watch = new Watch("n0", defaultTiming);
  watch.among(named(60));
  assert.deepEqual(watch.toTell(["n1", "n2"], 0), ["n1", "n2"]);
  assert.deepEqual(watch.toTell(["n1", "n2", "n3"], 0), ["n3"]);
  assert.deepEqual(watch.toTell(["n2"], 0), []);
  watch.named(["n7"], 0);
  assert.deepEqual(watch.toTell(["n2", "n7"], 100), [], "W3");
  assert.deepEqual(watch.toTell(["n1", "n2"], 0), ["n1"]);
  watch.among(named(allWatched));
  assert.deepEqual(watch.toTell(["n4"], 0), []);
});
