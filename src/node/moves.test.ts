// What an operator asks of shards: a move that lasts, taking it back, and knowing what is where and why.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { Shard } from "../base/index.ts";
import { app, entity } from "../model/index.ts";
import { wayOf } from "../sim/network.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code } from "./world.fixture.ts";

const Tally = entity("tally", {
  state: z.object({ n: z.number() }),
  commands: { add: { output: z.number() } },
  queries: { n: { output: z.number(), consistency: "strong" } },
});
const tallies = app("tallies", {
  entities: [Tally.implement({ initial: () => ({ n: 0 }), add: ({ state }) => ++state.n, n: ({ state }) => state.n })],
});

const names = ["node-1", "node-2", "node-3"];

/** By shard: the name of the node that serves it, as the node of that index tells. */
async function ownersAt(world: World, index: number): Promise<(string | undefined)[]> {
  const { nodes, shards } = await nodeOf(world, index).status();
  return shards.map(({ owner }) => nodes.find(({ id }) => id === owner)?.name);
}

async function idOf(world: World, name: string): Promise<string> {
  const index = world.machines.findIndex((machine) => machine.state().kind === "up");
  const { nodes } = await nodeOf(world, index).status();
  const found = nodes.find((node) => node.name === name && node.state !== "unreachable");
  assert.ok(found, `${name} is there`);
  return found.id;
}

/** Fails when that is still not so after some seconds of the world's time. */
async function until(world: World, says: string, holds: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 400; looks++) {
    if (await holds()) return;
    await world.sleep(10);
  }
  assert.fail(says);
}

const servedBy = (world: World, index: number, shard: Shard, name: string): Promise<void> =>
  until(world, `shard ${shard} is served by ${name}`, async () => (await ownersAt(world, index))[shard] === name);

test("moves: a shard goes where it is sent, with all that was acknowledged, and nothing else moves", () =>
  inCluster(tallies, { nodes: 3, shards: 8 }, async (client, world) => {
    const keys = Array.from({ length: 24 }, (_, at) => `t${at}`);
    for (const key of keys) await client.entity(Tally, key).add();
    const before = await ownersAt(world, 0);
    const to = names.find((name) => name !== before[5]) ?? "";
    await nodeOf(world, 1).move(5, await idOf(world, to));
    const adding = Promise.all(keys.map((key) => client.entity(Tally, key).add()));
    await servedBy(world, 2, 5, to);
    await adding;
    assert.deepEqual(
      await ownersAt(world, 0),
      before.map((owner, shard) => (shard === 5 ? to : owner)),
    );
    for (const key of keys) assert.equal(await client.entity(Tally, key).n(), 2);
    const [move, ...others] = await nodeOf(world, 2).moves();
    assert.deepEqual(others, []);
    assert.deepEqual([move?.shard, move?.state, move?.to], [5, "pinned", await idOf(world, before[5] ?? "")]);
    assert.match(move?.why ?? "", new RegExp(`^pinned to ${to}; ${before[5]} is first`));
    await nodeOf(world, 0).move(5, null);
    await servedBy(world, 1, 5, before[5] ?? "");
    assert.deepEqual(await nodeOf(world, 1).moves(), []);
  }));

test("moves: a move lasts, through the loss of the registry and a restart of all nodes", () =>
  inCluster(tallies, { nodes: 3, shards: 8 }, async (_, world) => {
    const [owner] = await ownersAt(world, 0);
    const to = names.find((name) => name !== owner) ?? "";
    await nodeOf(world, 0).move(0, await idOf(world, to));
    await servedBy(world, 0, 0, to);
    await world.shared.registry.delete("sheaf.pins");
    await until(world, "the registry is told again", async () =>
      (await world.shared.registry.list()).has("sheaf.pins"),
    );
    for (const machine of world.machines) await machine.stop();
    await world.shared.registry.delete("sheaf.pins");
    await Promise.all(world.machines.map((machine) => machine.start()));
    await servedBy(world, 0, 0, to);
    const { shards } = await nodeOf(world, 2).status();
    assert.deepEqual(
      shards.map(({ pinned }) => pinned),
      [to, ...Array.from({ length: 7 }, () => null)],
    );
  }));

