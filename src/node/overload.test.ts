// A node that is asked for more than it can do (P26). Time is virtual, and handlers take of it as they would of a processor.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { SheafError } from "../base/index.ts";
import { app, entity } from "../model/index.ts";
import type { Call } from "../rpc/index.ts";
import { code, type World, world, type WorldOptions } from "./world.fixture.ts";

const Till = entity("till", {
  state: z.object({ n: z.number().int() }),
  commands: {
    add: { input: z.number() },
    pass: { input: z.string() },
    wait: { input: z.number() },
    /** Leaves it for later. */
    put: { input: z.string() },
    hear: { input: z.string() },
  },
});
/** What carries out takes so long. */
const task: { take: () => void; rest: (ms: number) => Promise<void> } = { take: () => {}, rest: async () => {} };
const tills = app("tills", {
  entities: [
    Till.implement({
      initial: () => ({ n: 0 }),
      add({ state }) {
        task.take();
        state.n++;
      },
      pass({ state, input, send }) {
        task.take();
        state.n++;
        send.entity(Till, input).add(1);
      },
      wait: ({ input }) => task.rest(input),
      put: ({ input, after }) => void after(1000, "hear", input),
      hear: () => task.take(),
    }),
  ],
  services: [],
});

const at = (key: string, name: string): Partial<Call> => ({ target: { kind: "command", entity: "till", key, name } });

async function open(options: WorldOptions = {}): Promise<World> {
  const w = await world({ ...options, app: tills });
  task.take = () => w.host.schedule.burn(1);
  task.rest = (ms) => new Promise((resolve) => void w.host.clock.after(ms, resolve));
  return w;
}

type Count = {
  asked: number;
  good: number;
  left: number;
  readonly refused: Map<string, number>;
  readonly hasty: string[];
};

/** So many commands in each millisecond, whatever comes of them. What is read late had come before: its caller's time runs from
 *  then, and the node cannot know. */
async function ask(w: World, perMs: number, ms: number, passEvery = Infinity): Promise<Count> {
  const { schedule, clock } = w.host;
  const count: Count = { asked: 0, good: 0, left: 0, refused: new Map(), hasty: [] };
  const calls: Promise<void>[] = [];
  const began = schedule.now();
  const one = async (n: number, made: number): Promise<void> => {
    // What reading it and answering it take.
    schedule.burn(0.02);
    const passes = (n + 1) % passEvery === 0;
    const call = passes
      ? w.send("", "", `k${(n * 7) % 500}`, { ...at(`k${n % 500}`, "pass"), deadline: clock.tick() + 1000 })
      : w.send("", "", 1, { ...at(`k${n % 500}`, "add"), deadline: clock.tick() + 1000 });
    try {
      await call;
      if (passes) count.left++;
      if (schedule.now() <= made + 1000) count.good++;
    } catch (error) {
      const { code, retryAfterMs } = error as SheafError;
      count.refused.set(code, (count.refused.get(code) ?? 0) + 1);
      if (code === "OVERLOADED" && retryAfterMs === undefined) count.hasty.push((error as SheafError).message);
    }
  };
  let n = 0;
  for (let t = 0; t < ms; t++)
    schedule.after(t, "calls", () => {
      for (const due = (t + 1) * perMs; n < due; n++) {
        count.asked++;
        calls.push(one(n, began + t));
      }
    });
  await w.pass(ms);
  await w.run(Promise.all(calls));
  return count;
}

test("overload: at five times what a node can do it still does most of that, and all is well at once when it is over", async () => {
  const w = await open();
  await ask(w, 0.5, 500);
  const seconds = 4;
  const { good, refused, hasty } = await ask(w, 5, seconds * 1000);
  assert.ok(
    good >= 0.8 * seconds * 1000,
    `${good} were carried out in time, and ${JSON.stringify([...refused])} refused`,
  );
  assert.deepEqual([...refused.keys()], ["OVERLOADED"], "nobody waits in vain");
  assert.deepEqual(hasty, [], "all are told when to come again");
  const after = await ask(w, 0.8, 2000);
  assert.ok(after.good >= 0.95 * after.asked, `${after.good} of ${after.asked} afterwards`);
});

test("overload: what commands leave to others is done meanwhile", async () => {
  const w = await open({ limits: { maxTasks: 500 } });
  await ask(w, 0.5, 500);
  const { good, refused, left } = await ask(w, 5, 4000, 4);
  assert.ok(good >= 0.75 * 0.8 * 4000, `${good} were carried out in time, and ${JSON.stringify([...refused])} refused`);
  await w.pass(300);
  assert.ok(left > 0);
  assert.equal(w.host.metric("sheaf_tasks_done_total"), left, "what was left to others is done, too");
});

