// Entities that are kept apart: their shards are only where they are hosted, through crashes and moves, and work goes on between
// the parts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { SheafError } from "../base/index.ts";
import { app, type Client, entity } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Count = z.number().int();
const Stock = entity("stock", {
  state: z.object({ n: Count }),
  commands: { add: { input: Count, output: Count } },
  queries: { get: { output: Count, consistency: "strong" } },
});
const Order = entity("order", {
  state: z.object({ n: Count }),
  commands: { place: { input: z.string(), output: Count }, ask: { input: z.string(), output: Count } },
});
const Line = entity("line", { state: z.object({ n: Count }), commands: { add: { input: Count, output: Count } } });

const shop = app("shop", {
  entities: [
    Stock.implement({
      initial: () => ({ n: 0 }),
      add: ({ state, input }) => (state.n += input),
      get: ({ state }) => state.n,
    }),
    Order.implement({
      initial: () => ({ n: 0 }),
      place({ state, input, send }) {
        send.entity(Stock, input).add(1);
        return (state.n += 1);
      },
      ask: ({ call, input }) => call.entity(Stock, input).add(1),
    }),
    Line.implement({ initial: () => ({ n: 0 }), add: ({ state, input }) => (state.n += input) }),
  ],
});
type Shop = Client<typeof shop.contract>;

const apart = [{ entities: ["order", "line"], shards: 4 }];
const rolesOf = (...roles: readonly (readonly string[])[]) => ({
  each: (name: string) => ({ app: shop, roles: roles[Number(name.split("-")[1]) - 1] ?? ["entities"] }),
});
const four = { nodes: 4, shards: 8, apart, ...rolesOf(["rest"], ["rest", "gateway"], ["order"], ["line"]) };

/** Of each shard, the names of the nodes that own and follow it. */
async function copiesOf(world: World): Promise<ReadonlyMap<number, readonly string[]>> {
  const { nodes, shards } = await nodeOf(world, 0).status();
  const nameOf = new Map(nodes.map(({ id, name }) => [id, name]));
  return new Map(
    shards.map(({ shard, owner, followers }) => [
      shard,
      [owner ?? "nobody", ...followers].map((id) => nameOf.get(id) ?? id).toSorted(),
    ]),
  );
}

async function place(client: Shop, orders: number): Promise<void> {
  for (let i = 0; i < orders; i++) {
    assert.equal(await client.entity(Order, `o${i}`).place(`s${i}`), 1);
    assert.equal(await client.entity(Line, `o${i}`).add(2), 2);
  }
}

test("apart: shards and their copies are only where their entities are hosted, and parts send to and call each other", async () => {
  await inCluster(shop, four, async (client, world) => {
    await place(client, 12);
    for (let i = 0; i < 12; i++) assert.ok((await client.entity(Order, "asks").ask(`s${i}`)) >= 1);
    await world.sleep(1_000);
    for (let i = 0; i < 12; i++) assert.equal(await client.entity(Stock, `s${i}`).get(), 2);
    for (const [shard, at] of await copiesOf(world))
      assert.deepEqual(at, shard < 4 ? ["node-1", "node-2"] : ["node-3", "node-4"], `shard ${shard}`);
    const { nodes } = await nodeOf(world, 0).status();
    assert.deepEqual(
      nodes.map(({ hosts }) => hosts),
      [["rest"], ["rest"], ["order"], ["order"]],
    );
  });
});

