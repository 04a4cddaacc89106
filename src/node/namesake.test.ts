// Two processes under one name: the second to start is refused, unless the first is gone; of two that got in, one gives way.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { SheafError } from "../base/index.ts";
import { memoryDisk, memoryEngine } from "../journal/index.ts";
import { app } from "../model/index.ts";
import { memoryStore } from "../shards/index.ts";
import { seeded } from "../sim/random.ts";
import { type SimHost, simHost } from "../sim/sim-host.ts";
import { type Meeting, type Node, startNode } from "./index.ts";
import { code, counter } from "./world.fixture.ts";

type Run = {
  readonly host: SimHost;
  readonly started: Promise<Node>;
  /** Why it was told to stop. */
  replaced: SheafError | undefined;
};

/** Processes on one engine that cannot reach each other's ports, or are told that nothing listens there. */
function theatre() {
  const disk = memoryDisk();
  const first = simHost({ random: seeded(1) });
  const { schedule } = first;
  let runs = 0;
  const run = async <T>(promise: Promise<T>, ms = 60_000): Promise<T> => {
    let settled = false;
    const done = (): void => void (settled = true);
    promise.then(done, done);
    await schedule.run({ done: () => settled, until: schedule.now() + ms });
    return settled ? promise : Promise.reject(new Error(`it has not settled within ${ms} ms`));
  };
  const pass = (ms: number): Promise<void> =>
    schedule.run({ done: () => false, until: schedule.now() + ms }).then(() => undefined);
  const start = (name: string, refused = false): Run => {
    const host = runs++ === 0 ? first : simHost({ schedule, random: seeded(runs) });
    const dial: Meeting["dial"] = (_, end) => {
      const timer = refused ? host.clock.after(1, () => end.failed("nothing listens there", true)) : undefined;
      return () => timer?.cancel();
    };
    const replaced = (error: SheafError): void => void (told.replaced = error);
    const meeting: Meeting = { name, address: `${name}:1`, dial, listen: () => () => {}, replaced };
    const engine = memoryEngine({ disk, clock: host.clock });
    const options = { host, engine, store: memoryStore(), cluster: "tests", shards: 2, create: true, meeting };
    const started = startNode({ ...options, app: app("tests", { entities: [counter] }) });
    started.catch(() => {});
    const told: Run = { host, started, replaced: undefined };
    return told;
  };
  return { schedule, run, pass, start };
}

test("namesake: who starts where another lives under its name is refused, though they do not hear each other", async () => {
  const { run, pass, start } = theatre();
  const first = start("a");
  await run(first.started);
  await assert.rejects(run(start("a").started), (error: SheafError) => {
    assert.match(error.message, /the name a is in the cluster: process \d+ at a:1/);
    assert.match(error.hint ?? "", /--name/);
    return code("IN_USE", "not-applied")(error);
  });
  await pass(5_000);
  assert.equal(first.replaced, undefined, "the first goes on");
  await run(start("b").started);
});

test("namesake: a killed run keeps nobody out longer than a lease, and not at all where nothing listens any more", async () => {
  for (const refused of [false, true]) {
    const { schedule, run, start } = theatre();
    const first = start("a");
    await run(first.started);
    first.host.kill();
    const began = schedule.now();
    const second = start("a", refused);
    await run(second.started);
    const took = schedule.now() - began;
    assert.ok(took < (refused ? 300 : 2_500), `it took ${took} ms of the world's time`);
    assert.equal(second.replaced, undefined);
  }
});

test("namesake: a frozen run that wakes gives way to the one that has started meanwhile, and that one stays", async () => {
  const { run, pass, start } = theatre();
  const first = start("a");
  const node = await run(first.started);
  await pass(2_000);
  first.host.pause();
  await pass(2_000);
  const second = start("a");
  await run(second.started);
  await pass(3_000);
  first.host.resume();
  await pass(10_000);
  assert.equal(first.replaced?.code, "IN_USE");
  assert.equal(node.ready().ok, false);
  assert.equal(second.replaced, undefined);
  const stopped = node.stop();
  await run(stopped);
  await pass(5_000);
  assert.equal((await second.started).ready().ok, true);
});

test("namesake: a run whose clock was ahead and that is over makes nobody give way", async () => {
  const { run, pass, start } = theatre();
  const first = start("a");
  first.host.jump(3_600_000);
  await run(first.started);
  first.host.kill();
  const second = start("a");
  await run(second.started);
  await pass(20_000);
  assert.equal(second.replaced, undefined);
});
