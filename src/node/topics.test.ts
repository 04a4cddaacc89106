// Events: published by callers and commands, emitted by entities, and made commands of by subscriptions. On one node.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { keyIn, SheafError } from "../base/index.ts";
import {
  app,
  type AppShape,
  entity,
  service,
  subscription,
  topic,
  topicKey,
  topicType,
  versioned,
} from "../model/index.ts";
import type { Store } from "../shards/index.ts";
import type { ReadReply } from "../topics/index.ts";
import { type Send, world, type World } from "./world.fixture.ts";

const Order = z.object({ id: z.string(), cents: z.number().int() });
const Orders = topic("orders", { event: Order, key: (order) => order.id });
const News = topic("news", { event: z.string() });
const Shop = entity("shop", {
  state: z.object({ sold: z.number() }),
  commands: { sell: { input: Order }, refuse: { input: Order }, announce: { input: z.string() } },
  events: { sold: Order },
});
const Book = entity("book", {
  state: z.object({ log: z.array(z.string()) }),
  commands: { note: { input: z.string() } },
  queries: { read: { output: z.array(z.string()) } },
});
const shop = Shop.implement({
  initial: () => ({ sold: 0 }),
  sell({ state, input, emit, publish }) {
    state.sold++;
    emit("sold", input);
    publish(Orders, input);
  },
  refuse({ input, emit, publish }) {
    emit("sold", input);
    publish(Orders, input);
    throw new Error("no");
  },
  announce: ({ input, publish }) => publish(News, input),
});
const book = Book.implement({
  initial: () => ({ log: [] }),
  note: ({ state, input }) => void state.log.push(input),
  read: ({ state }) => [...state.log],
});

/** What `orders` does with an event, besides. */
const hooks: { make: (id: string) => void } = { make: () => {} };
const orders = subscription("orders", Orders).into(Book, "note", ({ value, key }) => {
  hooks.make(value.id);
  return value.cents < 0 ? undefined : { key: "orders", input: `${key} ${value.cents}` };
});
const sold = subscription("sold", Shop.topic("sold")).into(Book, "note", ({ value, key, topic: name }) => ({
  key: "sold",
  input: `${name} ${key} ${value.id}`,
}));
const news = subscription("news", News).into(Book, "note", ({ value }) => ({ key: "news", input: value }));
const Mail = service("mail", { procedures: { send: { input: z.object({ id: z.string(), text: z.string() }) } } });
/** What was sent, and what the mail does besides. */
const sent: { id: string; text: string }[] = [];
const post: { send: (text: string) => void } = { send: () => {} };
const mail = Mail.implement({
  send({ input }) {
    sent.push(input);
    post.send(input.text);
  },
});
const mails = subscription("mails", Orders).call(Mail, "send", ({ id, key, value }) =>
  value.cents === 13 ? undefined : { input: { id, text: `${key} ${value.cents}` } },
);
const shops = app("shops", { entities: [shop, book], topics: [Orders, News], subscriptions: [orders, sold, news] });

type Options = Parameters<typeof world>[0];
const open = (options: Options = {}): Promise<World> => world({ app: shops, shards: 8, ...options });
const to =
  (w: World, kind: "command" | "query" = "command"): Send =>
  (key, name, input, extra) =>
    w.ask(key, name, input, { target: { kind, entity: kind === "query" ? "book" : "shop", key, name }, ...extra });
const publish = (w: World, name: string, key: string, input: unknown, op?: string): Promise<unknown> =>
  w.run(publishing(w, name, key, input, op));
const publishing = (w: World, name: string, key: string, input: unknown, op?: string): Promise<unknown> =>
  w.send(key, "publish", input, {
    target: { kind: "command", entity: topicType, key: topicKey(name, key), name: "publish" },
    ...(op && { op: { id: op, issuedAt: undefined } }),
  });
