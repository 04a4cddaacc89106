// What an operator sees of queues: on one node, and in a cluster asked at any of its nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, bindClient, queue } from "../model/index.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code, world } from "./world.fixture.ts";

const Labels = queue("labels", { input: z.object({ n: z.number() }), visibilityMs: 60_000, attempts: 2 });
const Mails = queue("mails", { input: z.object({ to: z.string() }) });
const post = app("post", { queues: [Labels, Mails.work(() => undefined, { concurrency: 5 })] });

const none = { ready: 0, leased: 0, delayed: 0, dead: 0, waitMs: 0 };

test("queues: what is ready, leased, delayed and dead is counted, and the next jobs are shown with their inputs", async () => {
  const w = await world({ app: post, shards: 1 });
  const client = bindClient<typeof post.contract>((target, input, extra) =>
    w.node
      .call({
        target,
        input,
        principal: { id: "tester", roles: [] },
        deadline: w.host.clock.tick() + (extra?.deadlineMs ?? 5000),
      })
      .then(({ output }) => output),
  );
  const labels = client.queue(Labels);
  for (const n of [1, 2, 3, 4]) await w.run(labels.add({ n }, { id: `l${n}`, priority: n === 4 ? 7 : 0 }));
  await w.run(labels.add({ n: 5 }, { id: "l5", delayMs: 30_000 }));
  const [first] = await w.run(labels.take());
  assert.equal(first?.id, "l4");
  const [second] = await w.run(labels.take());
  await w.run(labels.reject(second!, "no paper", { final: true }));
  await w.pass(2000);
  const { items, warnings } = await w.run(w.node.queues());
  assert.deepEqual(warnings, []);
  const [there, mails] = items;
  assert.deepEqual(
    { ...there, waitMs: 0 },
    { queue: "labels", ready: 2, leased: 1, delayed: 1, dead: 1, waitMs: 0, workers: [] },
  );
  assert.ok(there!.waitMs >= 2000 && there!.waitMs < 3000, `${there!.waitMs}`);
  assert.deepEqual(mails, { queue: "mails", ...none, workers: [{ node: w.node.id, hands: 5 }] });
  w.node.measure();
  const measured = ["ready", "leased", "delayed", "dead"].map((state) =>
    w.host.metric("sheaf_queue_jobs", { queue: "labels", state }),
  );
  assert.deepEqual(measured, [2, 1, 1, 1]);
  assert.ok(w.host.metric("sheaf_queue_oldest_seconds", { queue: "labels" }) >= 2);
  assert.equal(w.host.metric("sheaf_queue_jobs", { queue: "mails", state: "ready" }), 0);
  const next = (await w.run(w.node.jobs("labels", 50))).items;
  const left = ["l1", "l2", "l3"].filter((id) => id !== second!.id);
  assert.deepEqual(
    next.map(({ id, state, input }) => [id, state, input]),
    [...left.map((id) => [id, "ready", { n: Number(id.slice(1)) }]), ["l5", "delayed", { n: 5 }]],
  );
  assert.equal((await w.run(w.node.jobs("labels", 1))).items.length, 1);
  assert.deepEqual((await w.run(w.node.jobs("mails", 5))).items, []);
  for (let job = (await w.run(labels.take()))[0]; job; [job] = await w.run(labels.take())) await w.run(labels.ack(job));
  w.node.measure();
  assert.equal(w.host.metric("sheaf_queue_jobs", { queue: "labels", state: "ready" }), 0);
  assert.equal(w.host.metric("sheaf_queue_oldest_seconds", { queue: "labels" }), 0);
  await assert.rejects(w.run(w.node.jobs("lables", 5)), code("NOT_FOUND"));
});

/** One of three nodes has no worker. */
const each = (name: string): { roles: string[] } => ({
  roles: name === "node-1" ? ["entities"] : ["entities", "mails"],
});

test("queues of a cluster: each job is counted once, and all nodes that have the worker are named", () =>
  inCluster(post, { nodes: 3, shards: 8, each }, async (client, w) => {
    for (let n = 0; n < 12; n++) await client.queue(Labels).add({ n }, { id: `l${n}` });
    const nodes = [0, 1, 2].map((index) => nodeOf(w, index));
    for (const node of nodes) {
      const [labels, mails] = (await node.queues()).items;
      assert.deepEqual([labels?.queue, labels?.ready, labels?.workers], ["labels", 12, []]);
      assert.deepEqual(
        mails?.workers.map(({ hands }) => hands),
        [5, 5],
      );
      assert.ok(!mails?.workers.some((one) => one.node === "node-1"));
      assert.equal(new Set(mails?.workers.map((one) => one.node)).size, 2);
      const { items, warnings } = await node.jobs("labels", 50);
      assert.deepEqual([items.length, warnings], [12, []]);
      assert.equal(new Set(items.map(({ id }) => id)).size, 12);
      assert.equal((await node.local.jobs("labels", 50)).items.length < 12, true, "no node has all of them");
    }
  }));
