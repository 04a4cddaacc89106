// Nodes that host parts of an application, services that fail or are slow on one node, and zones that are lost: calls go where
// they can be carried out, and callers notice little.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { SheafError } from "../base/index.ts";
import { app, type Client, entity, service } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: { add: { input: z.number().int(), output: z.number().int() } },
  queries: { get: { output: z.number(), consistency: "strong" } },
});
const counter = Counter.implement({
  initial: () => ({ n: 0 }),
  add: ({ state, input }) => (state.n += input),
  get: ({ state }) => state.n,
});
const Clerk = service("clerk", {
  procedures: { name: { output: z.string() }, count: { input: z.string(), output: z.number() } },
});
const Tutor = service("tutor", { procedures: { teach: { output: z.string() } } });

type Does = () => string | Promise<string>;

/** The application as the machine of that name runs it: `does` is what `clerk.name` does there. */
const office = (name: string, does: Does = () => name) =>
  app("office", {
    entities: [counter],
    services: [
      Clerk.implement({
        name: does,
        count: ({ call, input }) => call.entity(Counter, input).add(1),
      }),
      Tutor.implement({ teach: () => `${name} teaches` }),
    ],
  });
const whole = office("anybody");
type Office = Client<typeof whole.contract>;

/** Names of those who answered so many calls of the clerk, one after the other, and how many calls failed. */
async function ask(
  client: Office,
  calls: number,
): Promise<{ readonly by: Record<string, number>; readonly failed: number }> {
  const by: Record<string, number> = {};
  let failed = 0;
  for (let i = 0; i < calls; i++) {
    try {
      const name = await client.service(Clerk).name();
      by[name] = (by[name] ?? 0) + 1;
    } catch {
      failed++;
    }
  }
  return { by, failed };
}

const rolesOf: Readonly<Record<string, readonly string[]>> = {
  "node-1": ["entities"],
  "node-2": ["gateway"],
  "node-3": ["clerk"],
  "node-4": ["tutor", "entities"],
};
const split = (name: string) => ({ app: office(name), roles: rolesOf[name] ?? ["gateway"] });

test("roles: each part runs only where it is hosted, and any node takes any call", async () => {
  await inCluster(whole, { nodes: 4, shards: 8, each: split }, async (client, world) => {
    assert.deepEqual(await ask(client, 20), { by: { "node-3": 20 }, failed: 0 });
    assert.equal(await client.service(Tutor).teach(), "node-4 teaches");
    for (const key of ["a", "b", "c", "d", "e", "f"]) {
      assert.equal(await client.service(Clerk).count(key), 1);
      assert.equal(await client.entity(Counter, key).add(1), 2);
    }
    const { nodes } = await nodeOf(world, 0).status();
    const told = nodes.map(({ name, entities, services, owns }) => [name, entities, services, owns > 0]);
    assert.deepEqual(told, [
      ["node-1", true, [], true],
      ["node-2", false, [], false],
      ["node-3", false, ["clerk"], false],
      ["node-4", true, ["tutor"], true],
    ]);
  });
});

test("roles: a node without entities is given no shard even when all others die, and the keys come back with them", async () => {
  await inCluster(whole, { nodes: 4, shards: 4, each: split }, async (client, world) => {
    assert.equal(await client.entity(Counter, "a").add(1), 1);
    for (const index of [0, 3]) world.machines[index]?.crash();
    await world.sleep(1_000);
    for (const index of [1, 2]) {
      const { shards } = await nodeOf(world, index).local.status();
      assert.ok(shards.every(({ state }) => state === "closed"));
    }
    for (const index of [0, 3]) await world.machines[index]?.start();
    assert.equal(await client.entity(Counter, "a").add(1), 2);
  });
});

test("roles: what nobody hosts is refused at once by every node, and says what to do", async () => {
  const each = (name: string) => ({ app: office(name), roles: name === "node-1" ? ["entities"] : ["gateway"] });
  await inCluster(whole, { nodes: 2, each }, async (client, world) => {
    const began = world.schedule.now();
    const refused = (error: SheafError): boolean =>
      error.code === "NOT_HOSTED" && error.outcome === "not-applied" && (error.hint ?? "").includes("--roles tutor");
    for (const { state } of world.machines) {
      const now = state();
      assert.ok(now.kind === "up");
      const call = {
        target: { kind: "procedure", service: "tutor", name: "teach" },
        input: undefined,
        principal: { id: "t", roles: [] },
        deadline: now.host.clock.tick() + 1000,
      } as const;
      await assert.rejects(now.node.call(call), refused);
    }
    assert.ok(world.schedule.now() - began < 500);
    await assert.rejects(client.service(Clerk).name(), { code: "NOT_HOSTED" });
  });
});

