// What an operator sees and does of messages and timers: on one node, and in a cluster asked at any of its nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { Limits, SheafError } from "../base/index.ts";
import { app, entity } from "../model/index.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code, world, type World } from "./world.fixture.ts";

const Box = entity("box", {
  state: z.object({ done: z.array(z.string()) }),
  commands: {
    put: { input: z.string() },
    fail: { input: z.string(), errors: { NO: z.object({}) } },
    slow: {},
    explode: { input: z.string() },
    crash: { input: z.string() },
    tell: {
      input: z.object({ to: z.string(), command: z.enum(["put", "fail", "explode", "crash"]), text: z.string() }),
    },
    set: { input: z.object({ ms: z.number(), command: z.enum(["put", "fail"]), text: z.string(), id: z.string() }) },
    setSlow: { input: z.string() },
    callThenFail: { input: z.string(), errors: { NO: z.object({}) } },
    tellToCall: { input: z.string() },
  },
  queries: { look: { output: z.array(z.string()), consistency: "strong" } },
});
/** Whether `fail` refuses, what ends `slow`, and what `crash` does. */
const bad = { yet: true, end: (): void => {}, crash: async (): Promise<void> => {} };
const box = Box.implement({
  initial: () => ({ done: [] as string[] }),
  put: ({ state, input }) => void state.done.push(input),
  fail({ state, input, fail }) {
    if (bad.yet) fail("NO", {});
    state.done.push(input);
  },
  async slow({ state }) {
    await new Promise<void>((resolve) => (bad.end = resolve));
    state.done.push("slow");
  },
  async crash({ state, input }) {
    await bad.crash();
    state.done.push(input);
  },
  explode() {
    throw new Error("boom");
  },
  tell: ({ send, input: { to, command, text } }) => send.entity(Box, to)[command](text),
  set: ({ after, input: { ms, command, text, id } }) => void after(ms, command, text, { id }),
  setSlow: ({ after, input }) => void after(100, "slow", { id: input }),
  async callThenFail({ input, call, fail }) {
    await call.entity(Box, "called").put(bad.yet ? input : `${input}, mended`);
    if (bad.yet) fail("NO", {});
  },
  tellToCall: ({ send, after, input }) => {
    send.entity(Box, "caller").callThenFail(input);
    after(10, "callThenFail", `${input}, later`);
  },
  look: ({ state }) => [...state.done],
});
const boxes = app("boxes", { entities: [box] });

const open = async (
  limits: Partial<Limits> = {},
): Promise<{
  w: World;
  call: (key: string, name: string, input?: unknown) => Promise<unknown>;
}> => {
  bad.yet = true;
  const w = await world({ app: boxes, shards: 8, limits });
  const call = async (key: string, name: string, input?: unknown): Promise<unknown> =>
    (
      await w.ask(key, name, input, {
        target: { kind: name === "look" ? "query" : "command", entity: "box", key, name },
      })
    ).output;
  return { w, call };
};
const at = <T>(w: World, promise: Promise<T>): Promise<T> => w.run(promise);

test("dead letters: what one called stands, and is not called again when it is redriven, though its handler asks for something else", async () => {
  const { w, call } = await open();
  await call("a", "tellToCall", "x");
  await w.pass(1000);
  assert.deepEqual(await call("called", "look"), ["x", "x, later"]);
  const { items } = await at(w, w.node.deadLetters(undefined, undefined, 50));
  assert.equal(items.length, 2);
  bad.yet = false;
  for (const { id } of items) await at(w, w.node.redrive(id));
  await w.pass(1000);
  assert.deepEqual((await at(w, w.node.deadLetters(undefined, undefined, 50))).items, []);
  assert.deepEqual(await call("called", "look"), ["x", "x, later"]);
});

