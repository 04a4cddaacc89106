// What nodes of a cluster answer for each other at the edges: old copies, large answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { SheafError } from "../base/index.ts";
import { app, entity, service } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code } from "./world.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: { add: { input: z.number().int(), output: z.number().int() }, wait: { input: z.number() } },
  queries: {
    eventual: { output: z.number(), consistency: "eventual" },
    causal: { output: z.number(), consistency: "causal" },
    strong: { output: z.number(), consistency: "strong" },
    large: { input: z.number(), output: z.string(), consistency: "strong" },
  },
});
const Clerk = service("clerk", { procedures: { wait: { input: z.number() } } });
const time: { sleep: (ms: number) => Promise<void> } = { sleep: () => Promise.resolve() };
const counting = app("counting", {
  entities: [
    Counter.implement({
      initial: () => ({ n: 0 }),
      add: ({ state, input }) => (state.n += input),
      wait: async ({ input, call }) => call.service(Clerk).wait(input),
      eventual: ({ state }) => state.n,
      causal: ({ state }) => state.n,
      strong: ({ state }) => state.n,
      large: ({ input }) => "x".repeat(input),
    }),
  ],
  services: [Clerk.implement({ wait: ({ input }) => time.sleep(input) })],
});

const keys = Array.from({ length: 8 }, (_, key) => `k${key}`);

function ask(
  world: World,
  index: number,
  key: string,
  name: string,
  input?: unknown,
  extra: Partial<Call> = {},
): Promise<Reply> {
  const kind = name === "add" || name === "wait" ? "command" : "query";
  const state = world.machines[index]!.state();
  assert.ok(state.kind === "up");
  const target = { kind, entity: "counter", key, name } as const;
  const deadline = state.host.clock.tick() + 1000;
  return nodeOf(world, index).call({ target, input, principal: { id: "t", roles: [] }, deadline, ...extra });
}

test("copies: an answer too large for another node fails alone", () => {
  const limits = { maxStateBytes: 1 << 16, maxBatchBytes: 1 << 17, maxRecordBytes: 1 << 18 };
  return inCluster(counting, { limits }, async (client, world) => {
    time.sleep = world.sleep;
    const others = keys.map((key) => client.entity(Counter, key).wait(50));
    await world.sleep(5);
    const asks = [0, 1].flatMap((index) => keys.map((key) => ask(world, index, key, "large", 1 << 18)));
    const refused = (await Promise.allSettled(asks)).filter((one) => one.status === "rejected");
    assert.equal(refused.length, keys.length, "each is refused at the node that has to ask the other");
    for (const { reason } of refused) code("TOO_LARGE", "not-applied")(reason as SheafError);
    await Promise.all(others);
  });
});

test("copies: a copy that cannot follow any more does not answer from the past for ever", () =>
  inCluster(counting, { limits: { maxStaleMs: 300 } }, async (client, world) => {
    await world.sleep(100);
    world.weather.cutFromEngine.add("node-2");
    await world.sleep(250);
    const old = await Promise.all(keys.map((key) => ask(world, 1, key, "eventual")));
    assert.ok(
      old.some(({ staleMs }) => (staleMs ?? 0) > 200),
      "node-2 answers from a copy: else this test saw nothing",
    );
    await world.sleep(1000);
    for (const key of keys) {
      await client.entity(Counter, key).add(1);
      for (const name of ["eventual", "causal"] as const) {
        const { output, staleMs = 0 } = await ask(world, 1, key, name);
        assert.deepEqual([output, staleMs <= 300], [1, true], `${name} of ${key}, ${staleMs} ms old`);
      }
    }
    world.weather.cutFromEngine.clear();
    await world.sleep(600);
  }));

test("copies: a causal read that a copy cannot answer waits for it once, then goes to the owner", () =>
  inCluster(counting, {}, async (_, world) => {
    await world.sleep(100);
    const { session = "" } = await ask(world, 0, "k1", "add", 1, { session: "" });
    world.weather.cutFromEngine.add("node-2");
    const more = await ask(world, 0, "k1", "add", 1, { session });
    const began = world.schedule.now();
    const { output } = await ask(world, 1, "k1", "causal", undefined, { session: more.session });
    const took = world.schedule.now() - began;
    assert.equal(output, 2);
    assert.ok(took > 40, `${took} ms: a copy was not asked, and this test saw nothing`);
    assert.ok(took < 80, `it took ${took} ms`);
    world.weather.cutFromEngine.clear();
    await world.sleep(600);
  }));

test("copies: an engine that answers from an old copy of itself makes no copy fresh", () =>
  inCluster(counting, {}, async (client, world) => {
    for (const key of keys) await client.entity(Counter, key).add(1);
    await world.sleep(100);
    let asked = 0;
    world.shared.tail = async (asks) =>
      asks
        .filter(({ from }) => from > 2)
        .map(({ shard }) => {
          asked++;
          return { entries: [], first: 1, head: { shard, generation: 1, epoch: 0, seq: 0 } };
        });
    await world.sleep(300);
    assert.ok(asked > 5, "nobody was told of old: this test saw nothing");
    const answers = await Promise.all([0, 1].flatMap((index) => keys.map((key) => ask(world, index, key, "eventual"))));
    const copies = answers.filter(({ staleMs }) => (staleMs ?? 0) > 200);
    assert.ok(copies.length >= keys.length, `${copies.length} answers say how old they are`);
  }));
