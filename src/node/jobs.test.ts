// Queues on one node: jobs are added, done, tried again, given up, and remembered.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity, queue, service } from "../model/index.ts";
import { testApp, type TestApp } from "../sim/index.ts";
import { world } from "./world.fixture.ts";

const Mail = queue("mail", { input: z.object({ to: z.string(), text: z.string() }), output: z.string() });
const Ordered = queue("ordered", {
  input: z.object({ key: z.string(), n: z.number(), fails: z.number().default(0) }),
  key: ({ key }) => key,
  attempts: 3,
  visibilityMs: 1000,
  retry: { firstMs: 20, longestMs: 50 },
});
const Slow = queue("slow", { input: z.object({ n: z.number() }), visibilityMs: 100, attempts: 2 });
const Pulled = queue("pulled", { input: z.number(), output: z.number(), visibilityMs: 1000, attempts: 2 });
const Desk = entity("desk", {
  state: z.object({ sent: z.number() }),
  commands: { order: { input: z.object({ id: z.string().optional(), fail: z.boolean().default(false) }) } },
});

const seen: string[] = [];
let together = 0;
let most = 0;
const held = { end: (): void => {}, hangs: true };

const mail = Mail.work(
  async ({ input, job, attempt, progress }) => {
    most = Math.max(most, ++together);
    await progress({ half: true });
    together--;
    seen.push(`${input.to} ${input.text}`);
    return `${job} in attempt ${attempt}`;
  },
  { concurrency: 2 },
);
const ordered = Ordered.work(({ input: { key, n, fails }, attempt }) => {
  seen.push(`${key}${n}.${attempt}`);
  if (attempt <= fails) throw new Error("not yet");
});
const slow = Slow.work(async ({ input: { n }, attempt, signal }) => {
  seen.push(`slow ${n}.${attempt}`);
  if (held.hangs) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  if (signal.aborted) throw new Error("given up");
});
const desk = Desk.implement({
  initial: () => ({ sent: 0 }),
  order({ state, input, send }) {
    state.sent++;
    send
      .queue(Mail)
      .add({ to: "ann", text: `order ${state.sent}` }, { ...(input.id !== undefined && { id: input.id }) });
    if (input.fail) throw new Error("no");
  },
});
const Adds = service("adds", { procedures: { now: { output: z.string() } } });
let calls = 0;
const adds = Adds.implement({
  now: ({ call }) => call.queue(Mail).add({ to: "ann", text: `${++calls}` }, { id: "twice" }),
});
const shop = app("shop", { entities: [desk], queues: [mail, ordered, slow, Pulled] });

const open = (limits: Record<string, number> = {}, shards = 4): Promise<TestApp<typeof shop>> => {
  seen.length = 0;
  most = 0;
  held.hangs = true;
  return testApp(shop, { limits, shards });
};

test("a job: it is done once, and what came of it can be awaited and asked for again", async () => {
  const test = await open();
  const id = await test.queue(Mail).add({ to: "bob", text: "hello" });
  const waited = await test.queue(Mail).result(id, { waitMs: 1000 });
  assert.deepEqual(waited, { state: "done", output: `${id} in attempt 1` });
  assert.deepEqual(await test.queue(Mail).result(id), waited);
  assert.deepEqual(seen, ["bob hello"]);
  await assert.rejects(test.queue(Mail).result("nobody"), { code: "NOT_FOUND" });
});

test("a job under an id that its adder chose: it is added once, done once, after a restart too", async () => {
  const test = await open();
  const add = (): Promise<string> => test.queue(Mail).add({ to: "bob", text: "once" }, { id: "order-7" });
  assert.deepEqual(await Promise.all([add(), add(), add()]), ["order-7", "order-7", "order-7"]);
  await test.queue(Mail).result("order-7", { waitMs: 1000 });
  test.crash();
  await test.restart();
  assert.equal(await add(), "order-7");
  await test.advance(5000);
  assert.deepEqual(seen, ["bob once"]);
  assert.deepEqual(await test.queue(Mail).result("order-7"), { state: "done", output: "order-7 in attempt 1" });
});