test("dead letters: each is listed with why, shown with its input, and tried again or dropped by its id", async () => {
  const { w, call } = await open();
  for (const text of ["1", "2", "3"]) await call("a", "tell", { to: "z/# z", command: "fail", text });
  await call("k#1/x", "set", { ms: 10, command: "fail", text: "late", id: "it's %" });
  await w.pass(1000);
  const { items, warnings } = await at(w, w.node.deadLetters(undefined, undefined, 50));
  assert.deepEqual(warnings, []);
  assert.deepEqual(
    items.map(({ entity: type, key, command, kind, due, attempts }) => [type, key, command, kind, due, attempts]),
    [
      ...Array.from({ length: 3 }, () => ["box", "z/# z", "fail", "message", null, 1]),
      ["box", "k#1/x", "fail", "timer", null, 1],
    ],
  );
  for (const { id, cause } of items) {
    assert.match(id, /^[\w/.%~-]+$/);
    assert.match(cause, /^DECLARED: .*NO/);
  }
  const [first, second, third, timer] = items.map(({ id }) => id) as [string, string, string, string];
  assert.match(timer, /\/box\/k%231%2Fx\/it%27s%20%25$/);
  const shown = await at(w, w.node.deadLetter(second));
  assert.deepEqual([shown.input, shown.principal, shown.roles], ["2", "tester", []]);
  assert.equal(shown.from, (await at(w, w.node.entity("box", "a"))).shard);
  bad.yet = false;
  await at(w, w.node.redrive(second));
  assert.equal((await at(w, w.node.drop(first))).input, "1");
  await at(w, w.node.redrive(timer));
  await w.pass(100);
  assert.deepEqual(await call("z/# z", "look"), ["2"]);
  assert.deepEqual(await call("k#1/x", "look"), ["late"]);
  assert.deepEqual(
    (await at(w, w.node.deadLetters("box", undefined, 50))).items.map(({ id }) => id),
    [third],
  );
  for (const id of [first, second, "x", "99/m1.1", "1", "1/a/b", "1/%", "1/a/b/c/d"])
    for (const act of [w.node.deadLetter, w.node.redrive, w.node.drop])
      await assert.rejects(at<unknown>(w, act(id)), code("NOT_FOUND", "not-applied"), id);
});

test("dead letters: of two that decide on one at the same moment only the first does", async () => {
  const { w, call } = await open();
  await call("a", "tell", { to: "z", command: "fail", text: "1" });
  await w.pass(1000);
  const [letter] = (await at(w, w.node.deadLetters(undefined, undefined, 1))).items;
  bad.yet = false;
  const asked = [w.node.redrive(letter!.id), w.node.redrive(letter!.id), w.node.drop(letter!.id)];
  const ends = await at(w, Promise.allSettled<unknown>(asked));
  assert.deepEqual(
    ends.map((end) => (end.status === "rejected" ? (end.reason as SheafError).code : "done")),
    ["done", "IN_USE", "IN_USE"],
  );
  await w.pass(1000);
  assert.deepEqual(await call("z", "look"), ["1"]);
});

test("dead letters: a message that crashes the process is parked, and tried again once that is released", async () => {
  let { w } = await open();
  const { crash } = bad;
  let running = false;
  bad.crash = () => {
    running = true;
    return new Promise(() => {});
  };
  await w.ask(
    "a",
    "tell",
    { to: "z", command: "crash", text: "1" },
    {
      target: { kind: "command", entity: "box", key: "a", name: "tell" },
    },
  );
  for (let lives = 0; ; lives++) {
    assert.ok(lives < 10, "it is parked in the end");
    await w.host.schedule.run({ done: () => running, until: w.host.schedule.now() + 5_000 });
    if (!running) break;
    w.host.kill();
    running = false;
    w = await world({ app: boxes, shards: 8, from: w });
  }
  bad.crash = crash;
  const [letter] = (await at(w, w.node.deadLetters(undefined, undefined, 1))).items;
  assert.match(letter?.cause ?? "", /^POISONED: /);
  const [parked] = (await at(w, w.node.parked())).items;
  await at(w, w.node.release(parked!.id));
  await at(w, w.node.redrive(letter!.id));
  await w.pass(1000);
  const look = { target: { kind: "query", entity: "box", key: "z", name: "look" } } as const;
  assert.deepEqual((await w.ask("z", "look", undefined, look)).output, ["1"]);
});

