import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../host/index.ts";
import { type Append, engineContract, type MemoryFate, type MemoryRequest, memoryDisk, memoryEngine } from "./index.ts";

engineContract("memory", { test, assert }, () => {
  const disk = memoryDisk();
  return Promise.resolve({ open: () => Promise.resolve(memoryEngine({ disk })), destroy: () => Promise.resolve() });
});

/** A clock that stands still until told. */
function handClock(): Clock & { pass(ms: number): Promise<void> } {
  let now = 0;
  let due: { at: number; fn: () => void }[] = [];
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  return {
    now: () => now,
    tick: () => now,
    after(ms, fn) {
      const timer = { at: now + ms, fn };
      due.push(timer);
      return { cancel: () => void (due = due.filter((other) => other !== timer)) };
    },
    turn: (fn) => queueMicrotask(fn),
    async pass(ms) {
      now += ms;
      const ready = due.filter((timer) => timer.at <= now).toSorted((a, b) => a.at - b.at);
      due = due.filter((timer) => timer.at > now);
      for (const timer of ready) timer.fn();
      await settle();
    },
  };
}

const append = (expected: number, epoch = 1, shard = 0): Append => ({
  shard,
  generation: 1,
  epoch,
  expected,
  record: Uint8Array.of(epoch, expected),
});

/** An engine whose appends meet these fates, in order, and then go well. */
function faulty(...fates: MemoryFate[]) {
  const disk = memoryDisk();
  const clock = handClock();
  const decide = (request: MemoryRequest): MemoryFate =>
    (request.kind === "append" ? fates.shift() : undefined) ?? { kind: "ok" };
  const engine = memoryEngine({ disk, clock, decide });
  const kind = async (one: Append): Promise<string> => (await engine.append([one]))[0]!.kind;
  const seq = async (): Promise<number> => (await memoryEngine({ disk }).read(0, 1, 1)).head.seq;
  return { disk, clock, engine, kind, seq };
}

test("memory engine: each fate of an append answers and stores as it says", async () => {
  const fates: [MemoryFate, string, number][] = [
    [{ kind: "ok" }, "durable", 1],
    [{ kind: "fail" }, "unknown", 0],
    [{ kind: "lost-ack" }, "unknown", 1],
    [{ kind: "full" }, "refused", 0],
    [{ kind: "fenced-own-copy" }, "fenced", 1],
  ];
  for (const [fate, answer, stored] of fates) {
    const world = faulty(fate);
    assert.equal(await world.kind(append(0)), answer, fate.kind);
    assert.equal(await world.seq(), stored, fate.kind);
  }
});

test("memory engine: a late append lands after its unknown answer, unless the place was taken meanwhile", async () => {
  const free = faulty({ kind: "late", ms: 100 });
  assert.equal(await free.kind(append(0)), "unknown");
  assert.equal(await free.seq(), 0);
  await free.engine.close();
  await free.clock.pass(100);
  assert.equal(await free.seq(), 1);

  const taken = faulty({ kind: "late", ms: 100 });
  await taken.kind(append(0));
  assert.equal(await taken.kind(append(0, 2)), "durable");
  await taken.clock.pass(100);
  assert.deepEqual(
    (await taken.engine.read(0, 1, 9)).entries.map((entry) => entry.epoch),
    [2],
  );
});

test("memory engine: a hanging append is stored at once and answered late; latency delays both", async () => {
  const world = faulty({ kind: "hang", ms: 50 }, { kind: "ok", latencyMs: 20 });
  let answered = "";
  const hanging = world.kind(append(0)).then((kind) => (answered = kind));
  await world.clock.pass(0);
  assert.deepEqual([await world.seq(), answered], [1, ""]);
  await world.clock.pass(50);
  await hanging;
  assert.equal(answered, "durable");
  const slow = world.kind(append(1));
  await world.clock.pass(19);
  assert.equal(await world.seq(), 1);
  await world.clock.pass(1);
  assert.equal(await slow, "durable");
});

test("memory engine: unfenced lets a stale epoch in by sequence alone, as the kit would notice", async () => {
  const world = faulty({ kind: "ok" }, { kind: "unfenced" });
  await world.kind(append(0, 5));
  assert.equal(await world.kind(append(1, 4)), "durable");
  assert.deepEqual(
    (await world.engine.read(0, 1, 9)).entries.map((entry) => entry.epoch),
    [5, 4],
  );
});

