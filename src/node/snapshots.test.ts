// Who writes the snapshots of a shard that several nodes have a copy of.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { Status } from "../admin/index.ts";
import { app, type Client, entity } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int(), memo: z.string() }),
  commands: { add: { output: z.number().int() } },
  queries: { total: { output: z.number().int() } },
});
const counting = app("counting", {
  entities: [
    Counter.implement({
      initial: () => ({ n: 0, memo: "" }),
      add({ state, random }) {
        state.memo = Array.from({ length: 20 }, random).join();
        return ++state.n;
      },
      total: ({ state }) => state.n,
    }),
  ],
});
type Counting = Client<typeof counting.contract>;

const written = (world: World): number[] =>
  world.machines.map((machine) => {
    const state = machine.state();
    return state.kind === "up" ? state.host.metric("sheaf_shard_snapshots_total") : 0;
  });
/** How the shard stands at that node. */
const shardAt = async (world: World, index: number): Promise<Status["shards"][number] | undefined> =>
  (await nodeOf(world, index).local.status()).shards[0];
async function ownerIn(world: World): Promise<number> {
  const node = (await shardAt(world, 0))?.owner;
  return world.machines.findIndex((_, index) => nodeOf(world, index).id === node);
}
const firstKept = async (world: World): Promise<number> => (await world.shared.read(0, 1, 1)).first;

async function add(client: Counting, world: World, times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    await client.entity(Counter, "k").add();
    await world.sleep(5);
  }
  await world.sleep(100);
}

test("snapshots: one follower writes them and the owner none, whose journal is trimmed all the same", () =>
  inCluster(counting, { nodes: 3, shards: 1 }, async (client, world) => {
    await add(client, world, 100);
    const owner = await ownerIn(world);
    const counts = written(world);
    assert.equal(counts[owner], 0);
    assert.equal(counts.filter((count) => count > 0).length, 1, `written: ${counts.join()}`);
    assert.ok((await firstKept(world)) > 1);
    assert.equal((await world.shared.snapshots.list(0)).length, 2);
  }));

test("snapshots: when who writes them dies the next in line does, and the owner where nobody else is left", () =>
  inCluster(counting, { nodes: 3, shards: 1 }, async (client, world) => {
    await add(client, world, 60);
    const owner = await ownerIn(world);
    const writer = written(world).findIndex((count) => count > 0);
    const next = [0, 1, 2].find((index) => index !== owner && index !== writer)!;
    world.machines[writer]!.crash();
    const kept = await firstKept(world);
    await add(client, world, 120);
    assert.ok(written(world)[next]! > 0, "the other follower took over");
    assert.equal(written(world)[owner], 0);
    assert.ok((await firstKept(world)) > kept);
    world.machines[next]!.crash();
    await add(client, world, 120);
    assert.ok(written(world)[owner]! > 0, "nobody else is left");
    assert.equal(await client.entity(Counter, "k").total({ consistency: "strong" }), 300);
  }));

test("snapshots: a follower that the journal is trimmed away under goes on from a snapshot, and holds nothing back", () =>
  inCluster(counting, { nodes: 3, shards: 1 }, async (client, world) => {
    await add(client, world, 20);
    const owner = await ownerIn(world);
    const behind = [0, 1, 2].findIndex((index) => index !== owner);
    world.weather.cutFromEngine.add(`node-${behind + 1}`);
    const { head } = await world.shared.read(0, 1, 1);
    await add(client, world, 200);
    assert.ok((await firstKept(world)) > head.seq, "what it lacks is gone");
    world.weather.cutFromEngine.clear();
    await add(client, world, 1);
    await world.sleep(400);
    const { head: now } = await world.shared.read(0, 1, 1);
    assert.equal((await shardAt(world, behind))?.applied, now.seq);
  }));