test("apart: a node's death moves its shards to the others of its part, and to nobody else when there are none", async () => {
  await inCluster(shop, four, async (client, world) => {
    await place(client, 6);
    world.machines[2]?.crash();
    assert.equal(await client.entity(Order, "o1").place("s1"), 2);
    world.machines[3]?.crash();
    await world.sleep(2_000);
    const { shards } = await nodeOf(world, 0).local.status();
    assert.deepEqual(
      shards.filter(({ shard, state }) => shard >= 4 && state !== "closed"),
      [],
    );
    assert.equal(await client.entity(Stock, "s9").add(1), 1, "the others go on");
    await assert.rejects(client.entity(Order, "o1").place("s1"), { code: "NOT_HOSTED", retry: "later" });
    for (const index of [2, 3]) await world.machines[index]?.start();
    await world.sleep(1_000);
    assert.equal(await client.entity(Order, "o1").place("s1"), 3);
    await world.sleep(1_000);
    assert.equal(await client.entity(Stock, "s1").get(), 3);
  });
});

test("apart: what nobody hosts is refused by name, and what is hosted goes on", async () => {
  await inCluster(
    shop,
    { nodes: 3, shards: 8, apart, ...rolesOf(["rest"], ["rest"], ["order"]) },
    async (client, world) => {
      await world.machines[2]?.stop();
      assert.equal(await client.entity(Stock, "a").add(1), 1);
      await assert.rejects(client.entity(Order, "a").place("a"), (error: SheafError) => {
        assert.deepEqual([error.code, error.outcome], ["NOT_HOSTED", "not-applied"]);
        assert.match(`${error.message} ${error.hint}`, /the entity order[\s\S]*--roles order/);
        return true;
      });
      await world.machines[2]?.start();
      assert.equal(await client.entity(Order, "a").place("a"), 1);
    },
  );
});

test("apart: a shard is moved to no node that does not host its entities", async () => {
  await inCluster(shop, four, async (_, world) => {
    const { nodes } = await nodeOf(world, 0).status();
    const idOf = (name: string): string => nodes.find((node) => node.name === name)?.id ?? "";
    await assert.rejects(nodeOf(world, 0).move(5, idOf("node-1")), (error: SheafError) => {
      assert.equal(error.code, "IN_USE");
      assert.match(error.message, /node-1 takes no shards: it does not host order/);
      return true;
    });
    const from = (await copiesOf(world)).get(5);
    assert.deepEqual(from, ["node-3", "node-4"]);
    for (const name of ["node-3", "node-4"]) {
      await nodeOf(world, 0).move(5, idOf(name));
      await world.sleep(3_000);
      const { shards } = await nodeOf(world, 0).status();
      assert.equal(shards[5]?.owner, idOf(name));
    }
  });
});

test("apart: a node without roles hosts all parts, and one that leaves gives each to who hosts it", async () => {
  await inCluster(shop, { nodes: 3, shards: 8, apart, ...rolesOf(["rest"], ["order"]) }, async (client, world) => {
    await place(client, 6);
    await world.machines[0]?.stop();
    await world.machines[1]?.stop();
    for (let i = 0; i < 6; i++) assert.equal(await client.entity(Order, `o${i}`).place(`s${i}`), 2);
    await world.sleep(1_000);
    for (let i = 0; i < 6; i++) assert.equal(await client.entity(Stock, `s${i}`).get(), 2);
  });
});

test("apart: what cannot be kept apart is refused before a cluster is made", async () => {
  const refuses = (wrong: readonly { entities: readonly string[]; shards?: number }[], says: RegExp): Promise<void> =>
    assert.rejects(
      inCluster(shop, { nodes: 1, shards: 4, apart: wrong }, () => Promise.resolve()),
      (error: SheafError) => {
        assert.equal(error.code, "USAGE");
        assert.match(`${error.message} ${error.hint}`, says);
        return true;
      },
    );
  await refuses([{ entities: ["ordr"] }], /no entity "ordr"[\s\S]*stock, order, line/);
  await refuses([{ entities: ["order"] }, { entities: ["line", "order"] }], /order is named twice/);
  await refuses([{ entities: [] }], /name the entities/);
  await refuses([{ entities: ["order"], shards: 4 }], /not enough shards/);
  await refuses(
    [
      { entities: ["order"], shards: 2 },
      { entities: ["line"], shards: 2 },
    ],
    /not enough shards/,
  );
});
