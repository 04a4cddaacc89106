// Calls that would wait for themselves across nodes are refused at once, not at their deadline.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type SheafError, shardOf } from "../base/index.ts";
import { app, type Client, entity, service } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Path = z.array(z.string());
const Knot = entity("knot", {
  state: z.object({ n: z.number() }),
  commands: { via: { input: Path, output: z.number() }, through: { input: Path, output: z.number() } },
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
      n: ({ state }) => state.n,
    }),
  ],
  services: [
    Tie.implement({
      go: async ({ call, input: [next, ...rest] }) => (next === undefined ? 0 : call.entity(Knot, next).through(rest)),
    }),
  ],
});
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