test("dead letters: pages follow each other, and only those of one type are told when asked so", async () => {
  const { w, call } = await open();
  for (const text of ["1", "2", "3", "4", "5"]) await call(text, "tell", { to: `z${text}`, command: "fail", text });
  await w.pass(1000);
  const all = (await at(w, w.node.deadLetters(undefined, undefined, 50))).items;
  assert.equal(all.length, 5);
  const paged: string[] = [];
  for (let after: string | undefined; ;) {
    const { items } = await at(w, w.node.deadLetters("box", after, 2));
    paged.push(...items.map(({ id }) => id));
    const last = items.at(-1);
    if (!last) break;
    after = `${last.at}/${last.id}`;
  }
  assert.deepEqual(
    paged,
    all.map(({ id }) => id),
  );
  assert.deepEqual((await at(w, w.node.deadLetters("other", undefined, 50))).items, []);
  await assert.rejects(at(w, w.node.deadLetters(undefined, "x", 50)), code("BAD_INPUT", "not-applied"));
});

test("timers: what waits is told by due time, and a timer is taken back by its id", async () => {
  const { w, call } = await open();
  await call("a", "set", { ms: 9000, command: "put", text: "second", id: "y" });
  await call("a", "set", { ms: 5000, command: "put", text: "first", id: "x" });
  await call("b", "set", { ms: 7000, command: "put", text: "never", id: "x" });
  const { items } = await at(w, w.node.tasks("box", 50));
  assert.deepEqual(
    items.map(({ key, kind, command }) => [key, kind, command]),
    ["a", "b", "a"].map((key) => [key, "timer", "put"]),
  );
  assert.deepEqual((await at(w, w.node.tasks(undefined, 1))).items, items.slice(0, 1));
  const { timers } = await at(w, w.node.entity("box", "a"));
  assert.deepEqual(
    timers,
    [items[0]!, items[2]!].map(({ id, due }, n) => ({ id: n === 0 ? "x" : "y", due, command: "put", task: id })),
  );
  assert.equal((await at(w, w.node.cancelTimer(items[1]!.id))).input, "never");
  await assert.rejects(at(w, w.node.cancelTimer(items[1]!.id)), code("NOT_FOUND", "not-applied"));
  await w.pass(20_000);
  assert.deepEqual(await call("a", "look"), ["first", "second"]);
  assert.deepEqual(await call("b", "look"), []);
});

test("timers: one that is being carried out is not taken back", async () => {
  const { w, call } = await open();
  await call("a", "setSlow", "x");
  const [timer] = (await at(w, w.node.tasks(undefined, 1))).items;
  await w.pass(200);
  await assert.rejects(at(w, w.node.cancelTimer(timer!.id)), code("IN_USE", "not-applied"));
  bad.end();
  await w.pass(100);
  assert.deepEqual(await call("a", "look"), ["slow"]);
});

test("timers: keys and names with the mark that stands between them are told apart", async () => {
  bad.yet = true;
  const w = await world({ app: boxes, shards: 1 });
  const set = (key: string, id: string): Promise<unknown> =>
    w.ask(
      key,
      "set",
      { ms: 500, command: "put", text: key, id },
      {
        target: { kind: "command", entity: "box", key, name: "set" },
      },
    );
  await set("a#b", "c");
  await set("a", "b#c");
  assert.equal((await at(w, w.node.tasks(undefined, 50))).items.length, 2);
});

test("messages: those that wait are counted at both ends, and measured", async () => {
  const { w, call } = await open();
  await call("a", "tell", { to: "z", command: "fail", text: "1" });
  await call("b", "set", { ms: 60_000, command: "put", text: "1", id: "x" });
  await w.pass(1000);
  const { items } = await at(w, w.node.backlog());
  const dead = items.filter(({ deadLetters }) => deadLetters > 0);
  assert.deepEqual(
    [dead.map(({ deadLetters }) => deadLetters), items.reduce((sum, { tasks }) => sum + tasks, 0)],
    [[1], 1],
  );
  w.node.measure();
  assert.equal(w.host.metric("sheaf_dead_letters_kept"), 1);
  assert.equal(w.host.metric("sheaf_tasks_waiting"), 1);
  assert.equal(w.host.metric("sheaf_messages_outgoing"), 0);
});

