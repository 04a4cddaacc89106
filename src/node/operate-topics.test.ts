// What an operator sees and does of topics and groups: on one node, and in a cluster asked at any of its nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { code } from "./world.fixture.ts";
import { app, entity, subscription, topic } from "../model/index.ts";
import type { World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Orders = topic("orders", { event: z.string(), key: (id) => id });
const Book = entity("book", {
  state: z.object({ log: z.array(z.string()) }),
  commands: { order: { input: z.string() }, note: { input: z.string() } },
  queries: { read: { output: z.array(z.string()), consistency: "strong" } },
});
const book = Book.implement({
  initial: () => ({ log: [] }),
  order: ({ input, publish }) => publish(Orders, input),
  note: ({ state, input }) => void state.log.push(input),
  read: ({ state }) => [...state.log],
});
/** What keeps `all` from going on. */
const hook: { meet: (id: string) => void } = { meet: () => {} };
const all = subscription("all", Orders).into(Book, "note", ({ value }) => {
  hook.meet(value);
  return { key: "all", input: value };
});
const late = subscription("late", Orders, { from: "now" }).into(Book, "note", ({ value }) => ({
  key: "late",
  input: value,
}));
const books = app("books", { entities: [book], topics: [Orders], subscriptions: [all, late] });
const given = { nodes: 2, shards: 4 } as const;

const groups = async (w: World) => (await nodeOf(w, 0).groups()).items;
const ids = ["a", "b", "c", "d", "e", "f"];

test("operator of topics: what is kept is told of all shards, and how far each group is, and where and why it stands still", () =>
  inCluster(books, given, async (client, w) => {
    hook.meet = (id) => {
      if (id === "c") throw new Error("boom");
    };
    for (const id of ids) await client.entity(Book, id).order(id);
    await w.sleep(2000);
    const { items, warnings } = await nodeOf(w, 1).topics();
    assert.deepEqual(warnings, []);
    const [orders] = items;
    assert.deepEqual([items.length, orders?.topic, orders?.events, orders?.atLeast], [1, "orders", 6, false]);
    assert.ok(orders!.bytes > 6 * 48 && orders!.oldest! <= orders!.newest!);
    const [first, second] = await groups(w);
    assert.deepEqual([first?.group, first?.kind, first?.atLeast, first?.state], ["all", "subscription", false, "open"]);
    assert.ok(first!.lag >= 1 && first!.lagMs >= 2000 && first!.lagMs < 60_000, JSON.stringify(first));
    assert.equal(first!.stuck.length, 1);
    assert.match(first!.stuck[0]!.event, /^orders\/\d\/\d+$/);
    assert.match(first!.stuck[0]!.cause, /boom/);
    assert.deepEqual([second?.group, second?.lag, second?.lagMs, second?.stuck], ["late", 0, 0, []]);
    const measured = (name: string, labels: Readonly<Record<string, string>>): number =>
      w.machines.reduce((sum, machine) => {
        const state = machine.state();
        assert.ok(state.kind === "up");
        state.node.measure();
        return sum + state.host.metric(name, labels);
      }, 0);
    const allOf = { group: "all", topic: "orders" };
    assert.equal(measured("sheaf_topic_events", { topic: "orders" }), 6);
    assert.equal(measured("sheaf_topic_bytes", { topic: "orders" }), orders!.bytes);
    assert.equal(measured("sheaf_subscription_lag_events", allOf), first!.lag);
    assert.equal(measured("sheaf_subscription_still_shards", allOf), 1);
    assert.equal(measured("sheaf_subscription_lag_events", { group: "late", topic: "orders" }), 0);
    hook.meet = () => {};
    await w.sleep(60_000);
    assert.equal(
      measured("sheaf_subscription_lag_events", allOf) + measured("sheaf_subscription_still_shards", allOf),
      0,
    );
    assert.deepEqual([(await groups(w))[0]?.lag, (await groups(w))[0]?.stuck], [0, []]);
  }));

test("operator of topics: a paused subscription rests, goes on where it was, and keeps being one for what comes from now on", () =>
  inCluster(books, given, async (client, w) => {
    const change = (group: string, act: "pause" | "resume"): Promise<unknown> =>
      nodeOf(w, 0).changeGroup("orders", group, { act });
    for (const group of ["all", "late"]) await change(group, "pause");
    assert.deepEqual(
      (await groups(w)).map(({ state }) => state),
      ["paused", "paused"],
    );
    for (const id of ids) await client.entity(Book, id).order(id);
    await w.sleep(1000);
    assert.deepEqual(await client.entity(Book, "all").read(), []);
    assert.equal((await groups(w))[0]?.lag, 6);
    for (const group of ["all", "late"]) await change(group, "resume");
    await w.sleep(1000);
    for (const key of ["all", "late"]) assert.deepEqual((await client.entity(Book, key).read()).toSorted(), ids);
    await assert.rejects(change("none", "pause"), code("NOT_FOUND"));
  }));

test("operator of topics: a group goes on at the beginning, with what comes, or at a time; what that means is told before", () =>
  inCluster(books, given, async (client, w) => {
    const seek = async (group: string, to: "beginning" | "now" | number, dryRun = false): Promise<unknown> =>
      (await nodeOf(w, 1).changeGroup("orders", group, { act: "seek", to, dryRun })).items[0];
    for (const id of ids.slice(0, 4)) await client.entity(Book, id).order(id);
    await w.sleep(1000);
    const [topics] = (await nodeOf(w, 0).topics()).items;
    const then = topics!.newest! + 1;
    for (const id of ids.slice(4)) await client.entity(Book, id).order(id);
    await w.sleep(1000);
    const log = (): Promise<readonly string[]> => client.entity(Book, "all").read();
    assert.deepEqual(await seek("all", "beginning", true), { again: 6, over: 0, atLeast: false });
    await w.sleep(1000);
    assert.equal((await log()).length, 6);
    assert.deepEqual(await seek("all", then), { again: 2, over: 0, atLeast: false });
    await w.sleep(1000);
    assert.deepEqual((await log()).slice(6).toSorted(), ["e", "f"]);
    await seek("all", "beginning");
    await w.sleep(1000);
    assert.equal((await log()).length, 14);
    await nodeOf(w, 0).changeGroup("orders", "all", { act: "pause" });
    await client.entity(Book, "a").order("a");
    await w.sleep(1000);
    assert.deepEqual(await seek("all", "now"), { again: 0, over: 1, atLeast: false });
    await nodeOf(w, 0).changeGroup("orders", "all", { act: "resume" });
    await w.sleep(1000);
    assert.equal((await log()).length, 14);
    await assert.rejects(seek("none", "now"), code("NOT_FOUND"));
    assert.deepEqual((await groups(w)).length, 2);
    const remove = { act: "remove", dryRun: false } as const;
    await assert.rejects(nodeOf(w, 0).changeGroup("orders", "all", remove), code("IN_USE"));
  }));