test("roles: a role that the application does not have is refused before the node joins, and says which there are", async () => {
  const refuses = async (roles: readonly string[], hint: RegExp): Promise<void> => {
    const each = (name: string) => ({ app: whole, ...(name === "node-2" && { roles }) });
    const started = inCluster(whole, { nodes: 2, each }, () => Promise.resolve());
    await assert.rejects(started, (error: SheafError) => {
      assert.equal(error.code, "USAGE");
      assert.match(error.hint ?? "", hint);
      return true;
    });
  };
  await refuses(["clark"], /clerk, tutor/);
  await refuses(["counter"], /role entities/);
  await refuses([""], /entities, services, gateway/);
  await refuses([], /gateway/);
});

test("roles: while a release with a new service is rolled out, its calls find the nodes that have it", async () => {
  const before = app("office", { entities: [counter], services: [office("old").services[0]] });
  const each = (name: string) => ({ app: name === "node-3" ? office(name) : before });
  await inCluster(whole, { nodes: 3, each }, async (client) => {
    for (let i = 0; i < 20; i++) assert.equal(await client.service(Tutor).teach(), "node-3 teaches");
  });
});

test("roles: while a release with a new entity is rolled out, a key whose owner is older is refused for now, not for ever", async () => {
  const before = app("office", { services: [office("old").services[0]] });
  const each = (name: string) => ({ app: name === "node-2" ? whole : before });
  await inCluster(whole, { nodes: 2, shards: 8, each }, async (_, world) => {
    const state = world.machines[1]?.state();
    assert.ok(state?.kind === "up");
    const codes = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const call = {
        target: { kind: "command", entity: "counter", key: `k${i}`, name: "add" },
        input: 1,
        principal: { id: "t", roles: [] },
        deadline: state.host.clock.tick() + 1_000,
      } as const;
      codes.add(
        await state.node.call(call).then(
          () => "ok",
          ({ code, retry, outcome }: SheafError) => `${code} ${retry} ${outcome}`,
        ),
      );
    }
    assert.deepEqual([...codes].sort(), ["NOT_HOSTED later not-applied", "ok"]);
  });
});

/** All nodes host the clerk; on one of them it does something else from `ill` on, until `well`. */
function withIll(what: Does) {
  const state = { ill: false };
  const each = (name: string) => ({
    app: office(name, () => (name === "node-2" && state.ill ? what() : name)),
    roles: name === "node-1" ? ["gateway", "entities"] : ["clerk"],
  });
  return { state, each };
}

test("balancing: a node whose one service fails gets only probes of it, and its share again when it is mended", async () => {
  const { state, each } = withIll(() => {
    throw new Error("no licence for this machine");
  });
  await inCluster(whole, { nodes: 4, each }, async (client, world) => {
    const fair = await ask(client, 200);
    assert.equal(fair.failed, 0);
    assert.ok((fair.by["node-2"] ?? 0) > 25, JSON.stringify(fair.by));
    state.ill = true;
    const ill = await ask(client, 400);
    // Every node finds out for itself.
    assert.ok(ill.failed <= 4 * 8, `${ill.failed} of 400 failed`);
    state.ill = false;
    await world.sleep(5_000);
    await ask(client, 50);
    const mended = await ask(client, 200);
    assert.equal(mended.failed, 0);
    assert.ok((mended.by["node-2"] ?? 0) > 25, JSON.stringify(mended.by));
  });
});

test("balancing: a node on which a service is slow gets few calls of it", async () => {
  let world: World | undefined;
  const { state, each } = withIll(async () => {
    await world?.sleep(1_500);
    return "node-2";
  });
  await inCluster(whole, { nodes: 4, each }, async (client, given) => {
    world = given;
    state.ill = true;
    const { by, failed } = await ask(client, 300);
    assert.equal(failed, 0);
    assert.ok((by["node-2"] ?? 0) < 30, JSON.stringify(by));
  });
});

test("balancing: calls stay in the zone of the node that has them; when that zone is lost they go on in the other", async () => {
  const each = (name: string) => ({
    app: office(name),
    zone: name < "node-4" ? "east" : "west",
    roles: name === "node-1" || name === "node-6" ? ["gateway", "entities"] : ["clerk"],
  });
  await inCluster(whole, { nodes: 6, each }, async (_, world) => {
    const at = (index: number): Promise<string> => {
      const state = world.machines[index]?.state();
      assert.ok(state?.kind === "up");
      const deadline = state.host.clock.tick() + 2_000;
      const target = { kind: "procedure", service: "clerk", name: "name" } as const;
      const call = { target, input: undefined, principal: { id: "t", roles: [] }, deadline };
      return state.node.call(call).then(({ output }) => output as string);
    };
    for (let i = 0; i < 20; i++) {
      assert.match(await at(0), /node-[23]/);
      assert.match(await at(5), /node-[45]/);
    }
    for (const index of [1, 2]) world.machines[index]?.crash();
    // A call that was on its way may have been carried out: whoever made it is told so.
    const after: string[] = [];
    for (let i = 0; i < 30; i++) after.push(await at(0).catch((error: SheafError) => error.code));
    assert.ok(after.filter((code) => code === "CALL_LOST").length <= 2, after.join(" "));
    assert.ok(
      after.every((by) => by === "CALL_LOST" || /node-[45]/.test(by)),
      after.join(" "),
    );
  });
});
