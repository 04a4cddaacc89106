// A node's own operations, when one is slow and very many are not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity, service } from "../model/index.ts";
import { inCluster } from "./cluster.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: { add: { input: z.number().int(), output: z.number().int() }, later: { input: z.string() } },
});
const Clerk = service("clerk", { procedures: { wait: {} } });
const time: { sleep: (ms: number) => Promise<void> } = { sleep: () => Promise.resolve() };
const counting = app("counting", {
  entities: [
    Counter.implement({
      initial: () => ({ n: 0 }),
      add: ({ state, input }) => (state.n += input),
      later: async ({ input, call }) => {
        await call.service(Clerk).wait();
        await call.entity(Counter, input).add(1);
      },
    }),
  ],
  services: [Clerk.implement({ wait: () => time.sleep(1000) })],
});

test("busy: a slow command may call others however many commands came and went meanwhile", () =>
  inCluster(counting, { shards: 1, limits: { maxIssuedOperations: 512 } }, async (client, world) => {
    time.sleep = world.sleep;
    const slow = ["a", "b", "c", "d"].map((key) => client.entity(Counter, key).later("x"));
    await world.sleep(5);
    for (let round = 0; round < 60; round++)
      await Promise.all(Array.from({ length: 20 }, (_, i) => client.entity(Counter, `k${i}`).add(1)));
    await Promise.all(slow);
    assert.equal(await client.entity(Counter, "x").add(1), 5);
  }));
