import assert from "node:assert/strict";
import { test } from "node:test";
import type { Decoded } from "./index.ts";
import { follow, noTip, type Tip } from "./index.ts";

const hashOf = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const record = (seq: number, epoch: number, prev: Uint8Array, generation = 1): Pick<Decoded, "header" | "hash"> => ({
  header: { cluster: "c", shard: 0, generation, epoch, seq, prev, at: 0 },
  hash: hashOf(seq),
});
const tip = (seq: number, epoch: number): Tip => ({ generation: 1, epoch, seq, hash: hashOf(seq) });

test("chain C1: the next record is applied, from the very first on", () => {
  assert.deepEqual(follow(noTip, record(1, 1, new Uint8Array(32))), { kind: "apply", tip: tip(1, 1) });
  assert.deepEqual(follow(tip(7, 2), record(8, 2, hashOf(7))), { kind: "apply", tip: tip(8, 2) });
  assert.deepEqual(follow(tip(7, 2), record(8, 5, hashOf(7))), { kind: "apply", tip: tip(8, 5) });
});

test("chain C1: a gap, a repeat and a record that names another one before it are corruption", () => {
  for (const seq of [6, 7, 9]) assert.equal(follow(tip(7, 2), record(seq, 2, hashOf(7))).kind, "corrupt");
  assert.equal(follow(tip(7, 2), record(8, 2, hashOf(6))).kind, "corrupt");
  assert.equal(follow(noTip, record(1, 1, hashOf(1))).kind, "corrupt");
});

test("chain C2: a record below the highest epoch is void, and those after it still are measured by the highest", () => {
  const voided = follow(tip(7, 5), record(8, 4, hashOf(7)));
  assert.deepEqual(voided, { kind: "void", tip: tip(8, 5) });
  assert.ok(voided.kind === "void");
  assert.equal(follow(voided.tip, record(9, 4, hashOf(8))).kind, "void");
  assert.equal(follow(voided.tip, record(9, 5, hashOf(8))).kind, "apply");
});

test("chain C2: the planted defect M1 shows stale records, which the guarantee above would notice", () => {
  const faults = { mutant: (name: string) => name === "M1" };
  assert.equal(follow(tip(7, 5), record(8, 4, hashOf(7)), faults).kind, "apply");
});

test("chain C3: a record of another generation is corruption, but for a generation record of a higher one", () => {
  assert.equal(follow(tip(7, 2), record(8, 2, hashOf(7), 2)).kind, "corrupt");
  const raise = (generation: number): Parameters<typeof follow>[1] => ({
    ...record(8, 3, hashOf(7), generation),
    payload: { kind: "generation" },
  });
  assert.deepEqual(follow(tip(7, 2), raise(5)), { kind: "apply", tip: { ...tip(8, 3), generation: 5 } });
  for (const generation of [0, 1]) assert.equal(follow(tip(7, 2), raise(generation)).kind, "corrupt");
  assert.equal(follow({ ...tip(8, 3), generation: 5 }, record(9, 3, hashOf(8))).kind, "corrupt");
});
