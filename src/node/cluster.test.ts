// Nodes that find each other: who owns what, what callers notice when nodes come, go and die, and what copies answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type Shard, shardOf } from "../base/index.ts";
import { app, bindClient, type Client, entity, service } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { wayOf } from "../sim/network.ts";
import { type Given, inWorld as inWorldOf, nodeOf } from "./cluster.fixture.ts";
import { code } from "./world.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: {
    add: { input: z.number().int(), output: z.number().int() },
    slow: { input: z.number(), output: z.number() },
    through: { input: z.object({ wait: z.number(), to: z.string() }), output: z.number() },
    deadly: {},
  },
  queries: {
    strong: { output: z.number(), consistency: "strong" },
    causal: { output: z.number(), consistency: "causal" },
    eventual: { output: z.number(), consistency: "eventual" },
  },
});
const read = ({ state }: { state: { n: number } }): number => state.n;
const counter = Counter.implement({
  initial: () => ({ n: 0 }),
  add: ({ state, input }) => (state.n += input),
  slow: async ({ state, input, call }) => {
    await call.service(Clock).wait(input);
    return ++state.n;
  },
  /** Waits, then adds to another, then to itself. */
  through: async ({ state, input, call }) => {
    await call.service(Clock).wait(input.wait);
    await call.entity(Counter, input.to).add(1);
    return ++state.n;
  },
  deadly: () => deadly.strike(),
  strong: read,
  causal: read,
  eventual: read,
});
const Clock = service("clock", {
  procedures: {
    wait: { input: z.number() },
    addTwice: { input: z.string(), output: z.array(z.number()) },
  },
});
/** What `deadly` does. */
const deadly: { strike: () => void } = { strike: () => {} };
/** Set by the world of the test that runs. */
const time: { sleep: (ms: number) => Promise<void> } = { sleep: () => Promise.resolve() };
const clock = Clock.implement({
  wait: ({ input }) => time.sleep(input),
  /** A write, then a read of it at whichever copy answers. */
  addTwice: async ({ input, call }) => {
    const seen: number[] = [];
    for (let i = 0; i < 2; i++) {
      await call.entity(Counter, input).add(1);
      seen.push(await call.entity(Counter, input).causal());
    }
    return seen;
  },
});
const counting = app("counting", { entities: [counter], services: [clock] });
type Counting = Client<typeof counting.contract>;

/** Runs `play` in a world that has started; checks every journal afterwards. */
const inWorld = (given: Given, play: (world: World) => Promise<void>): Promise<void> =>
  inWorldOf(counting, { nodes: 3, shards: 8, ...given }, (world) => {
    time.sleep = world.sleep;
    return play(world);
  });

const clientOf = (world: World, repeats = true): Counting =>
  bindClient<typeof counting.contract>(world.invoke({ deadlineMs: 3000, repeats }));

/** Who serves which shards, by node; fails when a shard is served by two. */
async function owners(world: World): Promise<Map<string, Shard[]>> {
  const owned = new Map<string, Shard[]>();
  const seen = new Set<Shard>();
  for (const machine of world.machines) {
    const state = machine.state();
    if (state.kind !== "up") continue;
    const mine = (await state.node.local.status()).shards
      .filter((one) => one.state === "serving")
      .map(({ shard }) => shard);
    for (const shard of mine) {
      assert.ok(!seen.has(shard), `shard ${shard} is served twice`);
      seen.add(shard);
    }
    owned.set(machine.name, mine);
  }
  return owned;
}

const held = (owned: Map<string, Shard[]>): number => [...owned.values()].reduce((sum, { length }) => sum + length, 0);

/** Long enough for everything to be found out and moved. */
const calm = 600;

test("cluster: nodes that join share the shards, and every shard has one owner", () =>
  inWorld({}, async (world) => {
    await world.sleep(calm);
    const owned = await owners(world);
    assert.equal(held(owned), 8);
    for (const [name, { length }] of owned) assert.ok(length > 0, `${name} owns nothing`);
  }));

test("cluster: any node takes any call", () =>
  inWorld({}, async (world) => {
    await world.sleep(calm);
    for (const machine of world.machines) {
      const state = machine.state();
      assert.ok(state.kind === "up");
      for (let key = 0; key < 12; key++) {
        const target = { kind: "command", entity: "counter", key: `k${key}`, name: "add" } as const;
        const deadline = state.host.clock.tick() + 1000;
        await state.node.call({ target, input: 1, principal: { id: "t", roles: [] }, deadline });
      }
    }
    const client = clientOf(world);
    for (let key = 0; key < 12; key++) assert.equal(await client.entity(Counter, `k${key}`).strong(), 3);
  }));