const read = async (w: World, key: string): Promise<string[]> => (await to(w, "query")(key, "read")).output as string[];
const refused = (code: string) => (error: unknown) => error instanceof SheafError && error.code === code;
/** Numbers and keys of the events of a topic that one shard has. */
async function reading(w: World, name: string, shard: number, after = 0, waitMs = 0): Promise<ReadReply> {
  const target = { kind: "command", entity: topicType, key: keyIn(topicType, shard, 8), name: "read" } as const;
  const reply = await w.send("", "read", { topic: name, after, limit: 1000, waitMs }, { target });
  return reply.output as ReadReply;
}
const logged = (...asked: Parameters<typeof reading>): Promise<ReadReply> => asked[0].run(reading(...asked));
const everywhere = (w: World, name: string): Promise<ReadReply[]> =>
  w.run(Promise.all(Array.from({ length: 8 }, (_, shard) => reading(w, name, shard))));

test("topics: what a command emits and publishes is subscribed to once it is committed, and only then", async () => {
  const w = await open();
  await to(w)("a", "sell", { id: "o1", cents: 5 });
  await assert.rejects(to(w)("a", "refuse", { id: "o2", cents: 5 }), refused("HANDLER_FAILED"));
  await to(w)("b", "sell", { id: "o3", cents: -7 });
  await w.pass(1000);
  assert.deepEqual(await read(w, "orders"), ["o1 5"]);
  assert.deepEqual((await read(w, "sold")).sort(), ["shop.sold a o1", "shop.sold b o3"]);
});

test("topics: events of one key come in the order published, and without a key all do", async () => {
  const w = await open();
  for (let i = 0; i < 300; i++) await publish(w, "orders", `k${i % 3}`, { id: `k${i % 3}`, cents: i });
  for (let i = 0; i < 50; i++) await to(w)(`s${i}`, "announce", `n${i}`);
  await w.pass(2000);
  const log = await read(w, "orders");
  assert.equal(log.length, 300);
  for (const key of ["k0", "k1", "k2"]) {
    const cents = log.filter((line) => line.startsWith(key)).map((line) => Number(line.split(" ")[1]));
    assert.deepEqual(
      cents,
      cents.toSorted((a, b) => a - b),
    );
  }
  assert.equal(new Set(await read(w, "news")).size, 50);
});

test("topics: an event that is published again under its key is there once; another one under that key is refused", async () => {
  const w = await open();
  const order = { id: "o1", cents: 5 };
  await w.run(Promise.all([1, 2, 3].map(() => publishing(w, "orders", "o1", order, "once"))));
  await publish(w, "orders", "o1", order, "once");
  await assert.rejects(publish(w, "orders", "o1", { id: "o1", cents: 6 }, "once"), refused("IDEMPOTENCY_MISMATCH"));
  await w.pass(1000);
  assert.deepEqual(await read(w, "orders"), ["o1 5"]);
});

test("topics: what is no event, has another key, or is for no topic is refused, and nothing is kept", async () => {
  const w = await open();
  await assert.rejects(publish(w, "orders", "o1", { id: 5 }), refused("BAD_INPUT"));
  await assert.rejects(publish(w, "orders", "o2", { id: "o1", cents: 5 }), refused("BAD_INPUT"));
  await assert.rejects(publish(w, "nothing", "", "x"), refused("UNKNOWN_TARGET"));
  await assert.rejects(publish(w, "shop.sold", "", { id: "o1", cents: 5 }), refused("UNKNOWN_TARGET"));
  await w.pass(1000);
  assert.deepEqual(await read(w, "orders"), []);
});

test("topics: a subscription goes on behind what it has done after a restart, and a new one begins with all", async () => {
  const before = await open();
  for (let i = 0; i < 20; i++) await publish(before, "news", "", `n${i}`);
  await before.pass(1000);
  await before.run(before.node.stop(100));
  const again = subscription("again", News).into(Book, "note", ({ value }) => ({ key: "again", input: value }));
  const late = subscription("late", News, { from: "now" }).into(Book, "note", ({ value }) => ({
    key: "late",
    input: value,
  }));
  const more = app("shops", { entities: [shop, book], subscriptions: [orders, sold, news, again, late] });
  const w = await open({ from: before, app: more });
  await w.pass(1000);
  await publish(w, "news", "", "last");
  await w.pass(1000);
  assert.equal((await read(w, "news")).length, 21);
  assert.equal((await read(w, "again")).length, 21);
  assert.deepEqual(await read(w, "late"), ["last"]);
});

