// Calls that would wait for themselves across nodes are refused, at once where the call shows it, and never only at their deadlines.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type SheafError, shardOf } from "../base/index.ts";
import { app, type Client, entity, service } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Path = z.array(z.string());
const Walk = { input: Path, output: z.number() };
const Knot = entity("knot", {
  state: z.object({ n: z.number() }),
  commands: { via: Walk, through: Walk, slowly: Walk },
  queries: { n: { output: z.number(), consistency: "strong" } },
});
const Tie = service("tie", { procedures: { go: { input: Path, output: z.number() } } });
const knots = app("knots", {
  entities: [
    Knot.implement({
      initial: () => ({ n: 0 }),
      via: async ({ state, call, input: [next, ...rest] }) => {
        if (next !== undefined) await call.entity(Knot, next).via(rest);
        return ++state.n;
      },
      through: async ({ state, call, input }) => {
        await call.service(Tie).go(input);
        return ++state.n;
      },
      slowly: async ({ state, call, input: [next, ...rest] }) => {
        await nap(300);
        if (next !== undefined) await call.entity(Knot, next).slowly(rest);
        return ++state.n;
      },
      n: ({ state }) => state.n,
    }),
  ],
  services: [
    Tie.implement({
      go: async ({ call, input: [next, ...rest] }) => (next === undefined ? 0 : call.entity(Knot, next).through(rest)),
    }),
  ],
});
/** The time of the world that is played in. */
let nap: World["sleep"] = () => Promise.reject(new Error("no world"));
type Knots = Client<typeof knots.contract>;

/** Keys of shards that the two nodes serve, two for each: `a`, `c` at the first, `b`, `d` at the second. */
async function spread(world: World): Promise<Record<"a" | "b" | "c" | "d", string>> {
  const { shards } = await nodeOf(world, 0).status();
  const at = [0, 1].map((index) => {
    const { id } = nodeOf(world, index);
    const keys = Array.from({ length: 40 }, (_, n) => `k${n}`);
    return keys.filter((key) => shards[shardOf("knot", key, shards.length)]?.owner === id);
  });
  const [[a, c] = [], [b, d] = []] = at;
  assert.ok(a && b && c && d);
  return { a, b, c, d };
}

const isReentrant = (end: PromiseSettledResult<unknown>): boolean =>
  end.status === "rejected" && (end.reason as SheafError).code === "REENTRANT";

/** Plays without ever waiting for a deadline, which is 3 s away. */
async function promptly(world: World, play: () => Promise<void>): Promise<void> {
  const began = world.schedule.now();
  await play();
  const took = world.schedule.now() - began;
  assert.ok(took < 1_000, `it took ${took} ms of the world's time`);
}

for (const way of ["via", "through"] as const) {
  const between = way === "via" ? "entities" : "entities and services";
  const walk = (client: Knots, start: string, path: readonly string[]): Promise<number> =>
    client.entity(Knot, start)[way]([...path]);

  test(`wait cycles: one of calls between ${between} of two nodes is refused at once`, () =>
    inCluster(knots, { nodes: 2, shards: 8 }, async (client, world) => {
      const { a, b, c, d } = await spread(world);
      await promptly(world, async () => {
        for (const path of [
          [b, a],
          [b, d, a],
          [c, b, a],
          [b, c, d, b],
        ])
          assert.ok(isReentrant((await Promise.allSettled([walk(client, a, path)]))[0]), path.join());
      });
      assert.equal(await client.entity(Knot, a).n(), 0);
      assert.equal(await walk(client, a, [b, c, d]), 1);
    }));
}

/** A key of a shard that each of the nodes serves. */
async function oneEach(world: World): Promise<string[]> {
  const { shards } = await nodeOf(world, 0).status();
  const keys = Array.from({ length: 60 }, (_, n) => `k${n}`);
  return world.machines.map((_, index) => {
    const { id } = nodeOf(world, index);
    return (
      keys.find((key) => shards[shardOf("knot", key, shards.length)]?.owner === id) ?? assert.fail(`none at ${id}`)
    );
  });
}

