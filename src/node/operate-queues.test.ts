// What an operator sees of queues: on one node, and in a cluster asked at any of its nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, bindClient, type Client, queue } from "../model/index.ts";
import { memoryStore } from "../shards/index.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code, type World, world } from "./world.fixture.ts";

const Labels = queue("labels", { input: z.object({ n: z.number() }), visibilityMs: 60_000, attempts: 2 });
const Mails = queue("mails", { input: z.object({ to: z.string() }) });
const post = app("post", { queues: [Labels, Mails.work(() => undefined, { concurrency: 5 })] });

const none = { ready: 0, leased: 0, delayed: 0, dead: 0, waitMs: 0 };

test("queues: what is ready, leased, delayed and dead is counted, and the next jobs are shown with their inputs", async () => {
  const w = await world({ app: post, shards: 1 });
  const client = clientOf(w);
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
    { queue: "labels", state: "open", ready: 2, leased: 1, delayed: 1, dead: 1, waitMs: 0, workers: [] },
  );
  assert.ok(there!.waitMs >= 2000 && there!.waitMs < 3000, `${there!.waitMs}`);
  assert.deepEqual(mails, { queue: "mails", state: "open", ...none, workers: [{ node: w.node.id, hands: 5 }] });
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

const clientOf = (w: World): Client =>
  bindClient((target, input, extra) =>
    w.node
      .call({
        target,
        input,
        principal: { id: "tester", roles: [] },
        deadline: w.host.clock.tick() + (extra?.deadlineMs ?? 5000),
      })
      .then(({ output }) => output),
  );

test("a queue that is paused: nothing is begun, not after a crash and not from a snapshot; what is leased goes on, and more may be added", async () => {
  const before = await world({ app: post, shards: 2 });
  const client = clientOf(before);
  for (const n of [1, 2]) await before.run(client.queue(Labels).add({ n }, { id: `l${n}` }));
  const [leased] = await before.run(client.queue(Labels).take());
  await before.run(before.node.changeQueue("labels", { act: "pause" }));
  await before.run(before.node.changeQueue("mails", { act: "pause" }));
  await before.run(client.queue(Labels).add({ n: 3 }, { id: "l3" }));
  const mail = await before.run(client.queue(Mails).add({ to: "ann" }));
  assert.deepEqual(await before.run(client.queue(Labels).take({ max: 5 })), []);
  await before.run(client.queue(Labels).ack(leased!));
  before.node.measure();
  assert.equal(before.host.metric("sheaf_queue_paused", { queue: "labels" }), 1);
  await before.run(before.node.stop(1000));
  // Once with what the local store has, and once from the journal alone.
  for (const store of [undefined, memoryStore()]) {
    const w = await world({ app: post, shards: 2, from: before, ...(store && { store }) });
    const again = clientOf(w);
    await w.pass(5000);
    assert.deepEqual(await w.run(again.queue(Labels).take({ max: 5 })), []);
    assert.equal((await w.run(again.queue(Mails).result(mail))).state, "waiting");
    const states = (await w.run(w.node.queues())).items.map(({ queue: name, state }) => `${name} ${state}`);
    assert.deepEqual(states, ["labels paused", "mails paused"]);
    if (store) {
      await w.run(w.node.changeQueue("labels", { act: "resume" }));
      await w.run(w.node.changeQueue("mails", { act: "resume" }));
      assert.equal((await w.run(again.queue(Mails).result(mail, { waitMs: 1000 }))).state, "done");
      assert.equal((await w.run(again.queue(Labels).take({ max: 5 }))).length, 2);
      await assert.rejects(w.run(w.node.changeQueue("lables", { act: "pause" })), code("NOT_FOUND"));
    }
    await w.run(w.node.stop(1000));
  }
});

test("a purge: it drops what waits and nobody has; who waits for that, asks, or adds it again is told so, after a restart too", async () => {
  const before = await world({ app: post, shards: 2 });
  const client = clientOf(before);
  for (const n of [1, 2, 3]) await before.run(client.queue(Labels).add({ n }, { id: `l${n}`, priority: -n }));
  await before.run(client.queue(Labels).add({ n: 4 }, { id: "l4", delayMs: 60_000 }));
  const [leased, dead] = await before.run(client.queue(Labels).take({ max: 2 }));
  await before.run(client.queue(Labels).reject(dead!, "no paper", { final: true }));
  const left = ["l1", "l2", "l3", "l4"].filter((id) => id !== leased!.id && id !== dead!.id);
  const [first] = left;
  const waited = client.queue(Labels).result(first!, { waitMs: 4000 });
  const told = assert.rejects(waited, code("PURGED"));
  const preview = await before.run(before.node.changeQueue("labels", { act: "purge", dryRun: true }));
  assert.deepEqual(preview, { items: [{ jobs: 2 }], warnings: [] });
  const began = before.host.clock.tick();
  const { items } = await before.run(before.node.changeQueue("labels", { act: "purge", dryRun: false }));
  assert.deepEqual(items, [{ jobs: 2 }]);
  await before.run(told);
  assert.ok(before.host.clock.tick() - began < 400, "whoever waits is told at once");
  await before.run(client.queue(Labels).extend(leased!, 600_000));
  await before.run(before.node.stop(1000));
  for (const store of [undefined, memoryStore()]) {
    const w = await world({ app: post, shards: 2, from: before, ...(store && { store }) });
    const again = clientOf(w);
    for (const id of left) {
      await assert.rejects(w.run(again.queue(Labels).result(id)), code("PURGED"));
      await assert.rejects(w.run(again.queue(Labels).add({ n: Number(id.slice(1)) }, { id })), code("PURGED"));
    }
    assert.deepEqual(await w.run(again.queue(Labels).take({ max: 5 })), []);
    assert.equal((await w.run(again.queue(Labels).result(leased!.id))).state, "running");
    assert.equal((await w.run(again.queue(Labels).result(dead!.id))).state, "dead");
    await w.run(w.node.stop(1000));
  }
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
