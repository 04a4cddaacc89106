// Queues with a rate: how fast jobs are begun by all nodes and consumers of a cluster together.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { shardOf } from "../base/index.ts";
import { app, queue, queueType } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code, world } from "./world.fixture.ts";

const rate = { jobs: 20, perMs: 400 };
const Mails = queue("mails", { input: z.number(), rate, visibilityMs: 300 });
const Labels = queue("labels", { input: z.number(), rate });
const shards = 8;

const begun: number[] = [];
let now = (): number => 0;
const mails = Mails.work(() => void begun.push(now()), { concurrency: 32 });
const post = app("post", { queues: [mails, Labels] });

/** In any span of the rate no more than its jobs, and `over` more. Gives how many there were at most. */
function most(over: number): number {
  let found = 0;
  const times = begun.toSorted((a, b) => a - b);
  for (const [i, at] of times.entries())
    found = Math.max(found, times.slice(i).filter((later) => later < at + rate.perMs).length);
  assert.ok(found <= rate.jobs + over, `${found} jobs were begun in ${rate.perMs} ms`);
  return found;
}

const start = (w: World): void => {
  begun.length = 0;
  now = () => w.schedule.now();
};

test("a rate: workers of all nodes together begin no more, and nearly as many, whatever shards the jobs are at", () =>
  inCluster(post, { nodes: 3, shards }, async (client, w) => {
    start(w);
    for (let n = 0; n < 80; n++) await client.queue(Mails).add(n, { id: `m${n}` });
    for (let n = 0; n < 80; n++) await client.queue(Mails).result(`m${n}`, { waitMs: 20_000 });
    assert.equal(begun.length, 80);
    // A permit, and the lease that follows it, take a moment of the network each.
    assert.ok(most(2) >= 0.8 * rate.jobs, "and does not dawdle");
  }));

test("a rate: the node that counts dies, and another begins to count without letting more through", () =>
  inCluster(post, { nodes: 3, shards }, async (client, w) => {
    start(w);
    for (let n = 0; n < 100; n++) await client.queue(Mails).add(n, { id: `m${n}` });
    const home = shardOf(queueType("mails"), "rate", shards);
    for (const machine of w.machines) {
      const state = machine.state();
      if (state.kind !== "up") continue;
      const status = await state.node.local.status();
      if (status.shards[home]?.owner === state.node.id) machine.crash();
    }
    for (let n = 0; n < 100; n++) {
      const { state } = await client.queue(Mails).result(`m${n}`, { waitMs: 30_000, deadlineMs: 30_000 });
      assert.equal(state, "done");
    }
    assert.ok(begun.length >= 100);
    most(3);
  }));

test("a rate: consumers that ask at several nodes get no more, and nearly as many", () =>
  inCluster(post, { nodes: 3, shards }, async (client, w) => {
    start(w);
    for (let n = 0; n < 60; n++) await client.queue(Labels).add(n, { id: `l${n}` });
    const consume = async (): Promise<void> => {
      while (begun.length < 60) {
        const jobs = await client.queue(Labels).take({ max: 5, waitMs: 500 });
        for (const job of jobs) {
          // When it was handed out: who takes several at once is given them together.
          begun.push(job.due);
          await client.queue(Labels).ack(job);
        }
      }
    };
    const began = w.schedule.now();
    await Promise.all([consume(), consume(), consume()]);
    most(2);
    assert.ok(w.schedule.now() - began < 2 * (60 / rate.jobs) * rate.perMs, `${w.schedule.now() - began} ms`);
    const node = nodeOf(w, 0);
    const target = { kind: "query", entity: queueType("labels"), key: "rate", name: "permit" } as const;
    const ask = { target, input: { jobs: 1 }, principal: { id: "ann", roles: [] }, deadline: 1e9, session: "" };
    await assert.rejects(node.call(ask), code("UNKNOWN_TARGET"));
  }));

test("a rate: what makes none is refused when the queue is defined", () => {
  const define = (given: object): unknown => queue("odd", { input: z.number(), rate: given as typeof rate });
  for (const given of [
    { jobs: 0, perMs: 10 },
    { jobs: 1 },
    { jobs: 1, perMs: 1e12 },
    { jobs: 1e6, perMs: 1 },
    { n: 1 },
  ])
    assert.throws(() => define(given), code("USAGE"), JSON.stringify(given));
});

test("a rate on one node: it is kept from the first job on, and jobs that are tried again count", async () => {
  const Flaky = queue("flaky", { input: z.number(), rate: { jobs: 2, perMs: 1000 }, retry: { firstMs: 1 } });
  const starts: number[] = [];
  const flaky = Flaky.work(({ attempt }) => {
    starts.push(w.host.clock.tick());
    if (attempt === 1) throw new Error("not yet");
  });
  const w = await world({ app: app("one", { queues: [flaky] }), shards: 2 });
  for (const key of ["a", "b", "c"])
    await w.ask(
      key,
      "add",
      { input: 1, id: key },
      { target: { kind: "command", entity: "queue flaky", key, name: "add" } },
    );
  await w.pass(10_000);
  assert.equal(starts.length, 6);
  for (let i = 2; i < starts.length; i++) assert.ok(starts[i]! - starts[i - 2]! >= 999, starts.join(" "));
});
