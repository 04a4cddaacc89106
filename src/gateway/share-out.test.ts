// How shards are shared out among the consumers of a group.

import assert from "node:assert/strict";
import { test } from "node:test";
import { shareOut } from "./share-out.ts";

const named = (count: number): string[] => Array.from({ length: count }, (_, n) => `consumer-${n}`);

test("sharing out: no consumer has more than one shard more than another, and each shard has one", () => {
  for (let count = 1; count <= 20; count++)
    for (const shards of [1, 2, 7, 8, 64]) {
      const owners = shareOut(named(count), shards);
      const loads = named(count).map((name) => owners.filter((owner) => owner === name).length);
      assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `${count} of ${shards}: ${loads.join()}`);
      assert.equal(
        loads.reduce((sum, load) => sum + load, 0),
        shards,
      );
    }
  assert.deepEqual(shareOut([], 2), [undefined, undefined]);
});

test("sharing out: whoever joins or leaves moves less than half of what others have", () => {
  for (let count = 2; count <= 10; count++) {
    const before = shareOut(named(count), 64);
    const after = shareOut(named(count + 1), 64);
    const moved = before.filter(
      (owner, shard) => owner !== after[shard] && after[shard] !== `consumer-${count}`,
    ).length;
    assert.ok(moved < 32, `${count}: ${moved}`);
  }
});
