import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { copies, type Member, rank } from "./index.ts";
import { ln } from "./placement.ts";
import { memberNamed } from "./world.fixture.ts";

const cluster = (count: number, seed = 0): Member[] =>
  Array.from({ length: count }, (_, i) => memberNamed(`node-${seed}-${i}`));
const shardsOf = (count: number): number[] => Array.from({ length: count }, (_, shard) => shard);
const ownerOf = (shard: number, members: readonly Member[]): string => copies(shard, members, 1)[0] ?? "";

function owned(shards: number, members: readonly Member[]): Map<string, number> {
  const counts = new Map(members.map(({ id }) => [id, 0]));
  for (const shard of shardsOf(shards)) {
    const owner = ownerOf(shard, members);
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return counts;
}

test("placement: shards are spread like dice, for 3, 5 and 20 members", () => {
  // Each count is binomial: over many clusters 4.5 deviations are hardly ever passed, and their spread is as it should be.
  for (const shards of [64, 1024])
    for (const size of [3, 5, 20]) {
      const deviation = Math.sqrt(shards * (1 / size) * (1 - 1 / size));
      let squares = 0;
      for (let seed = 0; seed < 40; seed++)
        for (const [id, count] of owned(shards, cluster(size, seed))) {
          const off = (count - shards / size) / deviation;
          squares += off ** 2;
          assert.ok(Math.abs(off) < 4.5, `${id} has ${count} of ${shards} among ${size}`);
        }
      const spread = Math.sqrt(squares / (40 * size));
      assert.ok(spread > 0.8 && spread < 1.2, `${shards} over ${size}: ${spread} deviations`);
    }
});

test("placement: names that differ in one character share the shards as evenly as any", () => {
  for (const names of ["abc", "abcdefghijklmnopqrst", "123"]) {
    const members = [...names].map((name) => memberNamed(name));
    const share = 4096 / members.length;
    for (const [id, count] of owned(4096, members))
      assert.ok(Math.abs(count - share) < 5 * Math.sqrt(share), `${id} has ${count}, not about ${share}`);
  }
});

test("placement: shares are proportional to weights", () => {
  const members = [1, 2, 3, 4].map((weight) => memberNamed(`w${weight}`, { weight }));
  const counts = owned(10_000, members);
  for (const { id, weight } of members) {
    const share = weight * 1000;
    assert.ok(Math.abs((counts.get(id) ?? 0) - share) < 5 * Math.sqrt(share), `${id} has ${counts.get(id)}`);
  }
});

test("placement: a member that joins or leaves moves only the shards that it gets or had", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(1000), fc.nat(), (size, seed, pick) => {
      const members = cluster(size + 1, seed);
      const joiner = members[pick % members.length]?.id ?? "";
      const others = members.filter(({ id }) => id !== joiner);
      for (const shard of shardsOf(64)) {
        assert.deepEqual(
          rank(shard, members).filter((id) => id !== joiner),
          rank(shard, others),
        );
      }
    }),
    { numRuns: 40 },
  );
});

test("placement: with zones, a member that joins takes the place of at most one copy and moves no other", () => {
  const zoned = fc.array(fc.constantFrom("x", "y", "z"), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(zoned, fc.constantFrom("x", "y", "z", "w"), fc.integer({ min: 1, max: 4 }), (zones, zone, count) => {
      const others = zones.map((its, i) => memberNamed(`m${i}`, { zone: its }));
      const joiner = memberNamed("joiner", { zone });
      for (const shard of shardsOf(32)) {
        const before = copies(shard, others, count);
        const after = copies(shard, [...others, joiner], count);
        assert.ok(after.every((id) => id === "joiner" || before.includes(id)));
        assert.ok(before.filter((id) => !after.includes(id)).length <= 1);
      }
    }),
  );
});

test("placement: a change of weight moves shards only to or from the member that changed", () => {
  const members = cluster(6);
  const heavier = members.map((member, i) => (i === 2 ? { ...member, weight: 1.5 } : member));
  const changed = shardsOf(1024).filter((shard) => ownerOf(shard, members) !== ownerOf(shard, heavier));
  assert.ok(changed.length > 0);
  for (const shard of changed) assert.equal(ownerOf(shard, heavier), members[2]?.id);
});

