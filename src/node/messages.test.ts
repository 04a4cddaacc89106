// Commands that commands leave: sent to other entities, and set for later. On one node.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { SheafError } from "../base/index.ts";
import { app, entity } from "../model/index.ts";
import { type Send, world, type World } from "./world.fixture.ts";

const Looked = z.object({ cents: z.number().int(), log: z.array(z.string()) });
const Purse = entity("purse", {
  state: Looked,
  commands: {
    pay: { input: z.object({ to: z.string(), cents: z.number().int() }) },
    take: { input: z.object({ cents: z.number().int(), from: z.string() }) },
    note: { input: z.string() },
    later: { input: z.object({ ms: z.number(), text: z.string(), id: z.string().optional() }), output: z.string() },
    forget: { input: z.string() },
    flaky: { input: z.string() },
    far: { input: z.string() },
    refuse: { errors: { NO: z.object({}) } },
    idle: {},
    tell: {
      input: z.object({
        to: z.string(),
        command: z.enum(["flaky", "far", "refuse", "idle", "note"]),
        text: z.string(),
      }),
    },
  },
  queries: { look: { output: Looked } },
});

/** Times that `flaky` is to throw, by text. */
const failures = new Map<string, number>();
const purse = Purse.implement({
  initial: () => ({ cents: 0, log: [] as string[] }),
  pay({ state, input, key, send }) {
    state.cents -= input.cents;
    send.entity(Purse, input.to).take({ cents: input.cents, from: key });
  },
  take({ state, input }) {
    state.cents += input.cents;
  },
  note: ({ state, input }) => void state.log.push(input),
  later: ({ input: { ms, text, id }, after }) => after(ms, "note", text, id === undefined ? {} : { id }),
  forget: ({ input, cancel }) => cancel(input),
  flaky({ state, input }) {
    const left = failures.get(input) ?? 0;
    failures.set(input, left - 1);
    if (left > 0) throw new Error("not now");
    state.log.push(input);
  },
  far({ state, input }) {
    const left = failures.get(input) ?? 0;
    failures.set(input, left - 1);
    if (left > 0) throw new SheafError("UNREACHABLE");
    state.log.push(input);
  },
  refuse: ({ fail }) => fail("NO", {}),
  idle: () => {},
  tell({ send, input: { to, command, text } }) {
    const box = send.entity(Purse, to);
    if (command === "flaky" || command === "far" || command === "note") box[command](text);
    else box[command]();
  },
  look: ({ state: { cents, log } }) => ({ cents, log: [...log] }),
});

const purses = app("purses", { entities: [purse] });
const open = (options: Parameters<typeof world>[0] = {}): Promise<World> =>
  world({ app: purses, shards: 8, ...options });
const to =
  (w: World): Send =>
  (key, name, input, extra) =>
    w.ask(key, name, input, {
      target: { kind: name === "look" ? "query" : "command", entity: "purse", key, name },
      ...extra,
    });
const look = async (w: World, key: string): Promise<z.infer<typeof Looked>> =>
  (await to(w)(key, "look")).output as z.infer<typeof Looked>;
test("messages: each is carried out once, on its own shard and on others", async () => {
  const w = await open();
  const call = to(w);
  for (let i = 0; i < 40; i++) await call(`p${i % 10}`, "pay", { to: `p${(i * 7 + 1) % 10}`, cents: i });
  await w.pass(1000);
  let sum = 0;
  for (let i = 0; i < 10; i++) sum += (await look(w, `p${i}`)).cents;
  assert.equal(sum, 0);
  await call("a", "pay", { to: "b", cents: 5 });
  await w.pass(1000);
  assert.deepEqual([(await look(w, "a")).cents, (await look(w, "b")).cents], [-5, 5]);
});

test("messages: those of one sender to one key come in the order sent", async () => {
  const w = await open();
  for (let i = 0; i < 30; i++) await to(w)("a", "tell", { to: "z", command: "note", text: String(i) });
  await w.pass(1000);
  assert.deepEqual(
    (await look(w, "z")).log,
    Array.from({ length: 30 }, (_, i) => String(i)),
  );
});

test("timers: fire once at their time, can be replaced and taken back", async () => {
  const w = await open();
  const call = to(w);
  await call("a", "later", { ms: 500, text: "soon" });
  await call("a", "later", { ms: 1000, text: "first", id: "x" });
  await call("a", "later", { ms: 3000, text: "second", id: "x" });
  await call("a", "later", { ms: 1000, text: "never", id: "y" });
  await call("a", "forget", "y");
  await w.pass(490);
  assert.deepEqual((await look(w, "a")).log, []);
  await w.pass(100);
  assert.deepEqual((await look(w, "a")).log, ["soon"]);
  await w.pass(2000);
  assert.deepEqual((await look(w, "a")).log, ["soon"]);
  await w.pass(1000);
  assert.deepEqual((await look(w, "a")).log, ["soon", "second"]);
});

test("messages: a failing one is tried again, and those behind it wait for it", async () => {
  const w = await open();
  failures.set("twice", 2);
  await to(w)("a", "tell", { to: "z", command: "flaky", text: "twice" });
  await to(w)("a", "tell", { to: "z", command: "note", text: "behind" });
  await w.pass(200);
  assert.deepEqual((await look(w, "z")).log, []);
  await w.pass(5000);
  assert.deepEqual((await look(w, "z")).log, ["twice", "behind"]);
});

test("messages: that what its handler calls cannot be reached counts as no attempt", async () => {
  const w = await open();
  failures.set("far", 60);
  await to(w)("a", "tell", { to: "z", command: "far", text: "far" });
  await w.pass(20_000);
  assert.deepEqual((await look(w, "z")).log, []);
  await w.pass(20_000);
  assert.deepEqual((await look(w, "z")).log, ["far"]);
});

test("messages: one that fails for good becomes a dead letter, and those behind it go on", async () => {
  const w = await open();
  failures.set("ever", 1000);
  await to(w)("a", "tell", { to: "z", command: "flaky", text: "ever" });
  await to(w)("a", "tell", { to: "z", command: "refuse", text: "" });
  await to(w)("a", "tell", { to: "z", command: "idle", text: "" });
  await to(w)("a", "tell", { to: "z", command: "note", text: "behind" });
  await w.pass(120_000);
  assert.deepEqual((await look(w, "z")).log, ["behind"]);
  assert.equal(1000 - failures.get("ever")!, 5);
});

test("messages and timers: they survive a restart of the node", async () => {
  const before = await open();
  failures.set("restart", 3);
  await to(before)("a", "tell", { to: "z", command: "flaky", text: "restart" });
  await to(before)("a", "later", { ms: 10_000, text: "later" });
  await before.pass(400);
  await before.run(before.node.stop(100));
  const w = await open({ from: before });
  await w.pass(20_000);
  assert.deepEqual((await look(w, "z")).log, ["restart"]);
  assert.deepEqual((await look(w, "a")).log, ["later"]);
});
