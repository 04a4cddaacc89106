import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { joinSeen, positionIn, type Seen, seenBeyond } from "./seen.ts";

const entry = fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 9 }));
const seenOf = (entries: readonly (readonly number[])[]): Seen =>
  [...new Map(entries.map((one) => [one[0], one])).values()].sort((a, b) => a[0]! - b[0]!).flat();
const seen = fc.array(entry, { maxLength: 7 }).map(seenOf);

/** By shard, in one number that rises with generation and sequence. */
const table = (of: Seen): Map<number, number> => {
  const map = new Map<number, number>();
  for (let i = 0; i < of.length; i += 3) map.set(of[i]!, of[i + 1]! * 1000 + of[i + 2]!);
  return map;
};

test("seen: who has seen both has of each shard the further one, in order, and nothing else", () => {
  fc.assert(
    fc.property(seen, seen, (a, b) => {
      const joined = joinSeen(a, b);
      const [x, y, both] = [table(a), table(b), table(joined)];
      for (let shard = 0; shard < 8; shard++) {
        const most = Math.max(x.get(shard) ?? 0, y.get(shard) ?? 0);
        assert.equal(both.get(shard) ?? 0, most);
        const { generation = 0, seq = 0 } = positionIn(joined, shard) ?? {};
        assert.equal(generation * 1000 + seq, most);
      }
      assert.deepEqual(
        [...both.keys()],
        [...both.keys()].sort((one, other) => one - other),
      );
      assert.deepEqual(joinSeen(b, a), joined);
      assert.equal(joinSeen(joined, a), joined, "nothing new is no new list");
    }),
    { seed: 1, numRuns: 5000 },
  );
});

test("seen: a floor and what goes beyond it are together what was seen, but for the shard left out", () => {
  fc.assert(
    fc.property(seen, seen, fc.nat(6), (all, floor, own) => {
      const beyond = seenBeyond(all, floor, own);
      const [x, y, rest] = [table(all), table(floor), table(beyond)];
      for (const [shard, at] of rest) assert.ok(shard !== own && at === x.get(shard) && at > (y.get(shard) ?? 0));
      for (const [shard, at] of x)
        if (shard !== own) assert.ok(Math.max(y.get(shard) ?? 0, rest.get(shard) ?? 0) >= at);
    }),
    { seed: 1, numRuns: 5000 },
  );
});
