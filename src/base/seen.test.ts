import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isThereOf, joinSeen, latestSeen, type Seen, seenBeyond, withoutHeld } from "./seen.ts";

const entry = fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 9 }));
const seenOf = (entries: readonly (readonly number[])[]): Seen =>
  [...new Map(entries.map((one) => [one[0]! * 1000 + one[1]!, one])).values()]
    .sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!)
    .flat();
const seen = fc.array(entry, { maxLength: 9 }).map(seenOf);
const single = seen.map((all) => latestSeen(all, 0));

/** Sequence by shard and generation. */
const table = (of: Seen): Map<number, number> => {
  const map = new Map<number, number>();
  for (let i = 0; i < of.length; i += 3) map.set(of[i]! * 1000 + of[i + 1]!, of[i + 2]!);
  return map;
};

test("seen: who has seen both has of each generation of a shard the further one, in order, and nothing else", () => {
  fc.assert(
    fc.property(seen, seen, (a, b) => {
      const joined = joinSeen(a, b);
      const [x, y, both] = [table(a), table(b), table(joined)];
      const places = [...new Set([...x.keys(), ...y.keys()])].sort((one, other) => one - other);
      assert.deepEqual([...both.keys()], places);
      for (const [place, seq] of both) assert.equal(seq, Math.max(x.get(place) ?? 0, y.get(place) ?? 0));
      assert.deepEqual(joinSeen(b, a), joined);
      assert.equal(joinSeen(joined, a), joined, "nothing new is no new list");
    }),
    { seed: 1, numRuns: 5000 },
  );
});

test("seen: what is missing of an earlier generation is not hidden by what was seen of a later one (F8)", () => {
  const isThere = (generation: number, seq: number): boolean => seq <= (generation === 1 ? 100 : 107);
  const [older, newer] = [
    [2, 1, 110],
    [1, 2, 4, 2, 2, 103],
  ];
  for (const both of [joinSeen(older, newer), joinSeen(newer, older)]) {
    assert.equal(isThereOf(both, 2, isThere), false);
    assert.equal(isThereOf(both, 1, isThere), true);
    assert.equal(withoutHeld(both, 2, isThere), both, "nor dropped");
  }
  const held = joinSeen([2, 1, 100], newer);
  assert.ok(isThereOf(held, 2, isThere));
  assert.equal(withoutHeld(held, 1, isThere), held, "of another shard");
  assert.deepEqual(withoutHeld(held, 2, isThere), newer, "the later generation begins behind it");
});

test("seen: the latest of each shard, from some generation on", () => {
  fc.assert(
    fc.property(seen, fc.integer({ min: 0, max: 4 }), (all, since) => {
      const places = [...table(all)];
      const isLatest = (place: number): boolean => !places.some(([at]) => at > place && at - (at % 1000) < place);
      const expected = places.filter(([place]) => place % 1000 >= since && isLatest(place));
      assert.deepEqual([...table(latestSeen(all, since))], expected);
    }),
    { seed: 1, numRuns: 2000 },
  );
});

test("seen: a floor and what goes beyond it are together what was seen, but for the shard left out", () => {
  const far = (of: Seen): Map<number, number> =>
    new Map([...table(of)].map(([place, seq]) => [Math.floor(place / 1000), (place % 1000) * 1000 + seq]));
  fc.assert(
    fc.property(single, single, fc.nat(6), (all, floor, own) => {
      const [x, y, rest] = [far(all), far(floor), far(seenBeyond(all, floor, own))];
      for (const [shard, at] of rest) assert.ok(shard !== own && at === x.get(shard) && at > (y.get(shard) ?? 0));
      for (const [shard, at] of x)
        if (shard !== own) assert.ok(Math.max(y.get(shard) ?? 0, rest.get(shard) ?? 0) >= at);
    }),
    { seed: 1, numRuns: 5000 },
  );
});
