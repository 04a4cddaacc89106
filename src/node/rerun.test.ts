// Commands whose handler runs again at another node because their shard moved: what they did before counts once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { shardOf } from "../base/index.ts";
import { app, type Client, entity, service } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: {
    add: { input: z.number().int(), output: z.number().int() },
    byService: { input: z.string(), output: z.number() },
    /** Adds to a counter of a name of its own making. */
    anew: { output: z.string() },
    /** Adds to another, telling it the time. */
    dated: { input: z.object({ to: z.string(), by: z.number().int() }), output: z.number() },
    addAt: { input: z.object({ by: z.number().int(), at: z.number(), id: z.string() }), output: z.number() },
    either: { input: z.object({ first: z.string(), later: z.string() }), output: z.string() },
  },
  queries: { get: { output: z.number(), consistency: "strong" } },
});
const Clerk = service("clerk", {
  procedures: { add: { input: z.string() }, wait: {} },
});
/** Set by the world of the test that runs. */
const time: { sleep: (ms: number) => Promise<void>; fails: boolean } = { sleep: () => Promise.resolve(), fails: false };
/** Names that handlers have made up. */
const drawn = new Set<string>();
const counter = Counter.implement({
  initial: () => ({ n: 0 }),
  add: ({ state, input }) => (state.n += input),
  byService: async ({ state, input, call }) => {
    await call.service(Clerk).add(input);
    await call.service(Clerk).wait();
    return ++state.n;
  },
  anew: async ({ state, call, id, random }) => {
    const name = `${id()}-${random()}`;
    drawn.add(name);
    await call.entity(Counter, name).add(1);
    await call.service(Clerk).wait();
    state.n++;
    return name;
  },
  dated: async ({ state, input: { to, by }, call, now, id }) => {
    await call.entity(Counter, to).addAt({ by, at: now, id: id() });
    await call.service(Clerk).wait();
    if (time.fails) throw new Error("on its way");
    return ++state.n;
  },
  addAt: ({ state, input }) => (state.n += input.by),
  either: async ({ state, input, call }) => {
    const to = state.n === 0 ? input.first : input.later;
    const n = await call.entity(Counter, to).add(to === input.first ? 1 : 10);
    await call.service(Clerk).wait();
    return `${to} is ${n}`;
  },
  get: ({ state }) => state.n,
});
const clerk = Clerk.implement({
  add: async ({ input, call }) => void (await call.entity(Counter, input).add(1)),
  wait: () => time.sleep(60),
});
const counting = app("counting", { entities: [counter], services: [clerk] });

type Counting = Client<typeof counting.contract>;

/** Two nodes; handlers are not waited for as long as they take when the second gives everything to the first. */
const moving = (during: (client: Counting, world: World) => Promise<void>): Promise<void> =>
  inCluster(counting, { limits: { handOverMs: 20 } }, (client, world) => {
    time.sleep = world.sleep;
    return during(client, world);
  });

const drainFirst = (world: World): Promise<void> => nodeOf(world, 1).drain(nodeOf(world, 0).id, true);

test("rerun: what a handler did through a service counts once", () =>
  moving(async (client, world) => {
    const keys = Array.from({ length: 8 }, (_, key) => `k${key}`);
    const ends = keys.map((key) => client.entity(Counter, key).byService(`other-${key}`));
    await world.sleep(10);
    await drainFirst(world);
    assert.deepEqual(
      await Promise.all(ends),
      keys.map(() => 1),
    );
    for (const key of keys) assert.equal(await client.entity(Counter, `other-${key}`).get(), 1, key);
  }));

test("rerun: a handler that takes another way is not answered with what it had asked of another entity before", () =>
  moving(async (client, world) => {
    const names = Array.from({ length: 40 }, (_, i) => `x${i}`);
    const [first, later] = names.filter((name) => shardOf("counter", name, 2) === 0) as [string, string];
    const keys = Array.from({ length: 8 }, (_, key) => `k${key}`);
    const ends = keys.map((key) => client.entity(Counter, key).either({ first, later }));
    await world.sleep(5);
    const also = keys.map((key) => client.entity(Counter, key).add(1));
    await world.sleep(5);
    await drainFirst(world);
    await Promise.all(also);
    const ways = (await Promise.all(ends)).map((said) => said.split(" "));
    const others = ways.filter(([to]) => to === later).length;
    assert.ok(others > 0, "no handler took another way: this test saw nothing");
    assert.equal(await client.entity(Counter, later).get(), 10 * others);
  }));

test("rerun: what a handler makes under a name that it draws is made once", () =>
  moving(async (client, world) => {
    drawn.clear();
    const keys = Array.from({ length: 8 }, (_, key) => `k${key}`);
    const ends = keys.map((key) => client.entity(Counter, key).anew());
    await world.sleep(10);
    await drainFirst(world);
    const names = await Promise.all(ends);
    assert.deepEqual([...drawn].sort(), [...names].sort());
    assert.equal(drawn.size, keys.length);
    for (const name of names) assert.equal(await client.entity(Counter, name).get(), 1, name);
  }));

test("rerun: under a key that the caller chose, a handler may ask others for something else than before", () =>
  moving(async (client, world) => {
    const keys = Array.from({ length: 8 }, (_, key) => `k${key}`);
    const ends = keys.map((key) =>
      client.entity(Counter, key).dated({ to: `other-${key}`, by: 1 }, { idempotencyKey: `once-${key}` }),
    );
    await world.sleep(10);
    await drainFirst(world);
    assert.deepEqual(
      await Promise.all(ends),
      keys.map(() => 1),
    );
    for (const key of keys) assert.equal(await client.entity(Counter, `other-${key}`).get(), 1, key);
  }));

test("rerun: a key that the caller chose stands for what it asked for with it, also where only calls inside were kept", () =>
  moving(async (client) => {
    const dated = (by: number): Promise<number> =>
      client.entity(Counter, "k1").dated({ to: "k2", by }, { idempotencyKey: "one" });
    time.fails = true;
    try {
      await assert.rejects(dated(1), /on its way/);
      await assert.rejects(dated(7), /another input/);
    } finally {
      time.fails = false;
    }
    assert.equal(await client.entity(Counter, "k2").get(), 1, "not what another input asked for");
    assert.equal(await dated(1), 1);
    assert.equal(await client.entity(Counter, "k2").get(), 1);
  }));
