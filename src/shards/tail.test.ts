import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultLimits } from "../base/index.ts";
import { memoryEngine } from "../journal/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { Shard } from "./shard.ts";
import { Tail } from "./tail.ts";

test("tail: a closed one follows nothing, not even a shard that is opened or handed over later", () => {
  const engine = memoryEngine();
  let watching = 0;
  const watch = (): (() => void) => {
    watching++;
    return () => void watching--;
  };
  const tail = new Tail({ host: simHost(), limits: defaultLimits, engine: { ...engine, watch } }, () => {});
  const shard = (number: number): Shard => ({ number, held: undefined }) as Shard;
  const [first, second] = [shard(0), shard(1)];
  tail.add(first);
  tail.delete(first);
  assert.equal(watching, 0, "nothing is followed");
  tail.add(first);
  assert.equal(watching, 1, "nor is that the end of it");
  tail.close();
  tail.add(second);
  assert.equal(watching, 0);
});