test("placement: copies are in as many zones as there are, the owner is the best ranked, and none is twice there", () => {
  const members = cluster(9).map((member, i) => ({ ...member, zone: `zone-${i % 3}` }));
  const zoneOf = new Map(members.map(({ id, zone }) => [id, zone]));
  for (const shard of shardsOf(256)) {
    const three = copies(shard, members, 3);
    const zoneless = members.map((member) => ({ ...member, zone: "" }));
    assert.deepEqual(copies(shard, zoneless, 9), rank(shard, members));
    assert.equal(three[0], rank(shard, members)[0]);
    assert.equal(new Set(three.map((id) => zoneOf.get(id))).size, 3);
    assert.equal(new Set(copies(shard, members, 9)).size, 9);
    assert.deepEqual(copies(shard, members, 5).slice(0, 3), three);
  }
  assert.equal(copies(1, members.slice(0, 2), 3).length, 2);
});

test("placement: the copies are those that picking the best of a new zone again and again comes to", () => {
  const zoned = fc.array(fc.tuple(fc.constantFrom("x", "y", "z"), fc.constantFrom(1, 1, 1, 0.5, 7)), {
    minLength: 1,
    maxLength: 30,
  });
  fc.assert(
    fc.property(zoned, fc.integer({ min: 1, max: 5 }), fc.nat(1000), (drawn, count, shard) => {
      const members = drawn.map(([zone, weight], i) => memberNamed(`node-${i}`, { zone, weight }));
      let left = rank(shard, members);
      const picked: string[] = [];
      const zoneOf = (id: string): string => members.find((member) => member.id === id)?.zone ?? "";
      while (picked.length < count && left.length > 0) {
        const next = left.find((id) => !picked.some((other) => zoneOf(other) === zoneOf(id))) ?? left[0]!;
        picked.push(next);
        left = left.filter((id) => id !== next);
      }
      assert.deepEqual(copies(shard, members, count), picked);
    }),
  );
});

test("placement: a node's next run gets the shards of its last, whatever its id, address and order", () => {
  const before = cluster(5);
  const after = before.map((member, i) => ({ ...member, id: `run-${9 - i}`, peer: `elsewhere:${i}` })).reverse();
  const nameOf = new Map(after.map(({ id, name }) => [id, name]));
  for (const shard of shardsOf(64)) assert.equal(nameOf.get(ownerOf(shard, after)), ownerOf(shard, before));
});

test("placement: shards go to the best kind of member that there is, and never to one that hosts none", () => {
  const ready = memberNamed("ready");
  const idle = memberNamed("idle", { weight: 0 });
  const cordoned = memberNamed("cordoned", { cordoned: true });
  const draining = memberNamed("draining", { state: "draining" });
  const never = [memberNamed("edge", { entities: false }), memberNamed("new", { state: "starting" })];
  const kinds = [ready, idle, cordoned, draining];
  for (let from = 0; from < kinds.length; from++)
    for (const shard of shardsOf(16))
      assert.deepEqual(copies(shard, [...never, ...kinds.slice(from)].reverse(), 3), [kinds[from]?.id]);
  assert.deepEqual(rank(0, never), []);
  assert.deepEqual(rank(0, []), []);
});

test("placement: known shards stay where they are", () => {
  const members = ["alpha", "beta", "gamma"].map((name) => memberNamed(name));
  assert.equal(
    shardsOf(16)
      .map((shard) => ownerOf(shard, members).charAt(0))
      .join(""),
    "baagggabgggabbab",
  );
});

test("placement: its logarithm is that of mathematics", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-12, max: 1, noNaN: true, maxExcluded: true }), (x) => {
      assert.ok(Math.abs(ln(x) - Math.log(x)) <= 1e-14 * Math.abs(Math.log(x)) + 1e-18, `ln ${x}`);
    }),
    { numRuns: 2000 },
  );
});