test("messages: those to a shard that is full of dead letters are shown as on their way, and go once these are dropped", async () => {
  const { w, call } = await open({ maxTasks: 2 });
  const senders = ["a", "b", "c"];
  const shardOf = async (key: string): Promise<number> => (await at(w, w.node.entity("box", key))).shard;
  const shards: number[] = [];
  for (const key of [...senders, "z"]) shards.push(await shardOf(key));
  assert.equal(new Set(shards).size, 4, "each has a shard of its own");
  for (const key of senders) {
    await call(key, "tell", { to: "z", command: "fail", text: key });
    await w.pass(1000);
  }
  await w.pass(2000);
  const { items } = await at(w, w.node.backlog());
  assert.deepEqual(
    items
      .map(({ shard, deadLetters, outgoing }) => [shard, deadLetters, outgoing])
      .toSorted(([a = 0], [b = 0]) => a - b),
    [
      [shards[2], 0, 1],
      [shards[3], 2, 0],
    ].toSorted(([a = 0], [b = 0]) => a - b),
  );
  const ageMs = items.find(({ outgoing }) => outgoing > 0)?.outgoingMs ?? 0;
  assert.ok(ageMs >= 3000 && ageMs < 4000, `${ageMs} ms`);
  w.node.measure();
  assert.equal(w.host.metric("sheaf_messages_outgoing"), 1);
  assert.equal(w.host.metric("sheaf_messages_outgoing_oldest_seconds"), ageMs / 1000);
  bad.yet = false;
  for (const { id } of (await at(w, w.node.deadLetters(undefined, undefined, 50))).items) await at(w, w.node.drop(id));
  await w.pass(5000);
  assert.deepEqual(await call("z", "look"), ["c"]);
  assert.deepEqual((await at(w, w.node.backlog())).items, []);
});

test("messages: how late the latest is, that waits behind one that fails, is told", async () => {
  const { w, call } = await open({ retryMs: 30_000 });
  await call("a", "tell", { to: "z", command: "explode", text: "" });
  await call("a", "tell", { to: "z", command: "put", text: "behind" });
  await w.pass(10_000);
  const [waiting] = (await at(w, w.node.backlog())).items;
  assert.equal(waiting?.tasks, 2);
  assert.ok(waiting.lateMs > 9_000 && waiting.lateMs <= 10_000, `${waiting.lateMs} ms`);
  w.node.measure();
  assert.equal(w.host.metric("sheaf_tasks_late_seconds"), waiting.lateMs / 1000);
});

test("dead letters: in a cluster any node tells of all, and passes on what is to be done to one", () =>
  inCluster(boxes, { nodes: 3, shards: 8 }, async (client, w) => {
    bad.yet = true;
    const keys = Array.from({ length: 12 }, (_, n) => `k${n}`);
    for (const key of keys) await client.entity(Box, "a").tell({ to: key, command: "fail", text: key });
    for (const key of keys) await client.entity(Box, key).set({ ms: 60_000, command: "put", text: "later", id: "t" });
    await w.sleep(1500);
    const nodes = [0, 1, 2].map((index) => nodeOf(w, index));
    const letters = (await nodes[0]!.deadLetters(undefined, undefined, 50)).items;
    assert.equal(letters.length, 12);
    for (const node of nodes) {
      assert.deepEqual(await node.deadLetters(undefined, undefined, 50), { items: letters, warnings: [] });
      assert.equal((await node.tasks("box", 50)).items.length, 12);
      const waiting = (await node.backlog()).items.map((one) => [one.shard, one.tasks, one.deadLetters]);
      assert.equal(new Set(waiting.map(([shard]) => shard)).size, waiting.length);
      assert.equal(
        waiting.reduce((sum, [, tasks = 0, dead = 0]) => sum + tasks + dead, 0),
        24,
      );
    }
    const owners = nodes.map((node) => node.local.deadLetters(undefined, undefined, 50));
    for (const own of owners) assert.ok((await own).items.length < 12, "no node has all of them");
    bad.yet = false;
    for (const { id } of letters.slice(0, 6)) await nodes[1]!.redrive(id);
    for (const { id, key } of letters.slice(6)) assert.equal((await nodes[2]!.drop(id)).input, key);
    for (const { id } of (await nodes[0]!.tasks("box", 50)).items.filter(({ kind }) => kind === "timer"))
      await nodes[1]!.cancelTimer(id);
    await w.sleep(1500);
    for (const [n, { key }] of letters.entries())
      assert.deepEqual(await client.entity(Box, key).look(), n < 6 ? [key] : [], key);
    assert.deepEqual((await nodes[2]!.backlog()).items, []);
    await assert.rejects(nodes[2]!.deadLetter(letters[0]!.id), code("NOT_FOUND", "not-applied"));
  }));
