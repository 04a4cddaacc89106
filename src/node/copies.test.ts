// What nodes of a cluster answer for each other at the edges: old copies, large answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { SheafError } from "../base/index.ts";
import { app, entity, service } from "../model/index.ts";
import type { Reply } from "../rpc/index.ts";
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

function ask(world: World, index: number, key: string, name: string, input?: unknown, ms = 1000): Promise<Reply> {
  const kind = name === "add" || name === "wait" ? "command" : "query";
  const state = world.machines[index]!.state();
  assert.ok(state.kind === "up");
  const target = { kind, entity: "counter", key, name } as const;
  const deadline = state.host.clock.tick() + ms;
  return nodeOf(world, index).call({ target, input, principal: { id: "t", roles: [] }, deadline });
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