test("cluster: what was acknowledged survives the death of its owner, and others go on for it soon", () =>
  inWorld({}, async (world) => {
    const client = clientOf(world);
    for (let key = 0; key < 12; key++) await client.entity(Counter, `k${key}`).add(5);
    await world.sleep(calm);
    world.machines[0]!.crash();
    const began = world.schedule.now();
    for (let key = 0; key < 12; key++) assert.equal(await client.entity(Counter, `k${key}`).add(1), 6);
    // Twelve calls of some milliseconds each; the dead node's part is found out within one or two of them.
    const took = world.schedule.now() - began;
    assert.ok(took < 200, `it took ${took} ms`);
    await world.sleep(calm);
    assert.equal(held(await owners(world)), 8);
  }));

test("cluster: no call fails while nodes stop and start in turn under load", () =>
  inWorld({}, async (world) => {
    const client = clientOf(world, false);
    let [done, stop] = [0, false];
    const load = Array.from({ length: 4 }, async (_, i) => {
      while (!stop) {
        await client.entity(Counter, `k${i}`).add(1);
        done++;
        await world.sleep(2);
      }
    });
    for (const machine of world.machines) {
      // Its gateway takes no more calls before it goes, as a load balancer sees to that by its readiness.
      world.weather.leaving.add(machine.name);
      await world.sleep(30);
      await machine.stop();
      await machine.start();
      world.weather.leaving.delete(machine.name);
      await world.sleep(calm);
    }
    stop = true;
    await Promise.all(load);
    assert.ok(done > 500, `only ${done} calls were made`);
    const total = await Promise.all([0, 1, 2, 3].map((i) => client.entity(Counter, `k${i}`).strong()));
    assert.equal(
      total.reduce((sum, n) => sum + n, 0),
      done,
    );
  }));

test("cluster: a handler that is running when its shard is handed over ends, and its commit stands", () =>
  inWorld({ nodes: 2 }, async (world) => {
    await world.sleep(calm);
    const client = clientOf(world, false);
    const slow = Promise.all(Array.from({ length: 12 }, (_, key) => client.entity(Counter, `k${key}`).slow(40)));
    await world.sleep(10);
    world.weather.leaving.add("node-1");
    await world.machines[0]!.stop();
    assert.deepEqual(
      await slow,
      Array.from({ length: 12 }, () => 1),
    );
  }));

test("cluster: a node that leaves waits for what others carry out for its callers", () =>
  inWorld({ nodes: 2 }, async (world) => {
    await world.sleep(calm);
    const state = world.machines[0]!.state();
    assert.ok(state.kind === "up");
    const { node, host } = state;
    const theirs = (await owners(world)).get("node-2") ?? [];
    const keys = Array.from({ length: 12 }, (_, key) => `k${key}`);
    const calls = keys
      .filter((key) => theirs.includes(shardOf("counter", key, 8)))
      .map((key) => {
        const target = { kind: "command", entity: "counter", key, name: "slow" } as const;
        return node.call({ target, input: 60, principal: { id: "t", roles: [] }, deadline: host.clock.tick() + 1000 });
      });
    assert.ok(calls.length > 0);
    await world.sleep(10);
    await world.machines[0]!.stop();
    assert.deepEqual(
      (await Promise.all(calls)).map(({ output }) => output),
      calls.map(() => 1),
    );
  }));

test("cluster: two nodes that cannot hear each other but reach the engine do not fence each other for ever", () =>
  inWorld({ nodes: 2 }, async (world) => {
    await world.sleep(calm);
    world.weather.cutBetween.add(wayOf("node-1", "node-2")).add(wayOf("node-2", "node-1"));
    await world.sleep(calm);
    const before = await epochs(world);
    await world.sleep(4 * calm);
    assert.deepEqual(await epochs(world), before);
    assert.equal(held(await owners(world)), 8);
    world.weather.cutBetween.clear();
    await world.sleep(8 * calm);
    const owned = await owners(world);
    assert.ok(
      [...owned.values()].every(({ length }) => length > 0),
      "both own something again",
    );
  }));

