// What callers hear, and what stays behind, when the engine stalls, code misbehaves or the node stops.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { SheafError } from "../base/index.ts";
import { memoryEngine } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import type { Call } from "../rpc/index.ts";
import { memoryStore } from "../shards/index.ts";
import { code, world, type WorldOptions } from "./world.fixture.ts";

const at = (key: string, name: string, kind: "command" | "query" = "command"): Partial<Call> => ({
  target: { kind, entity: "thing", key, name },
});

test("failure: F6 a barrier that is never answered does not stand in the way of later reads", async () => {
  let lost = false;
  const w = await world({
    shards: 1,
    decide: ({ kind }) => (lost && kind === "barrier" ? { kind: "ok", latencyMs: 1e9 } : { kind: "ok" }),
  });
  await w.ask("a", "add", 1);
  lost = true;
  await assert.rejects(w.ask("a", "get"), code("DEADLINE"));
  lost = false;
  await w.pass(10_000);
  assert.equal((await w.ask("a", "get")).output, 1);
});

test("failure: calls under way when a node stops are answered by its deadline, each with what is known of it", async () => {
  let stuck = false;
  const w = await world({ decide: ({ kind }) => (stuck && kind !== "barrier" ? { kind: "fail" } : { kind: "ok" }) });
  const deadline = w.host.clock.tick() + 60_000;
  const hung = w.send("a", "hang", undefined, { deadline });
  const repeat = w.send("a", "hang", undefined, { deadline, op: { id: "r", issuedAt: undefined } });
  const behind = w.send("a", "add", 1, { deadline });
  await w.pass(10);
  stuck = true;
  const committing = w.send("b", "add", 1, { deadline });
  const joined = w.send("b", "add", 1, { deadline, op: { id: "j", issuedAt: undefined } });
  const joining = w.send("b", "add", 1, { deadline, op: { id: "j", issuedAt: undefined } });
  const read = w.send("b", "get", undefined, { deadline });
  await w.pass(10);
  const ends = Promise.allSettled([hung, repeat, behind, committing, joined, joining, read]);
  await w.run(w.node.stop(500));
  const outcomes = (await w.run(ends)).map((end) =>
    end.status === "rejected" ? [(end.reason as SheafError).code, (end.reason as SheafError).outcome] : end.value,
  );
  const [not, maybe] = [
    ["STOPPING", "not-applied"],
    ["STOPPING", "unknown"],
  ];
  assert.deepEqual(outcomes, [not, not, not, maybe, maybe, maybe, not]);
  assert.equal(await w.host.schedule.run({ until: w.host.schedule.now() + 100_000 }), "idle");
  const before = w.host.schedule.count();
  await w.host.schedule.run({ until: w.host.schedule.now() + 100_000 });
  assert.equal(w.host.schedule.count(), before, "a stopped node keeps no timer");
});

const Thing = entity("thing", {
  state: z.object({ n: z.number() }),
  commands: {
    add: { input: z.number(), output: z.number() },
    events: { input: z.number() },
    long: { input: z.number(), output: z.string() },
    odd: { input: z.string(), output: z.any() },
    pair: { input: z.string() },
  },
  queries: { get: { output: z.number() }, odd2: { input: z.string(), output: z.any() } },
  events: { said: z.string() },
});
const odd: Record<string, () => unknown> = {
  "throws in then": () => ({
    then: () => {
      throw new Error("then");
    },
  }),
  "throws in the getter of then": () =>
    Object.defineProperty({}, "then", {
      get: () => {
        throw new Error("getter");
      },
    }),
  "never settles": () => ({ then: () => {} }),
  "rejects with undefined": () => Promise.reject(undefined),
  "leaves a state that throws when it is read": () => Promise.reject(new Error("in a query")),
  "throws null": () => {
    // oxlint-disable-next-line typescript/only-throw-error -- what users may do
    throw null;
  },
  "throws an unprintable": () => {
    throw Object.create(null);
  },
};
const thing = Thing.implement({
  initial: (key) => {
    if (key === "unborn") throw new Error("no such thing");
    return { n: 0 };
  },
  add: ({ state, input }) => (state.n += input),
  events: ({ emit, input }) => emit("said", "x".repeat(input)),
  long: ({ state, input }) => {
    state.n++;
    return "x".repeat(input);
  },
  odd: ({ state, input }) => {
    state.n++;
    if (input.startsWith("leaves a state")) {
      const get = (): never => {
        throw new Error("read again");
      };
      Object.defineProperty(state, "n", { get, enumerable: true, configurable: true });
      return 0;
    }
    if (input === "settles at once, twice") return { then: (done: (value: number) => void) => (done(1), done(2)) };
    return odd[input]?.();
  },
  pair: async ({ call, input }) => {
    const first = call.entity(Thing, input).get();
    const second = call.entity(Thing, "unborn").add(1);
    await first;
    await call.entity(Thing, input).add(1);
    await call.entity(Thing, input).add(1);
    await second;
  },
  get: ({ state }) => state.n,
  odd2: ({ input }) => odd[input]?.(),
});
const things = app("things", { entities: [thing], services: [] });