test("an id that was used for another input: it is refused while the job is there, and while it is remembered, after a restart too", async () => {
  const test = await open();
  const other = (to: string): Promise<string> => test.queue(Mail).add({ to, text: "hello" }, { id: "order-8" });
  const slow = (n: number): Promise<string> => test.queue(Slow).add({ n }, { id: "order-9" });
  await slow(1);
  await assert.rejects(slow(2), { code: "IDEMPOTENCY_MISMATCH", outcome: "not-applied" });
  assert.equal(await slow(1), "order-9");
  assert.equal(await other("bob"), "order-8");
  await test.queue(Mail).result("order-8", { waitMs: 1000 });
  for (const restarts of [false, true]) {
    if (restarts) {
      test.crash();
      await test.restart();
    }
    await assert.rejects(other("eve"), { code: "IDEMPOTENCY_MISMATCH", outcome: "not-applied" });
    assert.equal(await other("bob"), "order-8");
  }
  assert.deepEqual(
    seen.filter((one) => !one.startsWith("slow")),
    ["bob hello"],
  );
  // Without an id each is a job of its own.
  assert.notEqual(
    await test.queue(Mail).add({ to: "bob", text: "" }),
    await test.queue(Mail).add({ to: "bob", text: "" }),
  );
});

test("a job that a handler adds: when it runs again and gives another input it is answered as before", async () => {
  const test = await testApp(app("again", { services: [adds], queues: [Mail] }), { shards: 1 });
  calls = 0;
  for (const _ of [1, 2]) assert.equal(await test.service(Adds).now(), "twice");
  assert.equal(calls, 2);
});

test("a job that a command leaves: it is part of its commit", async () => {
  const test = await open();
  await test.entity(Desk, "a").order({ id: "x" });
  await assert.rejects(test.entity(Desk, "a").order({ id: "y", fail: true }));
  await test.entity(Desk, "a").order({});
  await test.advance(100);
  assert.deepEqual(seen.toSorted(), ["ann order 1", "ann order 2"]);
  assert.equal((await test.queue(Mail).result("x")).state, "done");
  await assert.rejects(test.queue(Mail).result("y"), { code: "NOT_FOUND" });
});

test("jobs of one key: one at a time in order, a failed one before those behind it; other keys go on meanwhile", async () => {
  const test = await open();
  for (const n of [1, 2, 3]) await test.queue(Ordered).add({ key: "a", n, fails: n === 1 ? 2 : 0 }, { id: `a${n}` });
  await test.queue(Ordered).add({ key: "b", n: 1 });
  await test.advance(1000);
  assert.deepEqual(
    seen.filter((one) => one.startsWith("a")),
    ["a1.1", "a1.2", "a1.3", "a2.1", "a3.1"],
  );
  assert(seen.indexOf("b1.1") < seen.indexOf("a1.3"));
  assert.equal((await test.queue(Ordered).result("a/a3")).state, "done");
});

test("a job that fails each time: it is a dead letter with its cause behind as many attempts as its queue says", async () => {
  const test = await open();
  const id = await test.queue(Ordered).add({ key: "a", n: 1, fails: 9 });
  await test.queue(Ordered).add({ key: "a", n: 2 });
  await test.advance(1000);
  assert.deepEqual(seen, ["a1.1", "a1.2", "a1.3", "a2.1"]);
  const end = await test.queue(Ordered).result(id);
  assert.deepEqual(end, { state: "dead", attempts: 3, cause: "HANDLER_FAILED: queue ordered.work threw: not yet" });
});

