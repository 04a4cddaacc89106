import assert from "node:assert/strict";
import { test } from "node:test";
import { approach, claimEpoch, judge, sight } from "./tenure.ts";

const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const head = (seq: number, epoch = 3, generation = 1) => ({ shard: 0, generation, epoch, seq });

test("tenure: T1 a claim is one above the highest epoch read", () => assert.equal(claimEpoch(7), 8));

test("tenure: T3 only what stands at its place decides an append", () => {
  assert.deepEqual(judge(hash(1), { epoch: 3, hash: hash(1) }), { kind: "applied" });
  assert.deepEqual(judge(hash(1), { epoch: 4, hash: hash(2) }), { kind: "lost", to: 4 });
  assert.deepEqual(judge(hash(1), { epoch: 3, hash: hash(2) }), { kind: "lost", to: 3 });
  assert.deepEqual(judge(hash(1), undefined), { kind: "open" });
});

test("tenure: a barrier shows an owner itself, another owner, or a journal that went back", () => {
  const place = { generation: 1, epoch: 3, seq: 10 };
  assert.equal(sight(place, head(10)).kind, "own");
  assert.equal(sight(place, head(11)).kind, "own");
  assert.deepEqual(sight(place, head(11, 4)), { kind: "foreign", epoch: 4 });
  assert.equal(sight(place, head(9)).kind, "behind");
  assert.equal(sight(place, head(10, 3, 2)).kind, "behind");
});

test("tenure: T5 a stored place beyond the journal is behind; one of a generation that was left is forgotten", () => {
  const stored = { generation: 1, epoch: 3, seq: 10 };
  assert.equal(approach(stored, 1, head(10)).kind, "read");
  assert.equal(approach(stored, 11, head(20)).kind, "read");
  assert.equal(approach(stored, 12, head(20)).kind, "snapshot");
  assert.equal(approach(stored, 1, head(9)).kind, "behind");
  assert.equal(approach(stored, 1, head(10, 3, 2)).kind, "left");
  assert.equal(approach({ ...stored, generation: 3 }, 1, head(10, 3, 2)).kind, "behind");
  assert.equal(approach(undefined, 1, head(0)).kind, "read");
  assert.equal(approach(undefined, 5, head(9)).kind, "snapshot");
});