test("failure: P35 a commit that fits no record is refused alone: neighbours and other shards go on", async () => {
  const w = await world({ app: things });
  const op = { id: "k", issuedAt: undefined };
  const sent = [
    w.send("", "", 12_000_000, at("a", "events")),
    w.send("", "", 12_000_000, { ...at("a", "long"), op }),
    ...["a", "b", "c", "d", "e"].map((key) => w.send("", "", 1, at(key, "add"))),
  ];
  const [events, long, ...rest] = await w.run(Promise.allSettled(sent));
  for (const refused of [events, long])
    assert.ok(refused?.status === "rejected" && code("TOO_LARGE", "not-applied")(refused.reason as SheafError));
  for (const one of rest) assert.equal(one.status, "fulfilled");
  const many = Array.from({ length: 40 }, (_, i) => w.send("", "", 1_000_000 + i, at("a", "events")));
  for (const one of await w.run(Promise.allSettled(many))) assert.equal(one.status, "fulfilled");
});

test("failure: whatever a handler returns or throws, its caller is answered once, nothing is kept, and the entity is free", async () => {
  const w = await world({ app: things });
  for (const input of Object.keys(odd)) {
    await assert.rejects(
      w.ask("", "", input, at("a", "odd")),
      (error: SheafError) => error.outcome === "not-applied",
      input,
    );
    await assert.rejects(
      w.ask("", "", input, at("a", "odd2", "query")),
      (error: SheafError) => error.outcome === "not-applied",
      input,
    );
  }
  await assert.rejects(w.ask("", "", 1, at("unborn", "add")), (error: SheafError) => error.outcome === "not-applied");
  await assert.rejects(
    w.ask("", "", undefined, at("unborn", "get", "query")),
    (error: SheafError) => error.outcome === "not-applied",
  );
  assert.equal((await w.ask("", "", 5, at("a", "add"))).output, 5);
  assert.equal((await w.ask("", "", "settles at once, twice", at("a", "odd"))).version, 2);
  assert.equal((await w.ask("", "", 1, at("a", "add"))).version, 3);
});

test("failure: a call inside that fails before it is awaited does not end the process", async () => {
  const w = await world({ app: things });
  await assert.rejects(w.ask("", "", "b", at("a", "pair")), code("HANDLER_FAILED", "not-applied"));
});

test("failure: P26 commands are refused, not piled up, while an engine stalls", async () => {
  let down = false;
  const w = await world({
    shards: 1,
    limits: { maxInFlight: 50, maxMailbox: 50 },
    decide: () => (down ? { kind: "fail" } : { kind: "ok" }),
  });
  await w.ask("a", "add", 1);
  down = true;
  let accepted = 0;
  for (let i = 0; i < 30; i++) {
    const deadline = w.host.clock.tick() + 50;
    const sent = Array.from({ length: 10 }, () => w.send("a", "add", 1, { deadline }));
    for (const end of await w.run(Promise.allSettled(sent))) {
      if (end.status === "rejected" && (end.reason as SheafError).code === "OVERLOADED") continue;
      accepted++;
    }
  }
  assert.ok(accepted <= 60, `${accepted} commits wait for the engine`);
  down = false;
  await w.pass(5000);
  assert.equal((await w.ask("a", "get")).output, 1 + accepted);
});

test("failure: a session that has seen more than there is waits no longer than its deadline", async () => {
  let down = false;
  const w = await world({ shards: 1, decide: () => (down ? { kind: "fail" } : { kind: "ok" }) });
  const early = w.disk.copy();
  for (let i = 0; i < 3; i++) await w.ask("a", "add", 1);
  const session = (await w.ask("a", "add", 1, { session: "" })).session ?? "";
  w.host.kill();
  w.disk.restore(early);
  const back = await world({
    from: { ...w, store: memoryStore() },
    decide: () => (down ? { kind: "fail" } : { kind: "ok" }),
  });
  down = true;
  const doubtful = back.send("b", "add", 1, { deadline: back.host.clock.tick() + 300_000 });
  await back.pass(10);
  const start = back.host.clock.tick();
  await assert.rejects(back.ask("a", "get", undefined, { session }), code("DEADLINE", "not-applied"));
  assert.ok(back.host.clock.tick() - start < 1100);
  down = false;
  await back.run(doubtful);
});

test("failure: a call whose caller has gone is not begun", async () => {
  const w = await world();
  const signal = AbortSignal.abort();
  await assert.rejects(w.ask("a", "add", 1, { signal }), code("CANCELLED", "not-applied"));
  await assert.rejects(w.ask("a", "get", undefined, { signal }), code("CANCELLED", "not-applied"));
  const target = { kind: "procedure", service: "echo", name: "say" } as const;
  await assert.rejects(w.ask("", "", "hi", { target, signal }), code("CANCELLED", "not-applied"));
  const started = w.host.clock.tick();
  await w.run(w.node.stop());
  assert.ok(w.host.clock.tick() - started < 100, "nothing is counted as under way");
});

