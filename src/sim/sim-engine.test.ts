import assert from "node:assert/strict";
import { test } from "node:test";
import { engineContract, memoryEngine, type Append, type Engine } from "../journal/index.ts";
import { createDriver } from "./drive.ts";
import { seeded } from "./random.ts";
import { createSchedule } from "./schedule.ts";
import { connectEngine, staleness } from "./sim-engine.ts";
import { newWeather, type FaultName } from "./weather.ts";

/** Connections to one shared engine, in a world of their own. */
function sky(seed: number, faults: readonly FaultName[] = []) {
  const random = seeded(seed);
  const schedule = createSchedule(random.fork("schedule"));
  const weather = newWeather(faults);
  const shared = memoryEngine({ decide: staleness(weather, random.fork("staleness")) });
  const driver = createDriver({ schedule, strict: true, jumps: true, patienceMs: 600_000 });
  const dead = new Set<string>();
  const connect = (name: string): Engine =>
    connectEngine({
      shared,
      schedule,
      random: random.fork(name),
      weather,
      name,
      alive: () => !dead.has(name),
      deliver: (act) => void (!dead.has(name) && act()),
      shards: 8,
      rot: new Map(),
    });
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void schedule.after(ms, "sleep", resolve));
  return { schedule, weather, shared, driver, dead, connect, sleep };
}

const next = (shard: number, expected: number): Append => ({
  shard,
  generation: 1,
  epoch: 1,
  expected,
  record: Uint8Array.of(shard, expected),
});

let fair = sky(1);
engineContract(
  "simulated",
  {
    assert,
    test: (name, run) =>
      test(name, () => {
        fair = sky(name.length);
        return fair.driver.drive(run());
      }),
  },
  () => {
    let handles = 0;
    return Promise.resolve({
      open: () => Promise.resolve(fair.connect(`node-${++handles}`)),
      destroy: () => fair.shared.close(),
    });
  },
);

test("simulated engine: in foul weather hints are lost, late, repeated, vague and false; whoever polls as well misses nothing", async () => {
  const world = sky(7, ["hang", "stale", "lost-ack"]);
  const [writer, follower] = [world.connect("writer"), world.connect("follower")];
  const seen = [0, 0];
  const odd = { hints: 0, vague: 0, false: 0, stale: 0, failed: 0 };
  const look = async (): Promise<void> => {
    const asks = seen.map((seq, shard) => ({ shard, from: seq + 1 }));
    try {
      for (const { head, entries } of await follower.tail(asks, 5)) {
        if (head.seq < (seen[head.shard] ?? 0)) odd.stale++;
        for (const { seq } of entries) if (seq === seen[head.shard]! + 1) seen[head.shard] = seq;
      }
    } catch {
      odd.failed++;
    }
  };
  follower.watch((shards) => {
    odd.hints++;
    if (shards === undefined) odd.vague++;
    else if (shards.some((shard) => shard > 1)) odd.false++;
    void look();
  });
  const story = async (): Promise<void> => {
    for (let i = 0; i < 500; i++) {
      void writer.append([next(i % 2, i >> 1)]);
      await world.sleep(10);
    }
    world.weather.enabled.clear();
    for (let polls = 0; polls < 200; polls++) await look();
  };
  await world.driver.drive(story());
  const heads = await world.shared.barrier([0, 1]);
  assert.deepEqual(
    seen,
    heads.map(({ seq }) => seq),
  );
  for (const [what, count] of Object.entries(odd)) assert.ok(count > 0, `${what}: ${count}`);
});

test("simulated engine: a dead node hears no hint, and one that is cut off hears none until it is back", async () => {
  const world = sky(3);
  const [writer, cut, dying] = [world.connect("writer"), world.connect("cut"), world.connect("dying")];
  const heard = { cut: 0, dying: 0 };
  cut.watch(() => void heard.cut++);
  dying.watch(() => void heard.dying++);
  const story = async (): Promise<unknown[]> => {
    const at: unknown[] = [];
    for (const [i, change] of [
      () => {},
      () => (world.weather.cutFromEngine.add("cut"), world.dead.add("dying")),
      () => world.weather.cutFromEngine.delete("cut"),
    ].entries()) {
      change();
      await writer.append([next(0, i)]);
      await world.sleep(10);
      at.push({ ...heard });
    }
    return at;
  };
  assert.deepEqual(await world.driver.drive(story()), [
    { cut: 1, dying: 1 },
    { cut: 1, dying: 1 },
    { cut: 2, dying: 1 },
  ]);
});
