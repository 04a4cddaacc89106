import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Seen, SheafError } from "../base/index.ts";
import { realCrypto } from "../platform/crypto.ts";
import { keptWith, maxSessionLength, maxSessionShards, type Sessions, sessions } from "./session-token.ts";

const tokens = sessions(realCrypto, new Uint8Array(32).fill(7), "c");
const seenOf = (count: number, generation: number, seq: number): Seen =>
  Array.from({ length: count }, (_, shard) => [shard, generation, seq]).flat();
/** The same cluster, after a restart: it remembers no token. */
const anew = (): Sessions => sessions(realCrypto, new Uint8Array(32).fill(7), "c");

test("session token: a caller that has seen every shard of the largest cluster can send its token back", () => {
  const most = seenOf(maxSessionShards, 100, 2 ** 42 - 1);
  const token = tokens.make(most);
  assert.ok(token.length <= maxSessionLength, `${token.length} characters`);
  for (const reader of [tokens, anew()]) assert.deepEqual(reader.read(token), most);
  assert.ok(maxSessionLength <= 14 * 1024, "beside other headers, within the 16 KiB that HTTP stacks take");
  assert.ok(tokens.make(seenOf(64, 1, 1e6)).length < 600, "an ordinary one is small");
});

test("session token: after a restore, too, when generations are large, and sessions may have seen two of a shard", () => {
  const [before, since] = [7_654_321, 250_000_000];
  const most = seenOf(maxSessionShards, since, 2 ** 42 - 1);
  const mixed = most.map((number, i) => (i % 6 === 1 ? before : number));
  const both = Array.from({ length: 500 }, (_, shard) => [shard, before, 1e9, shard, since, 2e9]).flat();
  for (const seen of [most, mixed, both]) {
    const token = tokens.make(seen);
    assert.ok(token.length <= maxSessionLength, `${token.length} characters`);
    for (const reader of [tokens, anew()]) assert.deepEqual(reader.read(token), seen);
  }
  const tooMany = most.flatMap((shard, i) => (i % 3 === 0 ? [shard, before, 1e9, shard, since, 2 ** 42 - 1] : []));
  const token = tokens.make(tooMany);
  assert.ok(token.length <= maxSessionLength, `${token.length} characters`);
  for (const reader of [tokens, anew()]) assert.deepEqual(reader.read(token), most);
});

test("session token: what was seen is read as it was written, and any change to the text is refused", () => {
  const entry = fc.tuple(fc.integer({ min: 1, max: 2 ** 31 }), fc.maxSafeNat());
  const rows = fc.array(fc.tuple(fc.nat(40_000), entry), { maxLength: 20 });
  fc.assert(
    fc.property(rows, fc.nat(), (list, at) => {
      const each = new Map(list.map(([shard, at]) => [`${shard} ${at[0]}`, [shard, ...at]]));
      const seen = [...each.values()].sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!).flat();
      const token = tokens.make(seen);
      for (const reader of [tokens, anew()]) assert.deepEqual(reader.read(token), seen);
      assert.match(token, /^[A-Za-z0-9_-]+$/);
      const i = at % token.length;
      const other = token[i] === "A" ? "B" : "A";
      const bent = token.slice(0, i) + other + token.slice(i + 1);
      const lastBitsOnly =
        i === token.length - 1 && Buffer.from(bent, "base64url").equals(Buffer.from(token, "base64url"));
      if (!lastBitsOnly)
        assert.throws(
          () => tokens.read(bent),
          (error: SheafError) => error.code === "BAD_SESSION",
        );
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("session token: of another cluster, cut, too long or nonsense is BAD_SESSION", () => {
  const token = tokens.make(seenOf(3, 1, 5));
  const other = sessions(realCrypto, new Uint8Array(32).fill(7), "d");
  for (const [reader, text] of [
    [other, token],
    [tokens, token.slice(0, -4)],
    [tokens, token.slice(0, 20)],
    [tokens, "A".repeat(maxSessionLength + 1)],
    [tokens, "%%"],
    [tokens, "A"],
  ] as const)
    assert.throws(
      () => reader.read(text),
      (error: SheafError) => error.code === "BAD_SESSION",
      text.slice(0, 30),
    );
});

test("session token: joined, it has seen what both have, and one that adds nothing changes nothing", () => {
  const [a, b] = [tokens.make([1, 1, 5, 2, 1, 7]), tokens.make([0, 1, 1, 2, 1, 9])];
  assert.deepEqual(anew().read(tokens.join([a, b])), [0, 1, 1, 1, 1, 5, 2, 1, 9]);
  assert.equal(tokens.join([a, tokens.make([2, 1, 3])]), a);
  assert.equal(tokens.join(["", b, b]), b);
});

test("session token: several in one text have seen what each of them has, and one that is none spoils them", () => {
  const [a, b, c] = [tokens.make([1, 1, 5]), tokens.make([0, 1, 1, 1, 1, 7]), tokens.make([3, 1, 9])];
  for (const reader of [tokens, anew()]) assert.deepEqual(reader.read(`${a}, ${b},${c}`), [0, 1, 1, 1, 1, 7, 3, 1, 9]);
  for (const text of [
    `${a},${c.slice(1)}`,
    Array(500)
      .fill(tokens.make(seenOf(5, 1, 1)))
      .join(),
  ])
    assert.throws(
      () => anew().read(text),
      (error: SheafError) => error.code === "BAD_SESSION",
    );
});

test("session token: a caller keeps what an answer does not cover, as much of it as may be sent", () => {
  assert.equal(keptWith("", "", "a"), "a");
  assert.equal(keptWith("a", "a", "b"), "b");
  const two = keptWith(keptWith("a", "a", "b"), "a", "c");
  assert.equal(two, "b,c", "the calls were under way together");
  assert.equal(keptWith(two, "b,c", "d"), "d");
  assert.equal(keptWith(two, "b", "c"), "c");
  const long = (letter: string): string => letter.repeat(Math.floor(maxSessionLength / 2) - 1);
  assert.equal(keptWith(`${long("a")},${long("b")}`, "", long("c")), `${long("b")},${long("c")}`);
});

test("session token: one that lists shards in the order in which they were met, as before 0.1, is read in theirs", () => {
  const earlier = tokens.make([3, 1, 5, 1, 1, 7, 2, 1, 9]);
  assert.deepEqual(anew().read(earlier), [1, 1, 7, 2, 1, 9, 3, 1, 5]);
});

test("session token: however many come by, only so many are remembered, and every one is read as it was made", () => {
  const made = Array.from({ length: 5000 }, (_, i) => tokens.make(seenOf(16, 1, i)));
  made.forEach((token, i) => assert.deepEqual(tokens.read(token), seenOf(16, 1, i)));
});
