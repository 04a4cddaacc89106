// Topics where something fails, or there is too much: on one node.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { keyIn, type SheafError } from "../base/index.ts";
import { inboxEntity } from "../entities/index.ts";
import { app, entity, subscription, topic, topicKey, topicType } from "../model/index.ts";
import type { Call } from "../rpc/index.ts";
import { system } from "../security/index.ts";
import { eventMessage, memoryStore } from "../shards/index.ts";
import type { ReadReply } from "../topics/index.ts";
import { code, world, type World } from "./world.fixture.ts";

const News = topic("news", { event: z.string() });
const Book = entity("book", {
  state: z.object({ log: z.array(z.string()) }),
  commands: { note: { input: z.string() } },
  queries: { read: { output: z.array(z.string()) } },
});
const book = Book.implement({
  initial: () => ({ log: [] }),
  note: ({ state, input }) => void state.log.push(input),
  read: ({ state }) => [...state.log],
});
const spread = subscription("spread", News).into(Book, "note", ({ value }) => ({ key: value, input: value }));
const later = subscription("later", News, { from: "now" }).into(Book, "note", ({ value }) => ({
  key: "later",
  input: value,
}));
const papers = app("papers", { entities: [book], topics: [News], subscriptions: [spread, later] });
const shards = 8;

const publish = (w: World, input: string): Promise<unknown> =>
  w.ask("", "publish", input, {
    target: { kind: "command", entity: topicType, key: topicKey("news", ""), name: "publish" },
  });
const read = async (w: World, key: string): Promise<string[]> =>
  (await w.ask(key, "read", undefined, { target: { kind: "query", entity: "book", key, name: "read" } }))
    .output as string[];
const newsShard = async (w: World): Promise<number> => {
  for (let shard = 0; shard < shards; shard++)
    if ((await w.run(reading(w, shard, { after: 0 }))).last > 0) return shard;
  throw new Error("nothing was published");
};
async function reading(w: World, shard: number, asked: object, extra: Partial<Call> = {}): Promise<ReadReply> {
  const target = { kind: "query", entity: topicType, key: keyIn(topicType, shard, shards), name: "read" } as const;
  const input = { topic: "news", limit: 1000, waitMs: 0, ...asked };
  return (await w.send("", "read", input, { target, ...extra })).output as ReadReply;
}

test("topics: a subscription goes on when only what was acknowledged has made room", async () => {
  const w = await world({ app: papers, shards, limits: { maxTasks: 4 } });
  for (let n = 0; n < 40; n++) await publish(w, `n${n}`);
  await w.pass(10_000);
  for (let n = 0; n < 40; n++) assert.deepEqual(await read(w, `n${n}`), [`n${n}`]);
});

test("topics: that messages were accepted is noted again where the engine refuses it", async () => {
  let full = false;
  const w = await world({
    app: papers,
    shards,
    limits: { maxTasks: 4 },
    decide: ({ kind }) => ({ kind: full && kind === "append" ? "full" : "ok" }),
  });
  await publish(w, "a");
  // The messages are there at once; that they are is noted a little later.
  await w.pass(100);
  full = true;
  await w.pass(1000);
  full = false;
  await w.pass(1000);
  assert.deepEqual((await w.run(w.node.backlog())).items, []);
});

test("topics: a subscription for what comes from now on gets the first event that there ever is", async () => {
  const w = await world({ app: papers, shards });
  await w.pass(100);
  await publish(w, "first");
  await w.pass(1000);
  assert.deepEqual(await read(w, "later"), ["first"]);
});

test("topics: a subscription is at its end soon after an engine that took nothing for long takes something again", async () => {
  let full = false;
  const w = await world({
    app: papers,
    shards,
    decide: ({ kind }) => ({ kind: full && kind === "append" ? "full" : "ok" }),
  });
  await publish(w, "a");
  await w.pass(1000);
  full = true;
  // What is published when it takes something for a moment is all that there is to be done.
  const sent = publish(w, "b");
  full = false;
  await sent;
  full = true;
  await w.pass(200_000);
  full = false;
  await w.pass(4_000);
  assert.deepEqual(await read(w, "b"), ["b"]);
});

test("topics: who waits for events at a shard that another node has claimed hears of it soon", async () => {
  const a = await world({ app: papers, shards });
  await publish(a, "a");
  const shard = await newsShard(a);
  const { last } = await a.run(reading(a, shard, { after: 0 }));
  const deadline = a.host.clock.tick() + 60_000;
  const waiting = reading(a, shard, { after: last, waitMs: 30_000 }, { deadline }).then(
    () => "",
    (error: SheafError) => error.code,
  );
  const began = a.host.schedule.now();
  await world({ app: papers, shards, from: { ...a, store: memoryStore() } });
  await assert.rejects(publish(a, "b"), code("NOT_OWNER"));
  assert.equal(await a.run(waiting), "NOT_OWNER");
  assert.ok(a.host.schedule.now() - began < 2_000);
});

test("topics: an answer to who reads is about as large as a megabyte, however many events there are", async () => {
  const w = await world({ app: papers, shards });
  for (let n = 0; n < 40; n++) await publish(w, `${n} `.padEnd(100_000, "."));
  const shard = await newsShard(w);
  let after = 0;
  let met = 0;
  for (let page = 0; met < 40; page++) {
    const { events } = await w.run(reading(w, shard, { after }));
    assert.ok(events.length > 0 && events.length <= 11, `${events.length}`);
    met += events.length;
    after = events.at(-1)![0];
  }
  await assert.rejects(w.run(reading(w, shard, { after: 0, limit: 1.5 })), code("MALFORMED"));
});

test("topics: nothing but publish and read is asked of a topic", async () => {
  const w = await world({ app: papers, shards });
  for (const [kind, name] of [
    ["command", "erase"],
    ["query", "publish"],
  ] as const) {
    const target = { kind, entity: topicType, key: topicKey("news", ""), name };
    await assert.rejects(w.ask("", name, "x", { target }), code("UNKNOWN_TARGET"));
  }
});

const frame = (w: World, first: number, message: ReturnType<typeof eventMessage>): Promise<unknown> => {
  const { type, key, command, input, by } = message;
  const target = { kind: "command", entity: inboxEntity, key: keyIn(inboxEntity, 1, shards), name: "accept" } as const;
  const sent = { from: 0, after: first - 1, first, messages: [[type, key, command, input, by]] };
  return w.ask("", "accept", sent, { target, principal: system });
};

test("topics: a message from another shard that holds no event is refused, and the shard goes on", async () => {
  const w = await world({ app: papers, shards });
  const message = eventMessage("news", "", { schema: 1, value: new Uint8Array(1) });
  for (const input of [new Uint8Array(0), Uint8Array.of(0xc0), Uint8Array.of(0x92, 1, 2)])
    await assert.rejects(frame(w, 1, { ...message, input }), code("MALFORMED"));
  await frame(w, 1, message);
  assert.equal((await w.run(reading(w, 1, { after: 0 }))).events.length, 1);
});

test("topics: a shard whose local store takes nothing takes no more events of others than it may hold", async () => {
  const kept = memoryStore();
  const store = { ...kept, save: () => Promise.reject(new Error("the disk is full")) };
  const w = await world({ app: papers, shards, store });
  const event = eventMessage("scraps", "k", { schema: 1, value: new Uint8Array(1024 * 1024) });
  let taken = 0;
  const all = async (): Promise<void> => {
    for (; taken < 50; taken++) await frame(w, taken + 1, event);
  };
  await assert.rejects(all(), code("OVERLOADED"));
  assert.equal(taken, 32);
});
