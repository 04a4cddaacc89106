// Answers of queries that copies keep: when they are given again, and when never.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity } from "../model/index.ts";
import type { Reply } from "../rpc/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const number = { output: z.number() };
const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: { add: number },
  queries: {
    plain: number,
    sum: { input: z.object({ by: z.number() }), output: z.number() },
    dated: number,
    diced: number,
    personal: number,
    asking: number,
    waiting: number,
    logging: number,
    refusing: { ...number, errors: { NO: z.object({}) } },
  },
});
/** How often each handler has run, on all nodes. */
const ran = new Map<string, number>();
const run = <T>(name: string, value: T): T => (ran.set(name, (ran.get(name) ?? 0) + 1), value);
const implemented = (factor: number) =>
  app("counting", {
    entities: [
      Counter.implement({
        initial: () => ({ n: 0 }),
        add: ({ state }) => ++state.n,
        plain: ({ state }) => run("plain", factor * state.n),
        sum: ({ state, input }) => run("sum", state.n + input.by),
        dated: ({ state, now }) => run("dated", state.n + Math.min(0, now)),
        diced: ({ state, random }) => run("diced", state.n + Math.min(0, random())),
        personal: ({ state, caller }) => run("personal", state.n + Math.min(0, caller.id.length)),
        asking: async ({ call, key }) => run("asking", await call.entity(Counter, `${key}'`).plain()),
        waiting: async ({ state }) => run("waiting", state.n),
        logging: ({ state, log }) => (log.debug("read"), run("logging", state.n)),
        refusing: ({ fail }) => run("refusing", fail("NO", {})),
      }),
    ],
  });
const counting = implemented(1);

async function ask(
  world: World,
  index: number,
  name: string,
  level: "strong" | "eventual",
  input?: unknown,
): Promise<Reply> {
  const state = world.machines[index]!.state();
  assert.ok(state.kind === "up");
  const target = { kind: "query", entity: "counter", key: "k", name } as const;
  const deadline = state.host.clock.tick() + 1000;
  const principal = { id: "t", roles: [] };
  return nodeOf(world, index).call({ target, input, principal, deadline, consistency: level });
}
const runsOf = async (name: string, work: () => Promise<unknown>): Promise<number> => {
  const before = ran.get(name) ?? 0;
  await work();
  return (ran.get(name) ?? 0) - before;
};

test("query cache: each copy computes an answer once for one state, whatever the level, and anew for the next", () =>
  inCluster(counting, { shards: 1 }, async (client, world) => {
    for (let round = 1; round <= 3; round++) {
      await client.entity(Counter, "k").add();
      await world.sleep(60);
      const runs = await runsOf("plain", async () => {
        for (const index of [0, 1, 0, 1, 0, 1]) {
          assert.equal((await ask(world, index, "plain", "eventual")).output, round);
          assert.equal((await ask(world, index, "plain", "strong")).output, round);
        }
      });
      assert.equal(runs, 2, "one at the owner, one at the follower");
    }
    const sums = await runsOf("sum", async () => {
      for (const by of [1, 2, 1, 2]) assert.equal((await ask(world, 0, "sum", "eventual", { by })).output, 3 + by);
    });
    assert.equal(sums, 2);
  }));

test("query cache: nothing is kept of a handler that looks beyond its state, key and input", () =>
  inCluster(counting, { shards: 1 }, async (client, world) => {
    await client.entity(Counter, "k").add();
    await world.sleep(60);
    for (const name of ["dated", "diced", "personal", "asking", "waiting", "logging"]) {
      const runs = await runsOf(name, async () => {
        for (let i = 0; i < 3; i++) await ask(world, 0, name, "eventual");
      });
      assert.equal(runs, 3, name);
    }
    for (let i = 0; i < 2; i++) await assert.rejects(ask(world, 0, "refusing", "eventual"), { error: "NO" });
  }));

test("query cache: a copy that cannot follow says truthfully how old the answer that it kept is", () =>
  inCluster(counting, { shards: 1, limits: { maxStaleMs: 5000 } }, async (client, world) => {
    await client.entity(Counter, "k").add();
    await world.sleep(60);
    const follower = (await nodeOf(world, 0).local.status()).shards[0]?.owner === nodeOf(world, 0).id ? 1 : 0;
    await ask(world, follower, "plain", "eventual");
    await ask(world, follower, "plain", "eventual");
    world.weather.cutFromEngine.add(`node-${follower + 1}`);
    await world.sleep(200);
    const runs = await runsOf("plain", async () => {
      const { output, staleMs } = await ask(world, follower, "plain", "eventual");
      assert.equal(output, 1);
      assert.ok((staleMs ?? 0) >= 150, `it says ${staleMs}`);
    });
    assert.equal(runs, 0);
    world.weather.cutFromEngine.clear();
    await world.sleep(600);
  }));

test("query cache: code that was loaded anew computes its own answers", () =>
  inCluster(counting, { shards: 1 }, async (client, world) => {
    await client.entity(Counter, "k").add();
    await world.sleep(60);
    assert.equal((await ask(world, 0, "plain", "eventual")).output, 1);
    nodeOf(world, 0).reload(implemented(10));
    assert.equal((await ask(world, 0, "plain", "eventual")).output, 10);
  }));