test("a job that never ends: it is begun again when its time is over, and given up behind the last attempt", async () => {
  const test = await open();
  const id = await test.queue(Slow).add({ n: 1 });
  await test.advance(50);
  assert.equal((await test.queue(Slow).result(id)).state, "running");
  await test.advance(60_000);
  assert.deepEqual(seen, ["slow 1.1", "slow 1.2"]);
  const end = await test.queue(Slow).result(id);
  assert(end.state === "dead" && end.attempts === 2, JSON.stringify(end));
});

test("a job that kills the process: its attempts count across restarts, it is parked, and other work goes on", async () => {
  const test = await open();
  const id = await test.queue(Slow).add({ n: 1 });
  for (let crash = 0; crash < 2; crash++) {
    await test.advance(1);
    assert.equal(seen.length, crash + 1);
    test.crash();
    await test.restart();
    await test.queue(Mail).add({ to: "eve", text: "goes on" }, { id: `m${crash}` });
    assert.equal((await test.queue(Mail).result(`m${crash}`, { waitMs: 50 })).state, "done");
    await test.advance(20);
    seen.splice(0, seen.length, ...seen.filter((one) => one.startsWith("slow")));
  }
  assert.deepEqual(seen, ["slow 1.1", "slow 1.2"]);
  assert.deepEqual(await test.queue(Slow).result(id), {
    state: "dead",
    attempts: 2,
    cause: "CALL_LOST: the node that had it is gone",
  });
});

test("a worker: it does as many jobs at the same time as it has hands, those of higher priority and longer due first", async () => {
  const test = await open();
  const { add } = test.queue(Mail);
  for (let n = 0; n < 20; n++) await add({ to: "x", text: `${n}` }, { delayMs: 500, priority: n % 3 });
  await test.advance(400);
  assert.deepEqual(seen, []);
  await test.advance(1000);
  assert.equal(seen.length, 20);
  assert.equal(most, 2);
});

test("priority: jobs that are due together begin in its order, those of one priority by age", async () => {
  const test = await open({}, 1);
  for (const [n, priority] of [0, 5, 0, 5, -1].entries()) await test.queue(Pulled).add(n, { id: `p${n}`, priority });
  const taken = await test.queue(Pulled).take({ max: 5 });
  assert.deepEqual(
    taken.map(({ input }) => input),
    [1, 3, 0, 2, 4],
  );
});

test("a consumer: it takes, acknowledges, rejects and extends, and a lease that is over is refused", async () => {
  const test = await open();
  const { add, take, ack, reject, extend, progress, result } = test.queue(Pulled);
  assert.deepEqual(await take(), []);
  await add(1, { id: "a" });
  const [a] = await take({ max: 9 });
  assert(a);
  assert.deepEqual({ ...a, due: 0 }, { id: "a", attempt: 1, due: 0, input: 1 });
  assert.deepEqual(await take(), []);
  await progress(a, { done: 0.5 });
  const running = await result("a");
  assert(running.state === "running");
  assert.deepEqual(running.progress, { done: 0.5 });
  await test.advance(900);
  await extend(a, 1000);
  await test.advance(900);
  assert.deepEqual(await take(), []);
  await test.advance(200);
  const [again] = await take();
  assert.equal(again?.attempt, 2);
  assert(again);
  await assert.rejects(ack(a, 7), { code: "PRECONDITION_FAILED", outcome: "not-applied" });
  await assert.rejects(extend(a, 7), { code: "PRECONDITION_FAILED" });
  await assert.rejects(reject(a, "late"), { code: "PRECONDITION_FAILED" });
  await assert.rejects(ack(again, "no number" as never), { code: "BAD_INPUT" });
  await ack(again, 7);
  assert.deepEqual(await result("a"), { state: "done", output: 7 });
  await assert.rejects(ack(again, 7), { code: "PRECONDITION_FAILED" });
  await add(2, { id: "b" });
  const [b] = await take();
  await reject(b!, "not now", { delayMs: 100 });
  assert.deepEqual(await take(), []);
  await test.advance(100);
  const [b2] = await take();
  await reject(b2!, "never");
  assert.deepEqual(await result("b"), { state: "dead", attempts: 2, cause: "REJECTED: never" });
  await add(3, { id: "c" });
  await reject((await take())[0]!, "no", { final: true });
  assert.equal((await result("c")).state, "dead");
});