test("memory engine: the kit goes red on an engine that does not fence epochs", async () => {
  const runs: (() => Promise<void>)[] = [];
  const tools = { assert, test: (_: string, run: () => Promise<void>) => void runs.push(run) };
  engineContract("broken", tools, () => {
    const disk = memoryDisk();
    const decide = (): MemoryFate => ({ kind: "unfenced" });
    return Promise.resolve({
      open: () => Promise.resolve(memoryEngine({ disk, decide })),
      destroy: () => Promise.resolve(),
    });
  });
  const failed = (await Promise.allSettled(runs.map((run) => run()))).filter(
    (result) => result.status === "rejected",
  ).length;
  assert.ok(failed >= 2, `${failed} rules noticed`);
});

test("memory engine: a stale read shows an earlier head; a barrier never does", async () => {
  const disk = memoryDisk();
  const decide = (request: MemoryRequest): MemoryFate =>
    request.kind === "append" ? { kind: "ok" } : { kind: "stale", behind: 2 };
  const engine = memoryEngine({ disk, decide });
  for (let i = 0; i < 5; i++) await engine.append([append(i, i + 1)]);
  const page = await engine.read(0, 1, 100);
  assert.deepEqual(
    page.entries.map((entry) => entry.seq),
    [1, 2, 3],
  );
  assert.deepEqual(page.head, { shard: 0, generation: 1, epoch: 3, seq: 3 });
  assert.equal((await engine.barrier([0]))[0]!.seq, 5);
});

test("memory disk: acknowledged writes survive a power loss, and requests under way never arrive", async () => {
  const world = faulty(
    { kind: "ok" },
    { kind: "lost-ack" },
    { kind: "late", ms: 10 },
    { kind: "ok", latencyMs: 10 },
    { kind: "hang", ms: 10 },
  );
  await world.kind(append(0));
  await world.kind(append(1));
  await world.kind(append(2));
  const slow = world.kind(append(2));
  const hanging = world.kind(append(2, 3));
  await world.clock.pass(0);
  assert.equal(world.disk.crash({ loseUnsynced: true }), 0);
  await world.clock.pass(10);
  assert.deepEqual([await slow, await hanging, await world.seq()], ["unknown", "unknown", 3]);
  assert.deepEqual(
    (await world.engine.read(0, 1, 9)).entries.map((entry) => entry.epoch),
    [1, 1, 3],
  );
});

test("memory disk: a late append dies with the power", async () => {
  const world = faulty({ kind: "late", ms: 10 });
  await world.kind(append(0));
  world.disk.crash({ loseUnsynced: false });
  await world.clock.pass(10);
  assert.equal(await world.seq(), 0);
});

test("memory engine: closing waits for appends under way", async () => {
  const world = faulty({ kind: "ok", latencyMs: 10 });
  const order: string[] = [];
  const append1 = world.kind(append(0)).then((kind) => order.push(kind));
  const closing = world.engine.close().then(() => order.push("closed"));
  await world.clock.pass(10);
  await Promise.all([append1, closing]);
  assert.deepEqual(order, ["durable", "closed"]);
});

test("memory disk: a dishonest one loses its unsynced tail, and tells how much", async () => {
  const disk = memoryDisk({ acknowledgeUnsynced: true });
  const engine = memoryEngine({ disk });
  for (let i = 0; i < 3; i++) await engine.append([append(i), append(i, 1, 1)]);
  disk.sync();
  for (let i = 3; i < 5; i++) await engine.append([append(i), append(i, 1, 1)]);
  assert.equal(disk.crash({ loseUnsynced: true, keep: 1 }), 3);
  assert.deepEqual(
    (await engine.barrier([0, 1])).map((head) => head.seq),
    [4, 3],
  );
  const fresh = memoryDisk({ acknowledgeUnsynced: true });
  await memoryEngine({ disk: fresh }).append([append(0)]);
  fresh.crash({ loseUnsynced: true });
  assert.deepEqual(await memoryEngine({ disk: fresh }).barrier([0]), [{ shard: 0, generation: 1, epoch: 0, seq: 0 }]);
});

test("memory disk: restoring an older copy rolls everything back, and the copy stays as it was", async () => {
  const disk = memoryDisk();
  const engine = memoryEngine({ disk });
  await engine.append([append(0)]);
  const copy = disk.copy();
  await engine.append([append(1)]);
  disk.restore(copy);
  assert.equal((await engine.barrier([0]))[0]!.seq, 1);
  await engine.append([append(1, 7)]);
  disk.restore(copy);
  assert.equal((await engine.barrier([0]))[0]!.seq, 1);
});

