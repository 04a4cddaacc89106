// Consumers of one group at several gateways of a cluster, in simulated time: who has which shard, and what comes of those that go.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity, topic } from "../model/index.ts";
import { Cancel } from "../rpc/index.ts";
import { Carrier } from "../sim/carrier.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Orders = topic("orders", { event: z.string(), key: (id) => id });
const Desk = entity("desk", { state: z.object({}), commands: { order: { input: z.string() } } });
const desk = Desk.implement({ initial: () => ({}), order: ({ input, publish }) => publish(Orders, input) });
const shopApp = app("shop", { entities: [desk], topics: [Orders] });
const given = { nodes: 3, shards: 8, limits: { consumerStallMs: 10_000 } } as const;
const ids = Array.from({ length: 24 }, (_, n) => `order-${n}`);

type Consumer = { readonly got: string[]; readonly places: Map<string, string>; ended: string; leave(): void };

/** Reads for the group at the gateway of a machine. */
async function consume(w: World, carrier: Carrier, machine: number): Promise<Consumer> {
  const gone = new Cancel();
  const consumer: Consumer = { got: [], places: new Map(), ended: "", leave: () => gone.abort(undefined) };
  const { status, pieces } = await carrier.ask(w.machines[machine]!, { url: "/topics/orders/events?group=crew" }, gone);
  assert.equal(status, 200);
  const read = async (): Promise<void> => {
    for await (const text of pieces) {
      consumer.ended = /event: end\ndata: (.*)/.exec(text)?.[1] ?? "";
      for (const [, id = "", data = ""] of text.matchAll(/^id: (.*)\ndata: (.*)$/gm)) {
        const value = (JSON.parse(data) as { readonly data: string }).data;
        consumer.got.push(value);
        consumer.places.set(value, id);
      }
    }
  };
  void read().catch(() => undefined);
  return consumer;
}

async function done(w: World, carrier: Carrier, machine: number, id: string): Promise<number> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ id });
  const url = "/topics/orders/groups/crew";
  return (await carrier.ask(w.machines[machine]!, { method: "POST", url, headers, body }, new Cancel())).status;
}

const shares = async (w: World, node: number): Promise<number[]> => {
  const [crew] = (await nodeOf(w, node).groups()).items;
  return (crew?.consumers ?? []).map(({ shards }) => shards).toSorted((x, y) => x - y);
};

test("consumers: they share a topic evenly, and whoever joins or leaves changes that without an event being lost", () =>
  inCluster(shopApp, given, async (client, w) => {
    const carrier = new Carrier(w, shopApp);
    const [a, b] = [await consume(w, carrier, 0), await consume(w, carrier, 1)];
    await w.sleep(200);
    assert.deepEqual(await shares(w, 0), [4, 4]);
    const c = await consume(w, carrier, 2);
    await w.sleep(200);
    assert.deepEqual(await shares(w, 0), [2, 3, 3]);
    for (const id of ids) await client.entity(Desk, id).order(id);
    await w.sleep(50);
    // Each event came to one of them.
    assert.deepEqual([...a.got, ...b.got, ...c.got].toSorted(), ids.toSorted());
    assert.ok(a.got.length > 0 && b.got.length > 0 && c.got.length > 0);
    for (const one of [a, b]) for (const id of one.places.values()) assert.equal(await done(w, carrier, 2, id), 204);
    const [had] = [c.got.slice()];
    c.leave();
    await w.sleep(200);
    assert.deepEqual(await shares(w, 0), [4, 4]);
    // What it had not said to be done comes again, and nothing else does.
    assert.deepEqual([...a.got, ...b.got].toSorted(), ids.toSorted());
    assert.equal(await done(w, carrier, 0, c.places.get(had[0]!)!), 412);
    const [crew] = (await nodeOf(w, 0).groups()).items;
    assert.equal(crew!.lag, had.length);
  }));

test("consumers: those of a gateway that dies, or stands still, lose their shards to others, and are not believed later", () =>
  inCluster(shopApp, given, async (client, w) => {
    const carrier = new Carrier(w, shopApp);
    const [a, b, c] = [await consume(w, carrier, 0), await consume(w, carrier, 1), await consume(w, carrier, 2)];
    await w.sleep(200);
    for (const id of ids) await client.entity(Desk, id).order(id);
    await w.sleep(50);
    const [, second, third] = w.machines;
    second!.crash();
    const { host } = third!.state() as { readonly host: { pause(): void; resume(): void } };
    host.pause();
    await w.sleep(500);
    assert.deepEqual(new Set(a.got), new Set(ids));
    assert.deepEqual(await shares(w, 0), [8]);
    host.resume();
    await w.sleep(10);
    for (const one of [b, c])
      for (const id of one.places.values()) assert.equal(await done(w, carrier, 0, id), 412, one.got.join());
  }));

test("consumers: one that says of nothing that it is done is sent away, and what it had goes to others", () =>
  inCluster(shopApp, { ...given, limits: { consumerStallMs: 150 } }, async (client, w) => {
    const carrier = new Carrier(w, shopApp);
    const [idle, busy] = [await consume(w, carrier, 0), await consume(w, carrier, 1)];
    await w.sleep(200);
    for (const id of ids) await client.entity(Desk, id).order(id);
    await w.sleep(50);
    const had = idle.got.slice();
    assert.ok(had.length > 0 && had.length < ids.length);
    for (let round = 0; round < 20; round++) {
      for (const id of Array.from(busy.places.values())) await done(w, carrier, 1, id);
      await w.sleep(12);
    }
    assert.equal(idle.ended, '{"reason":"stalled"}');
    assert.deepEqual(new Set(busy.got), new Set(ids));
    assert.deepEqual(await shares(w, 0), [8]);
  }));

test("consumers: an operator who has a group go on elsewhere has its consumers begin anew there", () =>
  inCluster(shopApp, given, async (client, w) => {
    const carrier = new Carrier(w, shopApp);
    const a = await consume(w, carrier, 0);
    for (const id of ids) await client.entity(Desk, id).order(id);
    await w.sleep(50);
    for (const id of a.places.values()) assert.equal(await done(w, carrier, 1, id), 204);
    await nodeOf(w, 0).changeGroup("orders", "crew", { act: "seek", to: "beginning", dryRun: false });
    await w.sleep(300);
    assert.deepEqual(a.got.toSorted(), [...ids, ...ids].toSorted());
  }));