test("moves: while the node of a pin is away others serve the shard, and it goes back", () =>
  inCluster(tallies, { nodes: 3, shards: 8 }, async (client, world) => {
    const owners = await ownersAt(world, 0);
    const shard = owners.findIndex((owner) => owner !== "node-3");
    await nodeOf(world, 0).move(shard, await idOf(world, "node-3"));
    await servedBy(world, 0, shard, "node-3");
    world.machines[2]!.crash();
    for (let at = 0; at < 16; at++) await client.entity(Tally, `t${at}`).add();
    await until(world, "another serves it", async () =>
      ["node-1", "node-2"].includes((await ownersAt(world, 0))[shard] ?? ""),
    );
    await world.machines[2]!.start();
    await servedBy(world, 0, shard, "node-3");
  }));

test("moves: what cannot be is refused, and says why", () =>
  inCluster(tallies, { nodes: 2, shards: 2 }, async (_, world) => {
    const node = nodeOf(world, 0);
    const other = await idOf(world, "node-2");
    await assert.rejects(node.move(2, other), code("NOT_FOUND"));
    await assert.rejects(node.move(-1, other), code("NOT_FOUND"));
    await assert.rejects(node.move(0, "node-9"), code("NOT_FOUND"));
    await node.cordon(other, true);
    await until(world, "its cordon is known", async () =>
      (await node.status()).nodes.some(({ id, cordoned }) => id === other && cordoned),
    );
    await until(world, "the move is refused", () => node.move(0, other).then(() => false, code("IN_USE")));
  }));

test("moves: a pin takes a shard from a cordoned node, which else keeps what it has", () =>
  inCluster(tallies, { nodes: 2, shards: 4 }, async (_, world) => {
    const owners = await ownersAt(world, 0);
    const shard = owners.indexOf("node-1");
    const kept = owners.filter((owner) => owner === "node-1").length - 1;
    const node = nodeOf(world, 1);
    await node.cordon(await idOf(world, "node-1"), true);
    await node.move(shard, await idOf(world, "node-2"));
    await servedBy(world, 1, shard, "node-2");
    await world.sleep(400);
    assert.equal((await ownersAt(world, 1)).filter((owner) => owner === "node-1").length, kept);
    for (const move of await node.moves()) assert.equal(move.state, move.shard === shard ? "pinned" : "kept");
    assert.equal((await node.moves()).length, kept + 1);
  }));

test("moves: a search tells what it finds though one node does not answer, and names what is missing", () =>
  inCluster(tallies, { nodes: 3, shards: 8 }, async (client, world) => {
    const keys = Array.from({ length: 24 }, (_, at) => `t${at}`);
    for (const key of keys) await client.entity(Tally, key).add();
    await world.sleep(100);
    assert.equal((await nodeOf(world, 0).search("tally", "", undefined, 50)).items.length, 24);
    for (const other of ["node-1", "node-2"])
      world.weather.cutBetween.add(wayOf("node-3", other)).add(wayOf(other, "node-3"));
    // At once: before anybody takes over what the third serves.
    const { items, warnings } = await nodeOf(world, 0).search("tally", "", undefined, 50);
    assert.ok(items.length > 0 && items.length < 24, `${items.length} found`);
    assert.match(
      warnings.join(),
      /^what is in (shards? [\d, ]+|\d+ shards \(.*\)) is missing: node-3 did not answer: /,
    );
    const parked = await nodeOf(world, 0).parked();
    assert.deepEqual(parked.items, []);
    assert.match(parked.warnings.join(), /node-3/);
    world.weather.cutBetween.clear();
    await until(world, "all is found again", async () => {
      const again = await nodeOf(world, 0).search("tally", "", undefined, 50);
      return again.warnings.length === 0 && again.items.length === 24;
    });
  }));
