// What a node says and keeps when another one takes its shards, and when it takes them back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { SheafError } from "../base/index.ts";
import type { MemoryFate } from "../journal/index.ts";
import { memoryEngine, recordCodec } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import { memoryStore, type Store } from "../shards/index.ts";
import { code, world } from "./world.fixture.ts";

test("ownership: E1 commands that waited while the shard was lost do not run on what it was before", async () => {
  const a = await world({ shards: 1 });
  await a.ask("k", "add", 1);
  const hung = a.send("k", "hang", undefined, { deadline: a.host.clock.tick() + 500 });
  const waited = a.send("k", "add", 100);
  await a.pass(10);
  const b = await world({ from: { ...a, store: memoryStore() } });
  await b.ask("k", "add", 10);
  await assert.rejects(a.ask("other", "get"), code("NOT_OWNER"));
  await a.run(a.node.acquire(0));
  assert.equal((await a.ask("k", "get")).output, 11);
  const [, late] = await a.run(Promise.allSettled([hung, waited]));
  if (late.status === "fulfilled") assert.equal(late.value.output, 111);
  else code("NOT_OWNER", "not-applied")(late.reason as SheafError);
  const n = (await a.ask("k", "get")).output;
  assert.equal(n, late.status === "fulfilled" ? 111 : 11);
});

test("ownership: F4 a record that was kept before another node's claim is acknowledged, not called lost", async () => {
  const fates = new Map<string, MemoryFate>();
  const a = await world({ shards: 1, decide: ({ kind }) => fates.get(kind) ?? { kind: "ok" } });
  await a.ask("k", "add", 1);
  fates.set("barrier", { kind: "ok", latencyMs: 500 }).set("append", { kind: "hang", ms: 900 });
  const read = a.send("k", "get", undefined, { deadline: a.host.clock.tick() + 3000 });
  await a.pass(10);
  const wrote = a.send("k", "add", 5, { deadline: a.host.clock.tick() + 3000 });
  await a.pass(10);
  const b = await world({ from: { ...a, store: memoryStore() } });
  assert.equal((await b.ask("k", "get")).output, 6, "the other node has it");
  const [seen, written] = await a.run(Promise.allSettled([read, wrote]));
  assert.ok(seen.status === "rejected" && code("NOT_OWNER")(seen.reason as SheafError));
  if (written.status === "rejected") assert.equal((written.reason as SheafError).outcome, "unknown");
  else assert.equal(written.value.output, 6);
});

test("ownership: F5 a doubtful record whose place is trimmed leaves its callers with unknown, and no quarantine", async () => {
  let cut = false;
  const a = await world({
    shards: 1,
    decide: ({ kind }) => (!cut ? { kind: "ok" } : kind === "append" ? { kind: "lost-ack" } : { kind: "fail" }),
  });
  await a.ask("k", "add", 1);
  cut = true;
  const doubtful = a.send("k", "add", 5, { deadline: a.host.clock.tick() + 60_000 });
  await a.pass(100);
  const b = await world({ from: { ...a, store: memoryStore() }, limits: { snapshotEveryBytes: 500, saveEveryMs: 20 } });
  for (let i = 0; i < 60; i++) {
    await b.ask(`x${i}`, "add", 1);
    await b.pass(10);
  }
  const kept = await a.run(memoryEngine({ disk: a.disk }).read(0, 1, 1));
  assert.ok(kept.first > 4, "the doubtful record's place was trimmed");
  cut = false;
  await assert.rejects(a.run(doubtful), (error: SheafError) => error.outcome === "unknown");
  assert.equal((await a.run(a.node.status())).shards[0]?.state, "fenced");
  assert.equal((await b.ask("k", "get")).output, 6);
});

test("ownership: F6 a replaced owner does not take a record of its own epoch behind another's claim for its own", async () => {
  const a = await world({ shards: 1 });
  await a.ask("k", "add", 1);
  const b = await world({ from: { ...a, store: memoryStore() } });
  await b.ask("k", "add", 10);
  // An engine that compares sequences alone lets it in; whoever reads it voids it.
  const codec = recordCodec({ ...a.host, cluster: a.node.cluster.id });
  const engine = memoryEngine({ disk: a.disk, decide: () => ({ kind: "unfenced" }) });
  const { entries, head } = await engine.read(0, 1, 99);
  const [claim, last] = [entries[0], entries.at(-1)].map((entry) =>
    codec.decode(entry!.record, { shard: 0, seq: entry!.seq }),
  );
  const header = { ...claim!.header, seq: head.seq + 1, prev: last!.hash };
  const { bytes } = codec.encode({ header, payload: { kind: "park", id: "x", reason: "", parked: true } });
  const sent = { shard: 0, generation: 1, epoch: header.epoch, expected: head.seq, record: bytes };
  assert.deepEqual(await engine.append([sent]), [{ kind: "durable" }]);
  await assert.rejects(a.ask("k", "get"), code("NOT_OWNER"));
  await a.run(a.node.acquire(0));
  assert.equal((await a.ask("k", "get")).output, 11);
});

