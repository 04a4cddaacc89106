// What a node measures of itself is what is the case.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Tally = entity("tally", {
  state: z.object({ n: z.number() }),
  commands: { add: { output: z.number() }, wait: { output: z.number() } },
});
let go: () => void = () => {};
const tallies = app("tallies", {
  entities: [
    Tally.implement({
      initial: () => ({ n: 0 }),
      add: ({ state }) => ++state.n,
      wait: async ({ state }) => {
        await new Promise<void>((resolve) => (go = resolve));
        return ++state.n;
      },
    }),
  ],
});

/** The sums over labels, at the node of that index. */
function measured(w: World, index: number): (name: string) => number {
  const state = w.machines[index]?.state();
  assert.ok(state?.kind === "up");
  state.node.measure();
  return (name) => state.host.metric(name);
}

test("gauges: shards are counted by what the node does for them, nodes by how they are seen, and moves as they end", () =>
  inCluster(tallies, { nodes: 2, shards: 8 }, async (_, w) => {
    for (const index of [0, 1]) {
      const metric = measured(w, index);
      assert.equal(metric("sheaf_shards"), 8);
      assert.equal(metric("sheaf_nodes"), 2);
      assert.ok(metric("sheaf_shard_claims_total") > 0);
      assert.equal(metric("sheaf_shard_fenced_total"), 0);
      assert.ok(metric("sheaf_shard_follower_lag_seconds") < 1);
    }
    const { nodes } = await nodeOf(w, 0).status();
    const owned = nodes.find(({ id }) => id === nodeOf(w, 0).id)?.owns ?? 0;
    assert.ok(owned > 0);
    const before = measured(w, 0)("sheaf_shard_moves_total");
    await nodeOf(w, 0).leave();
    assert.ok(measured(w, 0)("sheaf_shard_moves_total") >= before + owned);
  }));

test("gauges: commands that wait for their turn are counted, until they have had it", () =>
  inCluster(tallies, { nodes: 1, shards: 1 }, async (client, w) => {
    const all = Array.from({ length: 3 }, () => client.entity(Tally, "a").wait());
    await w.sleep(50);
    assert.equal(measured(w, 0)("sheaf_commands_waiting"), 2);
    assert.equal(measured(w, 0)("sheaf_calls_open"), 3);
    for (let n = 0; n < 3; n++) {
      go();
      await all[n];
      await w.sleep(5);
    }
    assert.equal(measured(w, 0)("sheaf_commands_waiting"), 0);
    assert.equal(measured(w, 0)("sheaf_calls_open"), 0);
    assert.equal(measured(w, 0)("sheaf_journal_queue_commits"), 0);
  }));

test("gauges: a copy that does not reach the journal's end grows older", () =>
  inCluster(tallies, { nodes: 2, shards: 4 }, async (_, w) => {
    w.weather.cutFromEngine.add("node-1");
    await w.sleep(60);
    const early = measured(w, 0)("sheaf_shard_follower_lag_seconds");
    await w.sleep(60);
    assert.ok(measured(w, 0)("sheaf_shard_follower_lag_seconds") > early);
    w.weather.cutFromEngine.clear();
    await w.heal();
  }));