test("overload: others get their turn between commands that take long", async () => {
  const w = await open();
  const done: number[] = [];
  const calls = Array.from({ length: 200 }, (_, n) =>
    w.send("", "", 1, at(n % 2 === 0 ? "hot" : `k${n}`, "add")).then(() => done.push(n)),
  );
  let [most, last] = [0, w.host.schedule.now()];
  for (let t = 0; t < 200; t++)
    w.host.clock.after(t, () => {
      most = Math.max(most, w.host.schedule.now() - last);
      last = w.host.schedule.now();
    });
  await w.run(Promise.all(calls));
  await w.pass(300);
  assert.ok(most < 40, `nothing else happened for ${most} ms`);
});

test("overload: a command whose time is over does not run, though nobody has had the time to say so", async () => {
  const w = await open();
  let runs = 0;
  task.take = () => {
    runs++;
    w.host.schedule.burn(1);
  };
  const deadline = w.host.clock.tick() + 5;
  const calls = Array.from({ length: 40 }, () => w.send("", "", 1, { ...at("a", "add"), deadline }));
  const ends = await w.run(Promise.allSettled(calls));
  assert.ok(runs < 20, `${runs} of ${calls.length} ran`);
  const refused = ends.filter((end) => end.status === "rejected" && code("DEADLINE", "not-applied")(end.reason));
  assert.equal(refused.length, calls.length - runs);
});

test("overload: those who gave up leave room in a mailbox", async () => {
  const w = await open({ limits: { maxMailbox: 4 } });
  const { clock } = w.host;
  const first = w.send("", "", 200, { ...at("a", "wait"), deadline: clock.tick() + 5000 });
  await w.pass(1);
  const late = Array.from({ length: 4 }, () => w.send("", "", 1, { ...at("a", "add"), deadline: clock.tick() + 50 }));
  for (const end of await w.run(Promise.allSettled(late)))
    assert.ok(end.status === "rejected" && code("DEADLINE", "not-applied")(end.reason));
  const next = w.send("", "", 1, { ...at("a", "add"), deadline: clock.tick() + 5000 });
  await w.run(first);
  assert.equal((await w.run(next)).version, 1, "it is the first that has run");
});

test("overload: who is refused is not read to the end", async () => {
  const w = await open({ limits: { maxInFlight: 1, maxMailbox: 1 } });
  const first = w.send("", "", 200, at("a", "wait"));
  await w.pass(1);
  await assert.rejects(w.ask("", "", "no number", at("b", "add")), code("OVERLOADED", "not-applied"));
  await w.run(first);
  await assert.rejects(w.ask("", "", "no number", at("b", "add")), code("BAD_INPUT", "not-applied"));
});

test("overload: what waits at a shard is bounded in bytes, too", async () => {
  const w = await open({ shards: 1, limits: { maxBatchBytes: 20_000, maxTaskBytes: 20_000 } });
  const text = "x".repeat(8000);
  for (const key of ["a", "b", "c"]) await w.ask("", "", text, at(key, "put"));
  await assert.rejects(w.ask("", "", text, at("d", "put")), code("OVERLOADED", "not-applied"));
  await w.pass(2000);
  await w.ask("", "", text, at("d", "put"));
});

test("overload: callers are answered while very many timers are due at once", async () => {
  const w = await open();
  await ask(w, 0.5, 500);
  await w.run(Promise.all(Array.from({ length: 3000 }, (_, n) => w.send("", "", "x", at(`t${n}`, "put")))));
  await w.pass(500);
  const { asked, good } = await ask(w, 0.4, 3000);
  assert.ok(good >= 0.95 * asked, `${good} of ${asked}`);
  await w.pass(3000);
  assert.equal(w.host.metric("sheaf_tasks_done_total"), 3000, "and all timers go off");
});

test("overload: tasks that wait for entities that are busy keep no others out", async () => {
  const w = await open();
  await ask(w, 0.5, 500);
  const keys = Array.from({ length: 100 }, (_, n) => `busy${n}`);
  const busy = keys.map((key) => w.send("", "", 8000, { ...at(key, "wait"), deadline: w.host.clock.tick() + 9000 }));
  for (const key of [...keys, "free"]) await w.ask("", "", key, at("from", "pass"));
  await w.pass(1000);
  assert.equal(w.host.metric("sheaf_tasks_done_total"), 1);
  await w.run(Promise.all(busy));
});
