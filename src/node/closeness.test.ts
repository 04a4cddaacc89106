// Whom an owner takes for close enough to hand a shard to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import type { Shard } from "../shards/index.ts";
import { behindBy, type Behind, closest } from "./closeness.ts";

const at = (records: number, staleMs = 0): Behind => ({ records, staleMs });
const silent: Behind = { error: new SheafError("UNREACHABLE") };

test("closeness: of those that follow closely the closest is taken, of equals the first", () => {
  assert.equal(closest([at(7), at(3), at(3), at(9)], 1000), 1);
  assert.equal(closest([at(0), at(0)], 1000), 0);
  assert.equal(closest([silent, at(200)], 1000), 1);
});

test("closeness: who is far behind, cut off from the journal or silent is never taken", () => {
  assert.equal(closest([at(513), at(Infinity), silent], 1000), undefined);
  assert.equal(closest([at(0, 1001), at(500, 1000)], 1000), 1);
  assert.equal(closest([], 1000), undefined);
});

test("closeness: an answer is read for what it is, and one of another generation is no match", () => {
  const shard = { fold: { generation: 2, seq: 100 } } as Shard;
  assert.deepEqual(behindBy(shard, { generation: 2, seq: 90, staleMs: 5 }), at(10, 5));
  assert.deepEqual(behindBy(shard, { generation: 2, seq: 110, staleMs: 0 }), at(0), "it may know of more already");
  assert.deepEqual(behindBy(shard, { generation: 1, seq: 100, staleMs: 0 }), at(Infinity, Infinity));
  assert.deepEqual(behindBy(shard, { generation: 2, seq: "100", staleMs: 0 }), at(Infinity, Infinity));
  assert.deepEqual(behindBy(shard, undefined), at(0), "an earlier release does not tell");
});