/** The sum of all epochs in the journals: how often anybody claimed. */
async function epochs(world: World): Promise<number> {
  const shards = Array.from({ length: world.options.shards }, (_, shard) => shard);
  return (await world.shared.barrier(shards)).reduce((sum, { epoch }) => sum + epoch, 0);
}

test("cluster: a strong read sees every write that was acknowledged before it began, on whichever node it is asked", () =>
  inWorld({ faults: ["crash", "lost-ack", "slow-engine"], seed: 5 }, async (world) => {
    const client = clientOf(world);
    for (let n = 1; n <= 30; n++) {
      await insist(() => client.entity(Counter, "k").add(1), world);
      const seen = await insist(() => client.entity(Counter, "k").strong(), world);
      assert.ok(seen >= n, `${seen} after ${n} additions`);
    }
    await world.heal();
  }));

async function insist<T>(attempt: () => Promise<T>, world: World): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch {
      await world.sleep(5);
    }
  }
}

test("cluster: within one session a causal read at any copy sees the session's own writes", () =>
  inWorld({}, async (world) => {
    await world.sleep(calm);
    let [session, elsewhere] = ["", 0];
    for (let n = 1; n <= 40; n++) {
      for (const name of ["add", "causal"] as const) {
        const machine = world.random.pick(world.machines);
        const state = machine.state();
        assert.ok(state.kind === "up");
        const kind = name === "add" ? "command" : "query";
        const target = { kind, entity: "counter", key: "k", name } as const;
        const deadline = state.host.clock.tick() + 1000;
        const input = name === "add" ? 1 : undefined;
        const reply = await state.node.call({ target, input, principal: { id: "t", roles: [] }, deadline, session });
        assert.equal(reply.output, n, `${name} at ${machine.name}`);
        assert.ok(reply.session);
        session = reply.session;
        if (name === "causal" && (reply.staleMs ?? 0) > 0) elsewhere++;
      }
    }
    assert.ok(elsewhere > 5, `a follower answered ${elsewhere} times only: this test saw nothing`);
  }));

test("cluster: a handler reads its own writes at any copy", () =>
  inWorld({}, async (world) => {
    await world.sleep(calm);
    const client = clientOf(world);
    for (let n = 0; n < 15; n++) assert.deepEqual(await client.service(Clock).addTwice("k"), [2 * n + 1, 2 * n + 2]);
  }));

test("cluster: an eventual read may be old, and says how old; a causal one without a session may be, too", () =>
  inWorld({ seed: 3 }, async (world) => {
    await world.sleep(calm);
    const client = clientOf(world);
    let old = 0;
    for (let n = 1; n <= 30; n++) {
      await client.entity(Counter, "k").add(1);
      const at = world.schedule.now();
      for (const machine of world.machines) {
        const state = machine.state();
        assert.ok(state.kind === "up");
        const target = { kind: "query", entity: "counter", key: "k", name: "eventual" } as const;
        const deadline = state.host.clock.tick() + 1000;
        const reply = await state.node.call({ target, input: undefined, principal: { id: "t", roles: [] }, deadline });
        if (reply.output === n) continue;
        old++;
        // It was true not longer ago than it says.
        assert.ok((reply.staleMs ?? 0) >= world.schedule.now() - at - 5, `${reply.staleMs} ms`);
      }
    }
    assert.ok(old > 0, "no copy was ever behind: this test saw nothing");
  }));

/** The operator's side of one node. */
test("cluster: any node tells of all nodes and all shards, and shows what others own", () =>
  inWorld({}, async (world) => {
    const client = clientOf(world);
    for (let key = 0; key < 12; key++) await client.entity(Counter, `k${key}`).add(key + 1);
    await world.sleep(calm);
    for (const index of [0, 1, 2]) {
      const { nodes, shards } = await nodeOf(world, index).status();
      assert.deepEqual(
        nodes.map(({ name, state }) => [name, state]),
        [
          ["node-1", "ready"],
          ["node-2", "ready"],
          ["node-3", "ready"],
        ],
      );
      assert.equal(
        nodes.reduce((sum, { owns }) => sum + owns, 0),
        8,
      );
      for (const { state, owner, followers } of shards) {
        assert.equal(state, "serving");
        assert.ok(nodes.some(({ id }) => id === owner));
        assert.equal(followers.length, 2);
      }
      for (let key = 0; key < 12; key++) {
        const view = await nodeOf(world, index).entity("counter", `k${key}`);
        assert.deepEqual(view.state, { n: key + 1 });
      }
      assert.equal((await nodeOf(world, index).history("counter", "k5", 10)).items.length, 1);
      const found = await nodeOf(world, index).search("counter", "k", undefined, 5);
      assert.deepEqual(found.warnings, []);
      assert.deepEqual(
        found.items.map(({ key }) => key),
        ["k0", "k1", "k10", "k11", "k2"],
      );
      const rest = await nodeOf(world, index).search("counter", "k", "k2", 50);
      assert.equal(rest.items.length, 7);
    }
  }));

