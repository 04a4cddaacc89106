// Commands that commands leave, where something goes wrong at the same time. On one node, by hand; random ones are in the gate.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { shardOf } from "../base/index.ts";
import type { Engine } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import { seeded } from "../sim/random.ts";
import { type Send, world, type World } from "./world.fixture.ts";

const Box = entity("box", {
  state: z.object({ log: z.array(z.string()) }),
  commands: {
    note: { input: z.string() },
    idle: {},
    /** Sets a timer. */
    later: { input: z.object({ ms: z.number(), command: z.enum(["idle", "note", "spin"]), text: z.string() }) },
    /** Notes, and sets itself again at once until the text is used up. */
    spin: { input: z.string() },
    forget: {},
    send: { input: z.object({ to: z.string(), count: z.number(), text: z.string() }) },
    /** Goes to and fro so often. */
    bounce: { input: z.object({ to: z.string(), left: z.number() }) },
    wait: { input: z.string() },
    tellWait: { input: z.object({ to: z.string(), text: z.string() }) },
    bomb: { input: z.string() },
    tellBomb: { input: z.string() },
    tellUnknown: { input: z.string() },
  },
  queries: { read: { output: z.array(z.string()) } },
});
const Foreign = entity("foreign", { state: z.object({}), commands: { hello: { input: z.string() } } });

/** What `wait` waits for, and what `bomb` does. */
const hooks = { wait: (): Promise<void> => Promise.resolve(), bomb: (): Promise<void> => Promise.resolve() };
const box = Box.implement({
  initial: () => ({ log: [] as string[] }),
  note: ({ state, input }) => void state.log.push(input),
  idle: () => {},
  later({ input: { ms, command, text }, after }) {
    if (command === "idle") after(ms, command, { id: "x" });
    else after(ms, command, text, { id: "x" });
  },
  spin({ state, input, after }) {
    state.log.push(input);
    if (input.length > 1) after(0, "spin", input.slice(1), { id: "x" });
  },
  forget: ({ cancel }) => cancel("x"),
  send({ input: { to, count, text }, send }) {
    for (let i = 0; i < count; i++) send.entity(Box, to).note(text === "" ? String(i) : text);
  },
  bounce({ state, key, input: { to, left }, send }) {
    state.log.push(String(left));
    if (left > 0) send.entity(Box, to).bounce({ to: key, left: left - 1 });
  },
  async wait({ state, input }) {
    await hooks.wait();
    state.log.push(input);
  },
  tellWait: ({ input: { to, text }, send }) => send.entity(Box, to).wait(text),
  async bomb({ state, input }) {
    await hooks.bomb();
    state.log.push(input);
  },
  tellBomb: ({ input, send }) => send.entity(Box, input).bomb("boom"),
  tellUnknown: ({ input, send }) => send.entity(Foreign, input).hello("you"),
  read: ({ state }) => [...state.log],
});
const foreign = Foreign.implement({ initial: () => ({}), hello: () => {} });
const boxes = app("boxes", { entities: [box] });
const open = (options: Parameters<typeof world>[0] = {}): Promise<World> =>
  world({ app: boxes, shards: 8, ...options });
const target = (key: string, name: string) =>
  ({ kind: name === "read" ? "query" : "command", entity: "box", key, name }) as const;
const by =
  (w: World, how: "ask" | "send" = "ask"): Send =>
  (key, name, input, extra) =>
    w[how](key, name, input, { target: target(key, name), ...extra });
const read = async (w: World, key: string): Promise<string[]> => (await by(w)(key, "read")).output as string[];
const counted = (w: World, name: string): number => w.host.metric(name);

/** Appends take so long in that world. */
const slowly =
  (how: () => readonly [World, number] | undefined) =>
  (engine: Engine): Engine => ({
    ...engine,
    async append(batch) {
      const [w, ms] = how() ?? [];
      if (w && ms) await new Promise<void>((resolve) => void w.host.clock.after(ms, resolve));
      return engine.append(batch);
    },
  });

test("timers: one that changed nothing and is set again by the next command, in one record, fires again", async () => {
  let held = false;
  const w: World = await open({ before: slowly(() => (held ? [w, 30] : undefined)) });
  await by(w)("a", "later", { ms: 100, command: "idle", text: "" });
  await w.pass(90);
  held = true;
  // An append is under way when the timer fires, so that its end and what comes next wait for one record.
  const before = by(w, "send")("a", "note", "before");
  await w.pass(12);
  const again = by(w, "send")("a", "later", { ms: 200, command: "note", text: "again" });
  await w.run(Promise.all([before, again]));
  held = false;
  await w.pass(1000);
  assert.deepEqual(await read(w, "a"), ["before", "again"]);
});

test("timers: one that a command has taken back does not fire, though that is not durable when it is due", async () => {
  let held = false;
  const w: World = await open({ before: slowly(() => (held ? [w, 30] : undefined)) });
  await by(w)("a", "later", { ms: 100, command: "note", text: "never" });
  await w.pass(85);
  held = true;
  await by(w)("a", "forget");
  held = false;
  await w.pass(1000);
  assert.deepEqual(await read(w, "a"), []);
});

test("timers: one that sets itself again under its id fires each time", async () => {
  const w = await open();
  await by(w)("a", "later", { ms: 10, command: "spin", text: "xxxxx" });
  await w.pass(200);
  assert.deepEqual(await read(w, "a"), ["xxxxx", "xxxx", "xxx", "xx", "x"]);
});