test("topics: a subscription that is paused before it has begun begins where it would have, once it is resumed", async () => {
  const before = await open();
  for (let i = 0; i < 20; i++) await publish(before, "news", "", `n${i}`);
  await before.pass(1000);
  await before.run(before.node.stop(100));
  const from = new Date(before.host.clock.now() + 60_000);
  const since = subscription("since", News, { from }).into(Book, "note", ({ value }) => ({
    key: "since",
    input: value,
  }));
  // Where it begins is looked for in the store, which takes its time.
  let go = (): void => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  const { store } = before;
  const slow: Store = {
    ...store,
    search: async (type, ...rest) => {
      if (type === "~news") await gate;
      return store.search(type, ...rest);
    },
  };
  const more = app("shops", { entities: [shop, book], subscriptions: [orders, sold, news, since] });
  const w = await open({ from: before, app: more, store: slow });
  const paused = w.node.changeGroup("news", "since", { act: "pause" });
  await w.pass(100);
  go();
  await w.run(paused);
  await w.pass(60_000);
  await w.run(w.node.changeGroup("news", "since", { act: "resume" }));
  await publish(w, "news", "", "last");
  await w.pass(1000);
  assert.deepEqual(await read(w, "since"), ["last"]);
});

test("topics: a subscription for what comes from a time on has none of what is published before, whenever it is declared", async () => {
  const early = await open();
  const from = new Date(early.host.clock.now() + 90_000);
  await early.run(early.node.stop(100));
  const since = subscription("since", News, { from }).into(Book, "note", ({ value }) => ({
    key: "since",
    input: value,
  }));
  const w = await open({ from: early, app: app("shops", { entities: [shop, book], subscriptions: [since] }) });
  await publish(w, "news", "", "before");
  await w.pass(80_000);
  await publish(w, "news", "", "just before");
  const [group] = (await w.run(w.node.groups())).items;
  assert.deepEqual([group?.group, group?.lag], ["since", 0]);
  await w.pass(20_000);
  await publish(w, "news", "", "behind");
  await w.pass(1000);
  assert.deepEqual(await read(w, "since"), ["behind"]);
});

test("topics: a subscription that the code fails stands still, goes on when it can, and keeps the order", async () => {
  const w = await open();
  hooks.make = (id) => {
    if (id === "bad") throw new Error("boom");
  };
  await publish(w, "orders", "bad", { id: "bad", cents: 1 });
  await publish(w, "orders", "bad", { id: "bad", cents: 2 });
  await w.pass(20_000);
  assert.deepEqual(await read(w, "orders"), []);
  hooks.make = () => {};
  await w.pass(60_000);
  assert.deepEqual(await read(w, "orders"), ["bad 1", "bad 2"]);
});

test("topics: a reader gets what there is behind its place, and waits for what comes", async () => {
  const w = await open();
  for (let i = 0; i < 3; i++) await publish(w, "news", "", `n${i}`);
  const parts = await everywhere(w, "news");
  const shard = parts.findIndex(({ events }) => events.length > 0);
  const { events, last } = parts[shard]!;
  assert.equal(events.length, 3);
  assert.equal(events.at(-1)![0], last);
  assert.equal((await logged(w, "news", shard, events[1]![0])).events.length, 1);
  const [coming] = await w.run(Promise.all([reading(w, "news", shard, last, 5000), publishing(w, "news", "", "more")]));
  assert.equal(coming.events.length, 1);
  assert.equal((await logged(w, "news", shard, last + 1, 300)).events.length, 0);
});

test("topics: what is too old or too much is let go, and what is left is read on", async () => {
  const Small = topic("small", { event: z.string(), retain: { days: 1 / 24 / 60, megabytes: 0.01 } });
  const small: AppShape = app("small", { entities: [book], topics: [Small] });
  const w = await world({ app: small, shards: 8 });
  for (let i = 0; i < 40; i++) await publish(w, "small", "", "x".repeat(1000));
  const all = async (): Promise<number> =>
    (await everywhere(w, "small")).reduce((sum, { events }) => sum + events.length, 0);
  assert.equal(await all(), 40);
  await w.pass(50_000);
  const left = await all();
  assert.ok(left > 5 && left <= 11, String(left));
  await w.pass(120_000);
  assert.equal(await all(), 0);
  await publish(w, "small", "", "new");
  assert.equal(await all(), 1);
});

