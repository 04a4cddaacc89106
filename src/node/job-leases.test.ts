// Jobs of nodes that are gone: they are due again once that is known, however long their leases would last.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, queue } from "../model/index.ts";
import { testApp } from "../sim/index.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

/** Far longer than any of these tests waits. */
const visibilityMs = 300_000;
const Slow = queue("slow", { input: z.string(), visibilityMs, attempts: 5, retry: { firstMs: 10, longestMs: 20 } });
const begun: string[] = [];
const held = { ends: (_job: string, _attempt: number): boolean => true };
/** Those under way that do not end by themselves. */
const open = new Set<() => void>();
function end(): void {
  for (const resolve of open) resolve();
  open.clear();
}
const slow = Slow.work(
  async ({ job, attempt }) => {
    begun.push(`${job}.${attempt}`);
    if (!held.ends(job, attempt)) await new Promise<void>((resolve) => void open.add(resolve));
  },
  { concurrency: 16 },
);
const post = app("post", { queues: [slow] });

test("a job of a node that died: others begin it at once, with its attempt counted, whether the node did it or had it done", () =>
  inCluster(post, { nodes: 3, shards: 8 }, async (client, w) => {
    begun.length = 0;
    held.ends = (_, attempt) => attempt > 1;
    const ids = Array.from({ length: 24 }, (_, n) => `j${n}`);
    for (const id of ids) await client.queue(Slow).add(id, { id });
    await w.sleep(500);
    assert.equal(begun.length, 24);
    w.machines[0]!.crash();
    await w.sleep(5000);
    const again = begun.filter((one) => one.endsWith(".2"));
    assert.ok(again.length > 0, "what the node had is begun again");
    assert.ok(again.length < 24, "and nothing else is");
    const owner = nodeOf(w, 1);
    assert.equal((await owner.queues()).items[0]?.leased, 24 - again.length);
    for (const one of again) assert.equal((await client.queue(Slow).result(one.slice(0, -2))).state, "done");
  }));

test("jobs of a process that was killed: they are begun again once it is started again, not when their leases end", async () => {
  begun.length = 0;
  held.ends = (_, attempt) => attempt > 1;
  const w = await testApp(post);
  for (const id of ["a", "b"]) await w.queue(Slow).add(id, { id });
  await w.advance(100);
  w.crash();
  await w.restart();
  await w.advance(1000);
  assert.deepEqual(begun.toSorted(), ["a.1", "a.2", "b.1", "b.2"]);
  assert.equal((await w.queue(Slow).result("a")).state, "done");
});

test("a job that kills its process: it is parked behind its attempts, and those that ran beside it are not", async () => {
  begun.length = 0;
  held.ends = () => false;
  const w = await testApp(post, { shards: 1 });
  const bystanders = Array.from({ length: 8 }, (_, n) => `j${n}`);
  for (const id of [...bystanders.slice(0, 4), "killer", ...bystanders.slice(4)]) await w.queue(Slow).add(id, { id });
  const isUnderWay = (): boolean => begun.some((one) => one.startsWith("killer"));
  for (let crashes = 0; crashes < 5; crashes++) {
    // A job takes longer than the pauses between attempts: what is begun together runs together.
    for (let i = 0; i < 20 && !isUnderWay(); i++) {
      await w.advance(30);
      if (!isUnderWay()) end();
    }
    assert.ok(isUnderWay(), `in run ${crashes + 1}`);
    w.crash();
    begun.length = 0;
    await w.restart();
  }
  for (let i = 0; i < 20; i++) {
    await w.advance(30);
    end();
  }
  assert.deepEqual(await w.queue(Slow).result("killer"), {
    state: "dead",
    attempts: 5,
    cause: "CALL_LOST: the node that had it is gone",
  });
  for (const id of bystanders) assert.equal((await w.queue(Slow).result(id)).state, "done", id);
});