test("failure: N1 a snapshot that reads back damaged is not one of the two that the journal is trimmed behind", async () => {
  let damage = 0;
  const w = await world({
    shards: 1,
    limits: { snapshotEveryBytes: 500, saveEveryMs: 20 },
    before: (engine) => ({
      ...engine,
      snapshots: {
        ...engine.snapshots,
        async *get(name) {
          for await (const chunk of engine.snapshots.get(name)) {
            if (damage-- > 0) chunk[chunk.length >> 1] = (chunk[chunk.length >> 1] ?? 0) ^ 1;
            yield chunk;
          }
        },
        async put(name, chunks) {
          const copies: Uint8Array[] = [];
          for await (const chunk of chunks) copies.push(chunk.slice());
          const bad = copies[0];
          if (damage > 0 && bad) bad[bad.length >> 1] = (bad[bad.length >> 1] ?? 0) ^ 1;
          await engine.snapshots.put(name, copies);
        },
      },
    }),
  });
  const names = async (): Promise<readonly { seq: number }[]> =>
    w.run(memoryEngine({ disk: w.disk }).snapshots.list(0));
  const grow = async (snapshots: number): Promise<void> => {
    const before = w.host.metric("sheaf_shard_snapshots_total");
    for (let i = 0; i < 200 && w.host.metric("sheaf_shard_snapshots_total") < before + snapshots; i++) {
      await w.ask(`x${i % 3}`, "add", 1);
      await w.pass(10);
    }
  };
  await grow(3);
  const good = await names();
  damage = 1;
  for (let i = 0; i < 200 && damage > 0; i++) {
    await w.ask(`x${i % 3}`, "add", 1);
    await w.pass(10);
  }
  await grow(1);
  const kept = await names();
  assert.equal(kept.length, 2);
  assert.equal(kept[1]?.seq, good[0]?.seq, "the older of the two is the last good one, not the damaged one");
});

test("failure: P35 a node whose records the engine would not take does not start", async () => {
  const tooLarge = world({ limits: { maxRecordBytes: 9 * 1024 * 1024 } });
  await assert.rejects(tooLarge, code("USAGE"));
});

test("failure: an engine or a store that never closes does not keep a node from stopping, and is named in the log", async () => {
  const never = (): Promise<void> => new Promise(() => {});
  const w = await world({
    before: (engine) => ({ ...engine, close: never }),
    store: { ...memoryStore(), close: never },
  });
  await w.ask("a", "add", 1);
  const started = w.host.clock.tick();
  await w.run(w.node.stop(3000));
  assert.ok(w.host.clock.tick() - started <= 3100, `${w.host.clock.tick() - started} ms`);
  const parts = w.host.lines
    .filter(({ message }) => message.includes("did not close"))
    .map((line) => line.fields?.["part"]);
  assert.deepEqual(parts, ["engine", "store"]);
});

test("failure: N2 snapshots that are gone whenever they are read end the opening, and the next one may succeed", async () => {
  const a = await world({ shards: 1, limits: { snapshotEveryBytes: 500, saveEveryMs: 20 } });
  for (let i = 0; i < 100; i++) {
    await a.ask(`x${i % 3}`, "add", 1);
    await a.pass(10);
  }
  await a.run(a.node.stop());
  let gone = Infinity;
  const from = { ...a, store: memoryStore() };
  const before: WorldOptions["before"] = (engine) => ({
    ...engine,
    snapshots: {
      ...engine.snapshots,
      async *get(name) {
        if (gone-- > 0) throw new SheafError("NOT_FOUND");
        yield* engine.snapshots.get(name);
      },
    },
  });
  await assert.rejects(world({ from, before }), code("ENGINE_UNAVAILABLE"));
  gone = 2;
  const b = await world({ from, before });
  assert.equal((await b.ask("x0", "get")).output, 34);
});

test("failure: D3 while the local store takes nothing memory stays bounded, reads go on, and it all passes with the fault", async () => {
  let broken = false;
  const store = memoryStore();
  const w = await world({
    shards: 1,
    limits: { maxHotEntities: 10, saveEveryMs: 20 },
    store: {
      ...store,
      save: (changes) =>
        broken ? Promise.reject(new SheafError("ENGINE_FULL", "no space for state.db")) : store.save(changes),
    },
  });
  await w.ask("first", "add", 1);
  broken = true;
  let refused: SheafError | undefined;
  let done = 0;
  for (; done < 1000 && refused === undefined; done++) {
    await w.ask(`k${done}`, "add", 1).catch((error: SheafError) => (refused = error));
    if (done % 5 === 0) await w.pass(30);
  }
  assert.deepEqual([refused?.code, refused?.outcome, refused?.retry], ["OVERLOADED", "not-applied", "later"]);
  const hot = (await w.run(w.node.status())).shards[0]?.hot ?? 0;
  assert.ok(hot <= 4 * 10 + 5, `${hot} entities in memory`);
  assert.equal((await w.ask("k1", "get")).output, 1);
  broken = false;
  await w.pass(50);
  for (let i = 0; i < 100; i++) await w.ask(`later${i}`, "add", 1);
  assert.equal((await w.ask("k2", "get")).output, 1);
});
