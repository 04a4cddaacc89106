// Strong reads at an owner: how many share one barrier.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity } from "../model/index.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: { add: { output: z.number().int() } },
  queries: { total: { output: z.number().int(), consistency: "strong" } },
});
const counting = app("counting", {
  entities: [
    Counter.implement({ initial: () => ({ n: 0 }), add: ({ state }) => ++state.n, total: ({ state }) => state.n }),
  ],
});

test("strong reads: at least fifty share a barrier where 512 are under way over all shards, writes going on", () =>
  inCluster(counting, { nodes: 1, shards: 16 }, async (client, world) => {
    const state = world.machines[0]!.state();
    assert.ok(state.kind === "up");
    const node = nodeOf(world, 0);
    const read = (n: number): Promise<unknown> =>
      node.call({
        target: { kind: "query", entity: "counter", key: `k${n % 100}`, name: "total" },
        input: undefined,
        principal: { id: "t", roles: [] },
        deadline: state.host.clock.tick() + 5000,
      });
    const before = state.host.metric("sheaf_journal_barriers_total");
    let reads = 0;
    let reading = true;
    const writer = (async () => {
      for (let n = 0; reading; n++) await client.entity(Counter, `k${n % 100}`).add();
    })();
    const reader = async (index: number): Promise<void> => {
      await world.sleep(index / 64); // not all at the same instant
      for (let n = 0; n < 6; n++, reads++) await read(index + n);
    };
    await Promise.all(Array.from({ length: 512 }, (_, index) => reader(index)));
    reading = false;
    await writer;
    const barriers = state.host.metric("sheaf_journal_barriers_total") - before;
    assert.ok(barriers > 0 && reads / barriers >= 50, `${reads} reads took ${barriers} barriers`);
  }));