test("memory disk: rot flips exactly one bit", async () => {
  const disk = memoryDisk();
  const engine = memoryEngine({ disk });
  await engine.append([append(0)]);
  disk.rot(0, 1, 9);
  assert.deepEqual([...(await engine.read(0, 1, 1)).entries[0]!.record], [1, 2]);
});

test("memory engine: requests that fail, or are under way when the power goes, reject", async () => {
  const disk = memoryDisk();
  const clock = handClock();
  const failing = memoryEngine({ disk, clock, decide: () => ({ kind: "fail" }) });
  for (const promise of [
    failing.identify(),
    failing.barrier([0]),
    failing.read(0, 1, 1),
    failing.trim(0, 1),
    failing.snapshots.list(0),
  ])
    await assert.rejects(promise, { code: "ENGINE_UNAVAILABLE" });
  const slow = memoryEngine({ disk, clock, decide: () => ({ kind: "ok", latencyMs: 5 }) });
  const barrier = assert.rejects(slow.barrier([0]), { code: "ENGINE_UNAVAILABLE" });
  disk.crash({ loseUnsynced: true });
  await clock.pass(5);
  await barrier;
});

test("memory engine: a stale tail or list shows what was, as far back as is remembered; failing ones reject", async () => {
  const disk = memoryDisk();
  let fate: MemoryFate = { kind: "ok" };
  const engine = memoryEngine({ disk, decide: (request) => (request.kind === "append" ? { kind: "ok" } : fate) });
  for (let i = 0; i < 5; i++) await engine.append([append(i)]);
  for (let i = 0; i < 30; i++) await engine.registry.put("node", Uint8Array.of(i));
  await engine.registry.delete("node");
  const listed = async (): Promise<number[]> => [...((await engine.registry.list()).get("node") ?? [])];
  assert.deepEqual(await listed(), []);
  fate = { kind: "stale", behind: 2 };
  const [page] = await engine.tail([{ shard: 0, from: 3 }], 9);
  assert.deepEqual([page?.head.seq, page?.entries.map(({ seq }) => seq)], [3, [3]]);
  assert.equal(
    (await engine.tail([{ shard: 0, from: 6 }], 9))[0]?.head.seq,
    3,
    "an old head looks like a lost journal",
  );
  assert.deepEqual(await listed(), [28]);
  fate = { kind: "stale", behind: 1000 };
  assert.deepEqual(await listed(), [14]);
  fate = { kind: "fail" };
  const act = engine.registry;
  for (const promise of [engine.tail([], 1), act.list(), act.put("node", Uint8Array.of(1)), act.delete("node")])
    await assert.rejects(promise, { code: "ENGINE_UNAVAILABLE" });
});

test("memory engine: hints are lost and late as told, and gather what grows meanwhile", async () => {
  const disk = memoryDisk();
  const clock = handClock();
  const fates: MemoryFate[] = [{ kind: "fail" }, { kind: "hang", ms: 50 }, { kind: "ok", latencyMs: 5 }];
  const decide = (request: MemoryRequest): MemoryFate =>
    (request.kind === "hint" ? fates.shift() : undefined) ?? { kind: "ok" };
  const watching = memoryEngine({ disk, clock, decide });
  const writing = memoryEngine({ disk });
  const heard: (readonly number[] | undefined)[] = [];
  const end = watching.watch((shards) => void heard.push(shards));
  await writing.append([append(0)]);
  await clock.pass(0);
  await writing.append([append(1), append(0, 1, 7)]);
  await writing.append([append(0, 1, 9)]);
  await clock.pass(49);
  assert.deepEqual(heard, []);
  await clock.pass(1);
  assert.deepEqual(heard, [[0, 7, 9]]);
  await writing.append([append(2)]);
  end();
  await clock.pass(5);
  assert.equal(heard.length, 1);
});

test("memory disk: a lost power empties the registry, and a restored copy brings back what it held", async () => {
  const disk = memoryDisk();
  const engine = memoryEngine({ disk });
  await engine.registry.put("node", Uint8Array.of(1));
  const copy = disk.copy();
  disk.crash({ loseUnsynced: false });
  assert.equal((await engine.registry.list()).size, 1);
  disk.crash({ loseUnsynced: true });
  assert.equal((await engine.registry.list()).size, 0);
  disk.restore(copy);
  assert.deepEqual([...((await engine.registry.list()).get("node") ?? [])], [1]);
});