for (const nodes of [2, 3])
  for (const way of ["via", "through"] as const)
    test(`wait cycles: calls on ${nodes} nodes that begin at once and wait for each other, by "${way}", are told before their deadlines`, () =>
      inCluster(knots, { nodes, shards: 12 }, async (client, world) => {
        const keys = await oneEach(world);
        let refused = 0;
        for (let round = 0; round < 5; round++)
          await promptly(world, async () => {
            const ring = keys.map((key, i) => client.entity(Knot, key)[way]([keys[(i + 1) % nodes]!]));
            const ends = await Promise.allSettled(ring);
            for (const end of ends) assert.ok(end.status === "fulfilled" || isReentrant(end), JSON.stringify(end));
            refused += ends.filter(isReentrant).length;
          });
        assert.ok(refused > 0, "else they never met");
        assert.ok(refused <= 5, `${refused} refused in 5 rounds: one of a ring is enough`);
      }));

test("wait cycles: calls that begin at once and wait for each other, two on one node and two on another, are told, too", () =>
  inCluster(knots, { nodes: 2, shards: 8 }, async (client, world) => {
    nap = () => world.sleep(20); // until each of them holds its own
    const { a, b, c, d } = await spread(world);
    const rings = [
      [a, c, b],
      [a, b, c, d],
      [a, c, d, b],
    ];
    for (const ring of rings)
      await promptly(world, async () => {
        const calls = ring.map((key, i) => client.entity(Knot, key).slowly([ring[(i + 1) % ring.length]!]));
        const ends = await Promise.allSettled(calls);
        for (const end of ends) assert.ok(end.status === "fulfilled" || isReentrant(end), JSON.stringify(end));
        assert.equal(ends.filter(isReentrant).length, 1, ring.join());
      });
  }));

test("wait cycles: a call that waits long for one that is slow, or in line, is not taken for one", () =>
  inCluster(knots, { nodes: 3, shards: 12 }, async (client, world) => {
    nap = (ms) => world.sleep(ms);
    const [b, c, d] = (await oneEach(world)) as [string, string, string];
    const a = "first of all";
    // Who holds one waits only for those further on in this order.
    const paths = [[a, b], [b, c], [c, d], [d], [a, c, d], [b, d]];
    const ends = await Promise.allSettled(paths.map(([start, ...path]) => client.entity(Knot, start!).slowly(path)));
    for (const [i, end] of ends.entries())
      assert.equal(end.status, "fulfilled", `${paths[i]!.join()} ${JSON.stringify(end)}`);
  }));

test("wait cycles: in bad weather nobody is refused whose calls go one way only", async () => {
  let [answered, late] = [0, 0];
  for (let seed = 1; seed <= 6; seed++)
    await inCluster(
      knots,
      { nodes: 3, shards: 12, seed, faults: ["pause", "lag", "split", "slow-engine", "restart"] },
      async (client, world) => {
        nap = () => world.sleep(60);
        const order = Array.from({ length: 10 }, (_, n) => `k${n}`);
        const calls = Array.from({ length: 24 }, async (_, n) => {
          await world.sleep(n * 60);
          const began = world.schedule.now();
          const [start, next, last] = [n % 8, (n % 8) + 1, 9].map((i) => order[i]!);
          await client.entity(Knot, start!).slowly(n % 3 === 0 ? [next!, last!] : [next!]);
          if (world.schedule.now() - began > 400) late++;
        });
        for (const end of await Promise.allSettled(calls)) {
          assert.ok(!isReentrant(end), `seed ${seed}`);
          if (end.status === "fulfilled") answered++;
        }
        await world.heal();
      },
    );
  assert.ok(answered > 30 && late > 10, `${answered} answered, ${late} of them after a long wait`);
});
