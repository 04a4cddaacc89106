// Dead letters that are tried again together, in the course of time: in a cluster, asked at any node, whatever dies meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, type Client, queue } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code } from "./world.fixture.ts";

const Mails = queue("mails", { input: z.number(), attempts: 1, visibilityMs: 400 });
const shards = 8;
const bad = { yet: true };
const begun: { readonly job: string; readonly at: number }[] = [];
let now = (): number => 0;
const mails = Mails.work(({ job, input }) => {
  if (bad.yet) throw new Error(input % 2 === 0 ? "no paper" : "no ink");
  begun.push({ job, at: now() });
});
const post = app("post", { queues: [mails] });
const ids = Array.from({ length: 40 }, (_, n) => `m${n}`);

/** Jobs that are all dead letters. */
async function spoilt(client: Client, w: World): Promise<void> {
  bad.yet = true;
  begun.length = 0;
  now = () => w.schedule.now();
  for (const [n, id] of ids.entries()) await client.queue(Mails).add(n, { id });
  for (const id of ids) assert.equal((await client.queue(Mails).result(id, { waitMs: 5000 })).state, "dead");
  bad.yet = false;
}

/** A dead letter is not waited for: it may stay one. */
async function isDone(client: Client, w: World, id: string): Promise<void> {
  const until = w.schedule.now() + 30_000;
  for (;;) {
    const { state } = await client.queue(Mails).result(id, { waitMs: 1000 });
    if (state === "done") return;
    assert.ok(w.schedule.now() < until, `${id} is ${state}`);
    await w.sleep(50);
  }
}

const counts = (groups: readonly { readonly cause: string; readonly count: number }[]): string[] =>
  groups.map(({ cause, count }) => `${count} ${cause.slice(cause.lastIndexOf(":") + 2)}`).toSorted();

test("a redrive: it goes on at its rate under the same ids when the node dies that was asked for it, and an owner", () =>
  inCluster(post, { nodes: 4, shards }, async (client, w) => {
    await spoilt(client, w);
    const perSecond = 10;
    const preview = await nodeOf(w, 1).redriveMany({}, { act: "tell" });
    assert.deepEqual(counts(preview.items), ["20 no ink", "20 no paper"]);
    assert.equal(preview.items[0]!.first, null);
    const { items } = await nodeOf(w, 0).redriveMany({ entity: "queue mails" }, { act: "start", perSecond });
    assert.deepEqual(counts(items), ["20 no ink", "20 no paper"]);
    const last = Math.max(...items.map((group) => group.last!));
    assert.ok(last - Math.min(...items.map((group) => group.first!)) >= 3000, "it takes its time");
    await w.sleep(500);
    w.machines[0]!.crash();
    await w.sleep(500);
    assert.ok(begun.length < 25, `${begun.length}`);
    w.machines[1]!.crash();
    const left = await nodeOf(w, 2).redriveMany({}, { act: "told" });
    assert.ok(left.items.length > 0 && left.items.every((group) => group.first !== null));
    for (const id of ids) await isDone(client, w, id);
    assert.deepEqual(new Set(begun.map(({ job }) => job)), new Set(ids));
    const firsts = [...new Map(begun.toReversed().map(({ job, at }) => [job, at])).values()].toSorted((a, b) => a - b);
    for (const at of firsts) {
      const within = firsts.filter((other) => other >= at && other < at + 1000).length;
      assert.ok(within <= perSecond + shards, `${within} in a second`);
    }
    assert.deepEqual((await nodeOf(w, 3).redriveMany({}, { act: "told" })).items, []);
  }));

test("a redrive of one cause: others stay dead letters, and so do those that it is cancelled for", () =>
  inCluster(post, { nodes: 3, shards }, async (client, w) => {
    await spoilt(client, w);
    const node = nodeOf(w, 0);
    await node.redriveMany({ cause: "no ink" }, { act: "start", perSecond: 2 });
    await w.sleep(2000);
    const cancelled = await nodeOf(w, 1).redriveMany({ cause: "no ink" }, { act: "cancel" });
    await w.sleep(200);
    const done = begun.length;
    assert.ok(done > 0 && done <= 4 + shards, `${done}`);
    assert.equal(cancelled.items[0]?.count, 20 - done);
    await w.sleep(20_000);
    assert.equal(begun.length, done);
    const left = await node.redriveMany({}, { act: "tell" });
    assert.deepEqual(counts(left.items), [`${20 - done} no ink`, "20 no paper"].toSorted());
    // At once, and what was cancelled as well.
    await node.redriveMany({}, { act: "start", perSecond: null });
    for (const id of ids) await isDone(client, w, id);
    assert.equal(begun.length, ids.length);
    await assert.rejects(node.redriveMany({}, { act: "start", perSecond: 0 }), code("BAD_INPUT"));
  }));