test("a consumer that waits: it gets the job that comes meanwhile, or nothing in time", async () => {
  const test = await open();
  const waiting = test.queue(Pulled).take({ waitMs: 5000 });
  await test.queue(Pulled).add(1);
  await test.advance(1);
  const [job] = await waiting;
  assert.equal(job?.input, 1);
  const none = test.queue(Pulled).take({ waitMs: 300 });
  await test.advance(300);
  assert.deepEqual(await none, []);
});

test("adding: what does not fit is refused, and so is more than a shard takes", async () => {
  const test = await open({ maxTasks: 3 });
  const { add } = test.queue(Pulled);
  await assert.rejects(add("x" as never), { code: "BAD_INPUT" });
  await assert.rejects(add(1, { id: "a/b" }), { code: "BAD_INPUT" });
  await assert.rejects(add(1, { delayMs: -1 }), { code: "BAD_INPUT" });
  await assert.rejects(add(1, { priority: 1e9 }), { code: "BAD_INPUT" });
  const ends = await Promise.allSettled(Array.from({ length: 40 }, (_, n) => add(n)));
  const codes = ends.map((end) => (end.status === "rejected" ? (end.reason as { code: string }).code : "added"));
  assert.deepEqual(new Set(codes), new Set(["added", "OVERLOADED"]));
  assert.equal(codes.filter((code) => code === "added").length, 12);
});

test("a job that is a dead letter: it is listed with its cause, tried again under its id, and then done, or dropped", async () => {
  seen.length = 0;
  const w = await world({ app: shop });
  const call = async (name: string, input: object, key: string): Promise<unknown> =>
    (await w.ask(key, name, input, { target: { kind: "command", entity: "queue pulled", key, name } })).output;
  const look = (id: string): Promise<unknown> =>
    w
      .ask(
        id,
        "result",
        { id, waitMs: 0 },
        { target: { kind: "query", entity: "queue pulled", key: id, name: "result" } },
      )
      .then(({ output }) => output);
  for (const id of ["a", "b"]) {
    await call("add", { input: 1, id }, id);
    assert.equal(((await call("take", { max: 1, waitMs: 0 }, "")) as unknown[]).length, 1);
    await call("reject", { id, attempt: 1, cause: "no", final: true }, id);
  }
  const { items } = await w.run(w.node.deadLetters(undefined, undefined, 50));
  assert.deepEqual(
    items.map(({ kind, entity: type, key, cause, attempts }) => [kind, type, key, cause, attempts]),
    ["a", "b"].map((id) => ["job", "queue pulled", id, "REJECTED: no", 1]),
  );
  for (const { id } of items) assert.match(id, /^[\w/.%~-]+$/);
  const [a, b] = items.map(({ id }) => id) as [string, string];
  await w.run(w.node.redrive(a));
  assert.equal((await w.run(w.node.drop(b))).input, 1);
  const [again] = (await call("take", { max: 9, waitMs: 0 }, "")) as { id: string; attempt: number }[];
  assert.deepEqual([again?.id, again?.attempt], ["a", 2]);
  // Who had it before it was given up has no lease of what it is now.
  await assert.rejects(call("ack", { id: "a", attempt: 1, output: 6 }, "a"), { code: "PRECONDITION_FAILED" });
  // It has all its attempts again: two.
  await call("reject", { id: "a", attempt: 2, cause: "not now", delayMs: 0 }, "a");
  assert.equal(((await look("a")) as { state: string }).state, "waiting");
  await call("take", { max: 9, waitMs: 0 }, "");
  await call("ack", { id: "a", attempt: 3, output: 7 }, "a");
  assert.deepEqual(await look("a"), { state: "done", output: 7 });
  await assert.rejects(look("b"), { code: "NOT_FOUND" });
});
