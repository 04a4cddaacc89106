// `/readyz` says yes as long as calls to this node go well, and no while they would not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { wayOf } from "../sim/network.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { type Node } from "./index.ts";
import { code, world } from "./world.fixture.ts";

const Tally = entity("tally", {
  state: z.object({ n: z.number() }),
  commands: { add: { output: z.number() } },
});
const tallies = app("tallies", {
  entities: [Tally.implement({ initial: () => ({ n: 0 }), add: ({ state }) => ++state.n })],
});

/** The checks that fail. */
const failing = (node: Node): Record<string, string> => {
  const { ok, checks } = node.ready();
  const bad = Object.entries(checks).filter(([, says]) => says !== "ok");
  assert.equal(ok, bad.length === 0);
  return Object.fromEntries(bad);
};

async function until(w: World, says: string, holds: () => boolean): Promise<void> {
  for (let looks = 0; looks < 1_000; looks++) {
    if (holds()) return;
    await w.sleep(5);
  }
  assert.fail(says);
}

test("readiness: a node that leaves says so at once, takes calls still, and serves no shard any more", () =>
  inCluster(tallies, { nodes: 2, shards: 4 }, async (client, w) => {
    const node = nodeOf(w, 0);
    assert.deepEqual(failing(node), {});
    const leaving = node.leave(2_000);
    assert.deepEqual(Object.keys(failing(node)), ["node"]);
    await leaving;
    assert.equal((await node.status()).nodes.find(({ id }) => id === node.id)?.owns, 0);
    const target = { kind: "command", entity: "tally", key: "a", name: "add" } as const;
    const state = w.machines[0]!.state();
    assert.ok(state.kind === "up");
    const deadline = state.host.clock.tick() + 1_000;
    await node.call({ target, input: undefined, principal: { id: "t", roles: [] }, deadline });
    assert.equal(await client.entity(Tally, "a").add(), 2);
    assert.deepEqual(failing(nodeOf(w, 1)), {});
  }));

test("readiness: a drained node is not ready until it is taken back", () =>
  inCluster(tallies, { nodes: 2, shards: 4 }, async (_, w) => {
    const node = nodeOf(w, 0);
    await nodeOf(w, 1).drain(node.id, true);
    assert.deepEqual(failing(node), { node: "it is draining" });
    await nodeOf(w, 1).drain(node.id, false);
    assert.deepEqual(failing(node), {});
  }));

test("readiness: a node among others that does not reach the engine is not ready until it does again", () =>
  inCluster(tallies, { nodes: 3, shards: 8 }, async (_, w) => {
    w.weather.cutFromEngine.add("node-1");
    await until(w, "it notices", () => !nodeOf(w, 0).ready().ok);
    assert.match(JSON.stringify(failing(nodeOf(w, 0))), /the engine does not answer|cut off/);
    w.weather.cutFromEngine.clear();
    await until(w, "it is ready again", () => nodeOf(w, 0).ready().ok);
  }));

test("readiness: the death of one node makes no other unready", () =>
  inCluster(tallies, { nodes: 3, shards: 24 }, async (_, w) => {
    w.machines[0]!.crash();
    for (let looks = 0; looks < 200; looks++) {
      for (const index of [1, 2]) assert.deepEqual(failing(nodeOf(w, index)), {});
      await w.sleep(1);
    }
  }));

test("readiness: a node that knows of no owner for most of its copies is not ready", () =>
  inCluster(tallies, { nodes: 2, shards: 8 }, async (_, w) => {
    // The other owned all and is gone, and this one cannot claim.
    const { shards } = await nodeOf(w, 0).status();
    const mine = shards.filter(({ owner }) => owner === nodeOf(w, 0).id).map(({ shard }) => shard);
    assert.ok(mine.length < 8);
    for (const shard of mine) await nodeOf(w, 1).acquire(shard);
    w.weather.cutBetween.add(wayOf("node-1", "node-2")).add(wayOf("node-2", "node-1"));
    w.machines[1]!.crash();
    w.weather.cutFromEngine.add("node-1");
    await until(w, "the other is known to be dead", () => "shards" in failing(nodeOf(w, 0)));
    assert.match(failing(nodeOf(w, 0))["shards"] ?? "", /^[5-8] of 8 copies here have no owner$/);
    await w.heal();
    assert.deepEqual(failing(nodeOf(w, 0)), {});
  }));

test("readiness: a node that is alone says when the engine does not answer, and when it does again", async () => {
  let silent = false;
  const w = await world({ decide: () => (silent ? { kind: "hang", ms: 600_000 } : { kind: "ok" }) });
  assert.deepEqual(failing(w.node), {});
  silent = true;
  await assert.rejects(w.ask("a", "add", 1, { deadline: w.host.clock.tick() + 10_000 }), code("DEADLINE"));
  assert.deepEqual(failing(w.node), { engine: "the engine does not answer" });
  silent = false;
  for (let looks = 0; looks < 100 && !w.node.ready().ok; looks++) await w.pass(100);
  assert.deepEqual(failing(w.node), {});
});