test("tasks: T3 one whose record takes longer than its deadline is not carried out again meanwhile", async () => {
  let held = false;
  const before = slowly(() => (held ? [w, 900] : undefined));
  const w: World = await open({ before, limits: { defaultDeadlineMs: 100 } });
  await by(w)("a", "later", { ms: 50, command: "note", text: "once" });
  held = true;
  await w.pass(700);
  held = false;
  await w.pass(2000);
  assert.deepEqual(await read(w, "a"), ["once"]);
});

test("messages: they go on at once at a node whose clock is behind the journal", async () => {
  const before = await open();
  before.host.jump(3_600_000);
  await by(before)("a", "note", "ahead");
  await by(before)("z", "note", "ahead");
  await before.run(before.node.stop(100));
  const w = await open({ from: before });
  await by(w)("a", "send", { to: "z", count: 1, text: "hello" });
  await by(w)("a", "later", { ms: 100, command: "note", text: "soon" });
  await w.pass(500);
  assert.deepEqual(
    [await read(w, "z"), await read(w, "a")],
    [
      ["ahead", "hello"],
      ["ahead", "soon"],
    ],
  );
});

test("messages: full shards that send to each other go on, callers wait, and nothing is lost", async () => {
  const w = await open({ limits: { maxTasks: 4 } });
  const [left, hops] = [12, 5];
  let sent = 0;
  let refused = 0;
  for (let i = 0; i < 2000 && sent < left; i++) {
    const one = by(w, "send")(sent % 2 === 0 ? "a" : "b", "bounce", { to: sent % 2 === 0 ? "b" : "a", left: hops });
    await w.run(one).then(
      () => sent++,
      (error: { code: string }) => {
        assert.equal(error.code, "OVERLOADED");
        refused++;
      },
    );
    if (refused > 0 && i % 2 === 0) await w.pass(50);
  }
  await w.pass(20_000);
  assert.equal(sent, left);
  assert.equal((await read(w, "a")).length + (await read(w, "b")).length, left * (hops + 1));
});

test("messages: a full receiver takes as many of a frame as it has room for, and the rest when there is more", async () => {
  const w = await open({ limits: { maxTasks: 10 } });
  await by(w)("r", "later", { ms: 3_600_000, command: "note", text: "timer" });
  for (let i = 0; i < 4; i++) await by(w)("c", "send", { to: "r", count: 10, text: `${i}` }).then(() => w.pass(3000));
  assert.equal((await read(w, "r")).length, 4 * 10);
});

test("messages: no record is over its limit, however much is sent, accepted and committed at once", async () => {
  const limits = { maxStateBytes: 40_000, maxBatchBytes: 60_000, maxRecordBytes: 110_000 };
  const sizes: number[] = [];
  let opened = false;
  const before = (engine: Engine): Engine =>
    slowly(() => (opened ? [w, 20] : undefined))({
      ...engine,
      append: (batch) => {
        for (const { record } of batch) sizes.push(record.length);
        return engine.append(batch);
      },
    });
  const w: World = await open({ limits, before });
  opened = true;
  const keys = Array.from({ length: 400 }, (_, i) => `r${i}`).filter((key) => shardOf("box", key, 8) === 3);
  // What does not compress.
  const random = seeded(5);
  const text = Array.from({ length: 60_000 }, () => random.bits().toString(36)).join("");
  const all = Array.from({ length: 24 }, (_, i) =>
    by(w, "send")(`s${i}`, "send", { to: keys[i]!, count: 3, text: text.slice(i * 5000, (i + 1) * 5000) }),
  );
  const notes = Array.from({ length: 24 }, (_, i) =>
    by(w, "send")(`n${i}`, "note", text.slice((24 + i) * 5000, (25 + i) * 5000)),
  );
  await w.run(Promise.all([...all, ...notes]));
  await w.pass(10_000);
  assert.ok(Math.max(...sizes) <= limits.maxBatchBytes + 1024, `${Math.max(...sizes)} bytes`);
  assert.equal(counted(w, "sheaf_dead_letters_total"), 0);
  for (let i = 0; i < 24; i++) assert.equal((await read(w, keys[i]!)).length, 3);
});

test("messages: what no application here knows waits for the release that does", async () => {
  const before = await open();
  await by(before)("a", "tellUnknown", "f");
  await before.pass(10 * 60_000);
  assert.equal(counted(before, "sheaf_dead_letters_total"), 0);
  await before.run(before.node.stop(100));
  const w = await open({ from: before, app: app("boxes", { entities: [box, foreign] }) });
  await w.pass(2 * 60_000);
  assert.equal(counted(w, "sheaf_tasks_done_total"), 1);
});

test("messages: what nobody ever knows is a dead letter in the end", async () => {
  const w = await open();
  await by(w)("a", "tellUnknown", "f");
  await w.pass(8 * 60_000 + 1);
  for (let i = 0; i < 8; i++) await w.pass(9 * 60_000);
  assert.equal(counted(w, "sheaf_dead_letters_total"), 1);
});

test("messages: one that crashes the process is parked, a dead letter, and those behind it go on", async () => {
  const limits = { maxCrashes: 3 };
  let w = await open({ limits });
  let explode: (() => void) | undefined;
  hooks.bomb = () => new Promise((resolve) => (explode = resolve));
  await by(w)("a", "tellBomb", "z");
  await w.pass(50);
  let crashes = 0;
  for (; explode && crashes < 20; crashes++) {
    w.host.kill();
    explode = undefined;
    w = await open({ from: w, limits });
    await w.pass(1500);
  }
  await by(w)("a", "send", { to: "z", count: 1, text: "behind" });
  await w.pass(60_000);
  assert.deepEqual(await read(w, "z"), ["behind"]);
  assert.equal(counted(w, "sheaf_dead_letters_total"), 1);
  // The first one says only what ran; each later one that it was this.
  assert.equal(crashes, 1 + limits.maxCrashes);
});