test("topics: what an entity emits is kept as long as its contract says, each event apart, read or not", async () => {
  const Door = entity("door", {
    state: z.object({ n: z.number() }),
    commands: { knock: {} },
    events: { knocked: z.string(), rung: z.string() },
    feed: true,
    retain: { knocked: { days: 1 / 24 / 60 }, changed: { megabytes: 0.0005 } },
  });
  const door = Door.implement({
    initial: () => ({ n: 0 }),
    knock({ state, emit }) {
      state.n++;
      emit("knocked", "x");
      emit("rung", "x");
    },
  });
  const w = await world({ app: app("doors", { entities: [door] }), shards: 1 });
  for (let i = 0; i < 20; i++)
    await w.ask("a", "knock", undefined, { target: { kind: "command", entity: "door", key: "a", name: "knock" } });
  await w.pass(180_000);
  const kept = async (event: string): Promise<number> => {
    const target = { kind: "command", entity: topicType, key: keyIn(topicType, 0, 1), name: "read" } as const;
    const input = { topic: `door.${event}`, after: 0, limit: 1000, waitMs: 0 };
    return ((await w.ask("", "read", input, { target })).output as ReadReply).events.length;
  };
  assert.deepEqual([await kept("knocked"), await kept("rung")], [0, 20]);
  assert.ok((await kept("changed")) > 0 && (await kept("changed")) < 10, String(await kept("changed")));
  assert.deepEqual(Door.topic("changed").retain.bytes, 525);
});

test("topics: a procedure is called for each event until it has succeeded, in order for each key, and dead letters are passed over", async () => {
  const w = await open({
    app: app("shops", { entities: [shop, book], services: [mail], topics: [Orders], subscriptions: [mails] }),
  });
  const failures = new Map([
    ["a 2", 2],
    ["b 1", 1000],
  ]);
  post.send = (text) => {
    const left = failures.get(text) ?? 0;
    failures.set(text, left - 1);
    if (left > 0) throw new Error("not now");
  };
  for (const [id, cents] of [
    ["a", 1],
    ["a", 2],
    ["a", 3],
    ["b", 1],
    ["b", 2],
    ["b", 13],
  ] as const)
    await publish(w, "orders", id, { id, cents });
  await w.pass(180_000);
  const texts = sent.map(({ text }) => text);
  assert.deepEqual(
    texts.filter((text) => text.startsWith("a")),
    ["a 1", "a 2", "a 2", "a 2", "a 3"],
  );
  assert.deepEqual(
    texts.filter((text) => text.startsWith("b")),
    ["b 1", "b 1", "b 1", "b 1", "b 1", "b 2"],
  );
  assert.equal(new Set(sent.filter(({ text }) => text === "a 2").map(({ id }) => id)).size, 1);
  assert.equal(new Set(sent.map(({ id }) => id)).size, 5);
});

test("topics: events of an older version are brought to the version of the code that reads them", async () => {
  const Old = topic("things", { event: z.object({ euros: z.number() }) });
  const New = topic("things", {
    event: versioned(2, z.object({ cents: z.number() }), {
      1: (old: { euros: number }) => ({ cents: old.euros * 100 }),
    }),
  });
  const before = await world({ app: app("things", { entities: [book], topics: [Old] }), shards: 8 });
  await publish(before, "things", "", { euros: 5 });
  await before.run(before.node.stop(100));
  const things = subscription("things", New).into(Book, "note", ({ value }) => ({
    key: "things",
    input: `${value.cents}`,
  }));
  const w = await world({ app: app("things", { entities: [book], subscriptions: [things] }), shards: 8, from: before });
  await publish(w, "things", "", { cents: 7 });
  await w.pass(1000);
  assert.deepEqual(await read(w, "things"), ["500", "7"]);
});
