// What is being ended is known for as long as that is not durable, however many notes concern it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Settling } from "./settling.ts";

test("settling: a task is being ended until all that ends it is durable, or none of it came to be", () => {
  const settling = new Settling();
  const failed = { kind: "failed", task: "jqueue a/1", attempts: 1, cause: "" } as const;
  const purged = { kind: "purged", tasks: ["jqueue a/1", "jqueue a/2"] } as const;
  settling.add(failed);
  settling.add(purged);
  settling.durable(failed);
  assert.deepEqual([settling.has("jqueue a/1"), settling.has("jqueue a/2")], [true, true]);
  settling.durable(purged);
  assert.deepEqual([settling.has("jqueue a/1"), settling.has("jqueue a/2")], [false, false]);
  settling.add({ kind: "done", task: "m1.2" });
  settling.clear();
  assert.equal(settling.has("m1.2"), false);
});
