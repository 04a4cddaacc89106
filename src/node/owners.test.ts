// Refusals that name the owner: fewer tries after a shard has moved, and nothing worse than a try where the name is wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type Owner, SheafError, shardOf } from "../base/index.ts";
import { app, entity } from "../model/index.ts";
import { anonymous, type Call, type Reply } from "../rpc/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { Owners } from "./owners.ts";
import { Router, type Way } from "./router.ts";

const Tally = entity("tally", { state: z.object({ n: z.number() }), commands: { add: { output: z.number() } } });
const tallies = app("tallies", {
  entities: [Tally.implement({ initial: () => ({ n: 0 }), add: ({ state }) => ++state.n })],
});
const nodes = 5;
const shards = 8;
const moved = [0, 3, 5];

const target = (key: string): Call["target"] => ({ kind: "command", entity: "tally", key, name: "add" });

function keyIn(shard: number): string {
  for (let at = 0; ; at++) if (shardOf("tally", `t${at}`, shards) === shard) return `t${at}`;
}

const hostOf = (world: World, index: number) => {
  const state = world.machines[index]!.state();
  assert.ok(state.kind === "up");
  return state.host;
};

/** Each node that is up calls so often; the tries beyond the first that they needed. */
async function triesBeyond(world: World, shard: number, times: number): Promise<number> {
  const up = world.machines.flatMap((machine, at) => (machine.state().kind === "up" ? [at] : []));
  const tries = (): number => up.reduce((sum, at) => sum + hostOf(world, at).metric("sheaf_call_retries_total"), 0);
  const before = tries();
  for (let time = 0; time < times; time++)
    for (const at of up)
      await nodeOf(world, at).call({
        target: target(keyIn(shard)),
        input: undefined,
        principal: anonymous,
        deadline: hostOf(world, at).clock.tick() + 3_000,
      });
  return tries() - before;
}

test("owners: once a shard has moved, each node asks in vain at most once, however often it calls", () =>
  inCluster(tallies, { nodes, shards }, async (_, world) => {
    let beyond = 0;
    for (const shard of moved) {
      await triesBeyond(world, shard, 1);
      const { nodes: seen, shards: owned } = await nodeOf(world, 0).status();
      const to = seen.find(({ id }) => id !== owned[shard]!.owner && !owned[shard]!.followers.includes(id));
      await nodeOf(world, 0).move(shard, to!.id);
      for (let looks = 0; (await nodeOf(world, 0).status()).shards[shard]!.owner !== to!.id; looks++) {
        assert.ok(looks < 400, "it is served where it was sent");
        await world.sleep(10);
      }
      await world.sleep(500);
      beyond += await triesBeyond(world, shard, 10);
    }
    assert.ok(beyond <= moved.length * nodes, `${beyond} tries beyond the first of ${moved.length * nodes * 10} calls`);
  }));

const call: Call = { target: target("t0"), input: undefined, principal: anonymous, deadline: 1_000 };

test("owners: a newer epoch is believed, an older one is not, nor one who refused it himself (H1, H2)", async () => {
  const shard = { number: 0, fold: { owner: "a" as string | undefined, epoch: 4 } };
  const owners = new Owners({ id: "me", shards: { of: () => shard } }, (node) => node !== "gone");
  const refused = (by: string, node?: string, epoch = 0): boolean =>
    owners.refused(call, by, node === undefined ? undefined : { node, epoch });
  const refusing = owners.naming(() => Promise.reject(new SheafError("NOT_OWNER")));
  const naming = (): Promise<Owner | undefined> =>
    refusing(call).then(
      () => assert.fail("it was to reject"),
      ({ owner }: SheafError) => owner,
    );
  assert.deepEqual(await naming(), { node: "a", epoch: 4 });
  assert.equal(refused("a", "b", 4), false, "the journal has been read that far");
  assert.equal(refused("a", "b", 6), true);
  assert.deepEqual([owners.newer(shard), await naming()], ["b", { node: "b", epoch: 6 }]);
  assert.equal(refused("c", "d", 5), false);
  assert.equal(refused("c", "c", 9), false, "who refuses is not the owner");
  assert.equal(refused("c", "gone", 9), false);
  assert.equal(owners.newer(shard), "b");
  assert.equal(refused("b", "a", 4), false);
  assert.deepEqual([owners.newer(shard), await naming()], [undefined, { node: "a", epoch: 4 }]);
  assert.equal(refused("c", "b", 6), false, "b said that it is not");
  assert.equal(refused("c", "b", 7), true);
  shard.fold = { owner: "b", epoch: 7 };
  assert.equal(owners.newer(shard), undefined, "the journal says it itself");
  for (const owner of ["me", "gone"]) {
    shard.fold = { owner, epoch: 8 };
    assert.equal(await naming(), undefined);
  }
});

test("owners: nodes that name each other without end cost a call a bounded number of tries, and it ends by its deadline (G6)", async () => {
  const host = simHost();
  const shard = { number: 0, fold: { owner: undefined, epoch: 0 } };
  const owners = new Owners({ id: "me", shards: { of: () => shard } }, (node) => node !== "gone");
  let [tries, epoch] = [0, 0];
  const ask = (node: string): Way => ({
    kind: "there",
    node,
    call: () => {
      tries++;
      const owner = { node: node === "a" ? "b" : "a", epoch: ++epoch };
      return Promise.reject(new SheafError("NOT_OWNER", undefined, { owner }));
    },
  });
  const router = new Router({
    host,
    self: "me",
    way: () => ask(owners.newer(shard) ?? "a"),
    here: () => Promise.reject(new SheafError("INTERNAL")),
    refused: (given, by, owner) => owners.refused(given, by, owner),
    knows: () => true,
    open: () => true,
  });
  let failure: SheafError | undefined;
  router.call({ ...call, deadline: host.clock.tick() + 1_000 }).then(
    (reply: Reply) => assert.fail(JSON.stringify(reply)),
    (error: SheafError) => (failure = error),
  );
  await host.schedule.run({ done: () => failure !== undefined, until: host.schedule.now() + 2_000 });
  assert.deepEqual([failure?.code, failure?.outcome], ["NOT_OWNER", "not-applied"]);
  assert.ok(tries <= 50, `${tries} tries in a second`);
});
