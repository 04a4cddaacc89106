// What each level of consistency promises, beside what the next weaker one lets through: a copy that is cut off from the engine
// answers from before, unless who asks has seen more.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { shardOf, SheafError } from "../base/index.ts";
import { app, entity } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: {
    add: { output: z.number() },
    /** Adds to another, then to itself. */
    both: { input: z.string(), output: z.number() },
    /** Adds to another, then refuses. */
    refuse: { input: z.string(), errors: { REFUSED: z.object({ n: z.number() }) } },
    /** Adds to another, then fails. */
    fail: { input: z.string() },
    /** Looks at itself, and then at another. */
    peek: { input: z.string(), output: z.array(z.number()) },
  },
  queries: {
    strong: { output: z.number(), consistency: "strong" },
    causal: { output: z.number(), consistency: "causal" },
    eventual: { output: z.number(), consistency: "eventual" },
    /** Of itself, and then of another. */
    through: { input: z.string(), output: z.array(z.number()), consistency: "causal" },
  },
});
const read = ({ state }: { state: { readonly n: number } }): number => state.n;
const counting = app("counting", {
  entities: [
    Counter.implement({
      initial: () => ({ n: 0 }),
      add: ({ state }) => ++state.n,
      both: async ({ state, input, call }) => {
        await call.entity(Counter, input).add();
        return ++state.n;
      },
      refuse: async ({ input, call, fail }) => fail("REFUSED", { n: await call.entity(Counter, input).add() }),
      fail: async ({ input, call }) => {
        await call.entity(Counter, input).add();
        throw new Error("broken");
      },
      peek: async ({ state, input, call }) => [state.n, await call.entity(Counter, input).causal()],
      strong: read,
      causal: read,
      eventual: read,
      through: async ({ state, input, call }) => [state.n, await call.entity(Counter, input).causal()],
    }),
  ],
  services: [],
});

type Ask = (
  node: number,
  key: string,
  name: string,
  session: string | undefined,
  more?: { input?: unknown; op?: Call["op"] },
) => Promise<Reply & { session?: string | undefined }>;

const commands: ReadonlySet<string> = new Set(["add", "both", "refuse", "fail", "peek"]);

const asking =
  (world: World): Ask =>
  (index, key, name, session, { input, op } = {}) => {
    const state = world.machines[index]!.state();
    assert.ok(state.kind === "up");
    return nodeOf(world, index).call({
      target: { kind: commands.has(name) ? "command" : "query", entity: "counter", key, name },
      input,
      principal: { id: "t", roles: [] },
      deadline: state.host.clock.tick() + 2000,
      session,
      op,
    });
  };

const shards = 16;

/** Keys of different shards that this node owns. */
async function keysOf(world: World, index: number, count: number): Promise<string[]> {
  const { shards: all } = await nodeOf(world, index).local.status();
  const owned = all.filter(({ state }) => state === "serving").map(({ shard }) => shard);
  assert.ok(owned.length >= count, `node ${index} owns ${owned.length}`);
  const keyIn = (shard: number): string => {
    for (let i = 0; ; i++) if (shardOf("counter", `k${i}`, shards) === shard) return `k${i}`;
  };
  return owned.slice(0, count).map(keyIn);
}

/** The copies at the last node stand still from here on: it reaches the other nodes, but not the engine. */
const stale = (world: World): void => void world.weather.cutFromEngine.add(`node-${world.machines.length}`);

/** `x` and `y` are owned by the first of two nodes; the second has copies that stand still. */
const apart = (play: (ask: Ask, x: string, y: string, world: World) => Promise<void>): Promise<void> =>
  inCluster(counting, { shards }, async (_, world) => {
    const [x, y] = (await keysOf(world, 0, 2)) as [string, string];
    await world.sleep(100);
    stale(world);
    await play(asking(world), x, y, world);
    world.weather.cutFromEngine.clear();
    await world.sleep(600);
  });

const outputs = async (...replies: Promise<Reply>[]): Promise<unknown[]> =>
  (await Promise.all(replies)).map(({ output }) => output);

const refusalOf = (call: Promise<unknown>): Promise<SheafError> =>
  call.then(
    () => assert.fail("it was to be refused"),
    (error: unknown) => (assert.ok(error instanceof SheafError), error),
  );

test("consistency: an eventual query may miss what its caller wrote; a causal one sees it", () =>
  apart(async (ask, x) => {
    const { session } = await ask(0, x, "add", "");
    assert.deepEqual(await outputs(ask(1, x, "eventual", session)), [0], "else this test saw nothing");
    assert.deepEqual(await outputs(ask(1, x, "causal", session)), [1]);
  }));