test("cluster: a question of an operator that is wrong is refused while others are still asked, and nothing else comes of it", () =>
  inWorld({ nodes: 2 }, async (world) => {
    await world.sleep(600);
    await assert.rejects(nodeOf(world, 0).search("nothing", "", undefined, 5), code("UNKNOWN_TARGET"));
  }));

test("cluster: a drained node keeps nothing until it is told otherwise; a cordoned one is given nothing new", () =>
  inWorld({}, async (world) => {
    await world.sleep(calm);
    const asked = nodeOf(world, 0);
    const other = nodeOf(world, 1).id;
    await asked.drain(other, true);
    await world.sleep(calm);
    assert.equal((await owners(world)).get("node-2")?.length, 0);
    assert.equal(held(await owners(world)), 8);
    await asked.drain(other, false);
    await world.sleep(2 * calm);
    assert.ok((await owners(world)).get("node-2")!.length > 0);
    const before = (await owners(world)).get("node-2");
    await asked.cordon(other, true);
    world.machines[2]!.crash();
    await world.sleep(2 * calm);
    assert.deepEqual((await owners(world)).get("node-2"), before);
    await assert.rejects(asked.drain("nobody", true), code("NOT_FOUND"));
    await assert.rejects(asked.remove(other), code("IN_USE"));
  }));

test("cluster: a handler may still call entities of the shard that is being handed over, and nothing is done twice", () =>
  inWorld({ nodes: 2, shards: 2 }, async (world) => {
    await world.sleep(calm);
    const client = clientOf(world, false);
    const keys = Array.from({ length: 8 }, (_, key) => `k${key}`);
    const ends = keys.map((key) => client.entity(Counter, key).through({ wait: 30, to: `other-${key}` }));
    await world.sleep(10);
    world.weather.leaving.add("node-1");
    const began = world.schedule.now();
    await world.machines[0]!.stop();
    // Nobody waits for what is asked from within: the node is gone once the handlers have ended.
    const took = world.schedule.now() - began;
    assert.ok(took < 100, `it took ${took} ms to hand over`);
    assert.deepEqual(
      await Promise.all(ends),
      keys.map(() => 1),
    );
    for (const key of keys) assert.equal(await client.entity(Counter, `other-${key}`).strong(), 1, key);
  }));

test("cluster: a handler that outlasts a hand-over runs again at the new owner, and its calls count once", () =>
  inWorld({ nodes: 2, shards: 2, limits: { handOverMs: 20 } }, async (world) => {
    await world.sleep(calm);
    const client = clientOf(world, false);
    const keys = Array.from({ length: 8 }, (_, key) => `k${key}`);
    const ends = keys.map((key) => client.entity(Counter, key).through({ wait: 60, to: `other-${key}` }));
    await world.sleep(10);
    await nodeOf(world, 1).drain(nodeOf(world, 0).id, true);
    assert.deepEqual(
      await Promise.all(ends),
      keys.map(() => 1),
    );
    for (const key of keys) assert.equal(await client.entity(Counter, `other-${key}`).strong(), 1, key);
  }));

test("cluster: a command that kills whoever runs it does not take all nodes with it", () =>
  inWorld({}, async (world) => {
    await world.sleep(calm);
    const client = clientOf(world, false);
    let [deaths, now] = [0, ""];
    world.schedule.beforeEach = (event) => void (now = event);
    deadly.strike = () => {
      deaths++;
      // Events are named for the node that they happen at.
      world.machines.find(({ name }) => now.startsWith(name) || now.endsWith(name))!.crash();
      throw new Error("the process is gone");
    };
    await assert.rejects(client.entity(Counter, "k").deadly());
    assert.ok(deaths <= 2, `${deaths} nodes died`);
  }));
