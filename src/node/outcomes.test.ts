// When outcomes are told, and what a node refuses to build on.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { SheafError } from "../base/index.ts";
import { memoryEngine } from "../journal/index.ts";
import { memoryStore } from "../shards/index.ts";
import { code, world } from "./world.fixture.ts";

test("outcomes: E2 nothing is told that rests on an append under way, until that is durable", async () => {
  let slow = false;
  const w = await world({
    shards: 1,
    decide: ({ kind }) => (slow && kind === "append" ? { kind: "ok", latencyMs: 300 } : { kind: "ok" }),
  });
  await w.ask("a", "add", 1);
  slow = true;
  const start = w.host.clock.tick();
  const told: [string, number][] = [];
  const heard = (name: string) => (): void => void told.push([name, w.host.clock.tick() - start]);
  const sent = [
    w.send("a", "add", 1).then(heard("commit")),
    w.send("a", "refuse").catch(heard("refusal")),
    w.send("a", "explode").catch(heard("throw")),
    w.send("a", "add", 0).then(heard("no-op")),
    w.send("a", "add", 1, { ifVersion: 7 }).catch(heard("precondition")),
    w.send("a", "get").then(heard("read")),
  ];
  await w.run(Promise.all(sent));
  assert.deepEqual(told.map(([name]) => name).toSorted(), [
    "commit",
    "no-op",
    "precondition",
    "read",
    "refusal",
    "throw",
  ]);
  for (const [name, ms] of told) assert.ok(ms >= 300, `${name} was told after ${ms} ms`);
});

test("outcomes: E2 what rested on a refused append is taken back, each with an outcome of its own", async () => {
  let full = false;
  const w = await world({
    shards: 1,
    decide: ({ kind }) => (full && kind === "append" ? { kind: "full", latencyMs: 100 } : { kind: "ok" }),
  });
  await w.ask("a", "add", 1);
  full = true;
  const sent = [w.send("a", "add", 1), w.send("a", "add", 0), w.send("a", "refuse"), w.send("a", "get")];
  for (const end of await w.run(Promise.allSettled(sent))) {
    assert.ok(end.status === "rejected" && (end.reason as SheafError).outcome === "not-applied");
  }
  full = false;
  assert.equal((await w.ask("a", "get")).output, 1);
});

test("outcomes: T4 a fenced owner stays fenced until it is told to claim", async () => {
  const a = await world({ shards: 1 });
  const b = await world({ from: { ...a, store: memoryStore() } });
  await assert.rejects(a.ask("k", "add", 1), code("NOT_OWNER", "not-applied"));
  for (let i = 0; i < 5; i++) {
    await a.pass(1000);
    await assert.rejects(a.ask("k", "add", 1), code("NOT_OWNER", "not-applied"));
    await b.ask("k", "add", 1);
  }
  const { shards } = await a.run(a.node.status());
  assert.deepEqual([shards[0]?.state, shards[0]?.epoch], ["fenced", 1]);
});

test("outcomes: N2 a node starts from the newest snapshot that is whole, and from none that is not", async () => {
  const w = await world({ shards: 1, limits: { snapshotEveryBytes: 500, saveEveryMs: 20 } });
  for (let i = 0; i < 60; i++) {
    await w.ask(`x${i % 3}`, "add", 1);
    await w.pass(10);
  }
  w.host.kill();
  const engine = memoryEngine({ disk: w.disk });
  const names = await w.run(engine.snapshots.list(0));
  assert.equal(names.length, 2);
  const bend = async (name: (typeof names)[number] | undefined): Promise<void> => {
    assert.ok(name);
    const chunks: Uint8Array[] = [];
    for await (const chunk of engine.snapshots.get(name)) chunks.push(chunk);
    const [chunk] = chunks;
    assert.ok(chunk);
    chunk[chunk.length >> 1] = (chunk[chunk.length >> 1] ?? 0) ^ 1;
    await engine.snapshots.put(name, chunks);
  };
  await w.run(bend(names[0]));
  const next = await world({ from: { ...w, store: memoryStore() } });
  let sum = 0;
  for (const key of ["x0", "x1", "x2"]) sum += (await next.ask(key, "get")).output as number;
  assert.equal(sum, 60);
  next.host.kill();
  for (const name of await w.run(engine.snapshots.list(0))) if (name.seq !== names[0]?.seq) await w.run(bend(name));
  await assert.rejects(world({ from: { ...w, store: memoryStore() } }), code("CORRUPT"));
});

test("outcomes: F6 a strong read is answered while batches fill one after another", async () => {
  const w = await world({
    shards: 1,
    limits: { maxBatchCommits: 2 },
    decide: ({ kind }) => (kind === "append" ? { kind: "ok", latencyMs: 10 } : { kind: "ok" }),
  });
  let stop = false;
  const busy = async (key: string): Promise<void> => {
    while (!stop) await w.send(key, "add", 1);
  };
  const load = Array.from({ length: 12 }, (_, i) => busy(`k${i}`));
  await w.pass(50);
  const read = await w.ask("k0", "get");
  assert.ok((read.output as number) > 0);
  stop = true;
  await w.run(Promise.all(load));
});

test("outcomes: P26 commits that wait for a stalled engine are bounded in bytes, too", async () => {
  let down = false;
  const w = await world({
    shards: 1,
    limits: { maxBatchBytes: 2000, maxStateBytes: 1000 },
    decide: () => (down ? { kind: "fail" } : { kind: "ok" }),
  });
  for (let i = 0; i < 300; i++) await w.ask(`k${i}`, "get");
  down = true;
  const sent = Array.from({ length: 300 }, (_, i) => w.send(`k${i}`, "add", 1));
  const ends = await w.run(Promise.allSettled(sent));
  const refused = ends.filter((end) => end.status === "rejected" && (end.reason as SheafError).code === "OVERLOADED");
  assert.ok(refused.length > 100, `${300 - refused.length} of 300 were accepted`);
  down = false;
  await w.pass(5000);
  assert.equal((await w.ask("k0", "add", 1)).version, 2);
});