test("consistency: a causal query of another session may miss what was acknowledged before; a strong one sees it", () =>
  apart(async (ask, x) => {
    await ask(0, x, "add", "");
    assert.deepEqual(await outputs(ask(1, x, "causal", "")), [0], "else this test saw nothing");
    assert.deepEqual(await outputs(ask(1, x, "strong", "")), [1]);
  }));

test("consistency: who sees an effect sees its causes, although nobody told him of them", () =>
  apart(async (ask, x, y) => {
    const first = await ask(0, x, "add", "");
    await ask(0, y, "add", first.session);
    const effect = await ask(0, y, "causal", "");
    assert.equal(effect.output, 1);
    assert.deepEqual(await outputs(ask(1, x, "causal", "")), [0], "without a session: else this test saw nothing");
    assert.deepEqual(await outputs(ask(1, x, "causal", effect.session)), [1]);
  }));

test("consistency: what a handler did elsewhere is a cause of what it did itself, for callers without a session too", () =>
  apart(async (ask, x, y) => {
    await ask(0, y, "both", undefined, { input: x });
    const effect = await ask(0, y, "causal", "");
    assert.equal(effect.output, 1);
    assert.deepEqual(await outputs(ask(1, x, "causal", effect.session)), [1]);
  }));

test("consistency: what a handler asks others, they answer with the causes of what it has looked at itself", () =>
  inCluster(counting, { shards }, async (_, world) => {
    const ask = asking(world);
    const [[x, y], [z]] = [await keysOf(world, 0, 2), await keysOf(world, 1, 1)] as [[string, string], [string]];
    await world.sleep(100);
    // Nobody hears any more of what is appended to the first shard.
    const { shared } = world;
    const { tail } = shared;
    shared.tail = (asks, limit) =>
      tail(
        asks.filter(({ shard }) => shard !== shardOf("counter", x, shards)),
        limit,
      );
    const first = await ask(0, x, "add", "");
    for (const effect of [y, z]) await ask(0, effect, "add", first.session);
    await world.sleep(20);
    assert.deepEqual(
      await outputs(ask(1, y, "eventual", ""), ask(1, x, "eventual", "")),
      [1, 0],
      "else this test saw nothing",
    );
    assert.deepEqual(await outputs(ask(1, y, "through", "", { input: x })), [[1, 1]], "a query, at a copy");
    assert.deepEqual(await outputs(ask(1, z, "peek", "", { input: x })), [[1, 1]], "a command, at its owner");
    shared.tail = tail;
  }));

test("consistency: a call that was refused or failed after it wrote elsewhere leaves its caller with that seen", () =>
  apart(async (ask, x, y) => {
    const refused = await refusalOf(ask(0, y, "refuse", "", { input: x }));
    assert.deepEqual([refused.code, refused.data], ["DECLARED", { n: 1 }]);
    assert.deepEqual(await outputs(ask(1, x, "eventual", "")), [0], "else this test saw nothing");
    assert.deepEqual(await outputs(ask(1, x, "causal", refused.session)), [1]);
    const failed = await refusalOf(ask(1, y, "fail", "", { input: x }));
    assert.equal(failed.code, "HANDLER_FAILED");
    assert.deepEqual(await outputs(ask(1, x, "causal", failed.session)), [2], "over the way between nodes, too");
  }));

test("consistency: the answer to a repeat lets its caller see what the first time wrote elsewhere", () =>
  apart(async (ask, x, y) => {
    const op = { id: "once", issuedAt: undefined };
    await ask(0, y, "both", "", { input: x, op });
    const again = await ask(0, y, "both", "", { input: x, op });
    assert.equal(again.replayed, true);
    assert.deepEqual(await outputs(ask(1, x, "causal", again.session)), [1]);
  }));

test("consistency: causes are kept when another node goes on with what they caused", () =>
  inCluster(counting, { shards, nodes: 3 }, async (_, world) => {
    const ask = asking(world);
    const [[y], [x]] = [await keysOf(world, 0, 1), await keysOf(world, 1, 1)] as [[string], [string]];
    await world.sleep(100);
    stale(world);
    const first = await ask(1, x, "add", "");
    await ask(0, y, "add", first.session);
    await world.sleep(20);
    world.machines[0]!.crash();
    const effect = await ask(1, y, "strong", "");
    assert.equal(effect.output, 1);
    assert.deepEqual(await outputs(ask(2, x, "eventual", "")), [0], "else this test saw nothing");
    assert.deepEqual(await outputs(ask(2, x, "causal", effect.session)), [1]);
    world.weather.cutFromEngine.clear();
    await world.sleep(600);
  }));
