// What nodes say while they start, and what they say when an owner at work is replaced.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { shardOf } from "../base/index.ts";
import type { Meter } from "../host/index.ts";
import { memoryDisk, memoryEngine } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import { memoryStore } from "../shards/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { startNode } from "./index.ts";

const Tally = entity("tally", { state: z.object({ n: z.number() }), commands: { add: { output: z.number() } } });
const tallies = app("tallies", {
  entities: [Tally.implement({ initial: () => ({ n: 0 }), add: ({ state }) => ++state.n })],
});

const told = ({ lines }: World, start: string): string[] =>
  lines.filter(({ message }) => message.startsWith(start)).map(({ level }) => level);

test("starting: nodes that start together may claim the same shards, and warn of nothing", () =>
  inCluster(tallies, { nodes: 2, shards: 4 }, async (_, world) => {
    // As two do that do not see each other yet. In this one nothing was written so far.
    const shard = [0, 1, 2, 3].find((number) => number !== shardOf("sheaf.secret", "session", 4)) ?? 0;
    for (const index of [0, 1, 0]) await nodeOf(world, index).acquire(shard);
    await world.sleep(100);
    const twice = told(world, "another node has claimed the shard, too");
    assert.ok(twice.length > 0, "no shard was claimed twice: this test saw nothing");
    assert.deepEqual([...new Set(twice)], ["debug"]);
    assert.deepEqual(
      world.lines.filter(({ level }) => level === "warn" || level === "error").map(({ message }) => message),
      [],
    );
  }));

test("starting: an owner that is replaced long after it claimed says so, also when it did nothing", () =>
  inCluster(tallies, { nodes: 2, shards: 1 }, async (_, world) => {
    await world.sleep(6_000);
    const { shards } = await nodeOf(world, 0).status();
    await nodeOf(world, shards[0]?.owner === nodeOf(world, 0).id ? 1 : 0).acquire(0);
    await world.sleep(100);
    assert.deepEqual(told(world, "fenced: another node owns the shard"), ["warn"]);
  }));

test("starting: an owner that wrote something and is replaced says so, however young its claim", () =>
  inCluster(tallies, { nodes: 2, shards: 1 }, async (client, world) => {
    await client.entity(Tally, "a").add();
    const { shards } = await nodeOf(world, 0).status();
    const owner = shards[0]?.owner === nodeOf(world, 0).id ? 0 : 1;
    await nodeOf(world, 1 - owner).acquire(0);
    await client.entity(Tally, "a").add();
    await world.sleep(100);
    assert.deepEqual(told(world, "fenced: another node owns the shard"), ["warn"]);
  }));

test("starting: a node that fails at the very end of its start leaves nothing at work", async () => {
  const host = simHost();
  const meter: Meter = {
    ...host.meter,
    gauge() {
      throw new Error("no gauges here");
    },
  };
  const engine = memoryEngine({ disk: memoryDisk(), clock: host.clock });
  const start = startNode({
    host: { ...host, meter },
    engine,
    store: memoryStore(),
    app: tallies,
    cluster: "tests",
    shards: 2,
    create: true,
  });
  const rejected = assert.rejects(start, /no gauges here/);
  await host.schedule.run({ done: () => false, until: host.schedule.now() + 1_000 });
  await rejected;
  const before = host.schedule.count();
  await host.schedule.run({ done: () => false, until: host.schedule.now() + 60_000 });
  assert.equal(host.schedule.count(), before);
});