test("ownership: F6 a barrier of an earlier tenure does not end a later one", async () => {
  let slow = false;
  const a = await world({
    shards: 1,
    decide: ({ kind }) => (slow && kind === "barrier" ? { kind: "ok", latencyMs: 700 } : { kind: "ok" }),
  });
  await a.ask("k", "add", 1);
  slow = true;
  const read = a.send("k", "get", undefined, { deadline: a.host.clock.tick() + 3000 });
  await a.pass(10);
  slow = false;
  await world({ from: { ...a, store: memoryStore() } });
  await assert.rejects(a.ask("k", "add", 1), code("NOT_OWNER", "not-applied"));
  await a.run(a.node.acquire(0));
  const [late] = await a.run(Promise.allSettled([read]));
  if (late.status === "rejected") code("NOT_OWNER")(late.reason as SheafError);
  assert.equal((await a.run(a.node.status())).shards[0]?.state, "serving");
  assert.equal((await a.ask("k", "add", 1)).output, 2);
});

test("ownership: T2 whoever asks for a shard while it is being claimed hears when it is served", async () => {
  const a = await world({ shards: 1, decide: () => ({ kind: "ok", latencyMs: 5 }) });
  const b = await world({ from: { ...a, store: memoryStore() } });
  await b.ask("k", "add", 1);
  await assert.rejects(a.ask("k", "get"), code("NOT_OWNER"));
  const first = a.node.acquire(0);
  await a.run(a.node.acquire(0));
  assert.equal((await a.run(a.node.status())).shards[0]?.state, "serving");
  await a.run(first);
  assert.equal((await a.ask("k", "get")).output, 1);
});

const Sum = entity("sum", {
  state: z.object({ n: z.number() }),
  commands: { add: { input: z.number(), output: z.number() }, push: { input: z.string() } },
  queries: { get: { output: z.number() } },
});

test("ownership: L1 a call inside a command never rests on a state that was taken back", async () => {
  let go: () => void = () => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  const sum = Sum.implement({
    initial: () => ({ n: 0 }),
    add: ({ state, input }) => (state.n += input),
    push: async ({ state, input, call }) => {
      await gate;
      await call.entity(Sum, input).add(state.n);
    },
    get: ({ state }) => state.n,
  });
  let full = false;
  const w = await world({
    shards: 1,
    app: app("sums", { entities: [sum], services: [] }),
    decide: ({ kind }) => (full && kind === "append" ? { kind: "full", latencyMs: 100 } : { kind: "ok" }),
  });
  const on = (key: string, name: string, kind: "command" | "query" = "command") => ({
    target: { kind, entity: "sum", key, name } as const,
  });
  await w.ask("", "", 1, on("a", "add"));
  full = true;
  const refused = w.send("", "", 1000, on("a", "add"));
  const pushed = w.send("", "", "b", on("a", "push"));
  await assert.rejects(w.run(refused), code("ENGINE_FULL", "not-applied"));
  full = false;
  go();
  const [outcome] = await w.run(Promise.allSettled([pushed]));
  assert.equal(
    (await w.ask("", "", undefined, on("b", "get", "query"))).output,
    outcome.status === "fulfilled" ? 1 : 0,
  );
});

test("ownership: D2 E1 entities that rest and wake all the time lose no command", async () => {
  const w = await world({ shards: 1, limits: { maxHotEntities: 1, saveEveryMs: 10 } });
  const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
  for (let round = 1; round <= 10; round++) {
    const sent = keys.map((key) => w.send(key, "add", 1));
    const also = Promise.resolve()
      .then(() => Promise.resolve())
      .then(() => Promise.all(keys.map((key) => w.send(key, "add", 1))));
    await w.run(Promise.all([...sent, also]));
    await w.pass(30);
  }
  for (const key of keys) assert.equal((await w.ask(key, "get")).output, 20);
});

test("ownership: S2 a save that was under way when the shard was lost ends before the shard is opened again", async () => {
  const kept = memoryStore();
  let [saving, opened, slow] = [0, 0, false];
  const store: Store = {
    ...kept,
    async save(changes) {
      saving++;
      if (slow) await new Promise<void>((resolve) => void a.host.clock.after(300, resolve));
      await kept.save(changes);
      saving--;
    },
    async position(shard) {
      assert.equal(saving, 0, "the stored position is read between saves");
      opened++;
      return kept.position(shard);
    },
  };
  const a = await world({ shards: 1, store, limits: { saveEveryMs: 100 } });
  await a.ask("k", "add", 1);
  slow = true;
  await a.pass(150);
  assert.equal(saving, 1);
  const b = await world({ from: { ...a, store: memoryStore() } });
  await b.ask("k", "add", 1);
  await assert.rejects(a.ask("k", "get"), code("NOT_OWNER"));
  await a.run(a.node.acquire(0));
  assert.equal(opened, 2);
  assert.equal((await a.ask("k", "get")).output, 2);
});
