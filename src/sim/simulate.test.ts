// Guarantees of simulate(): repeatable, strict, and honest about what went wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity, schedule } from "../model/index.ts";
import { simulate } from "./simulate.ts";
import { faultNames } from "./weather.ts";

const Counter = entity("counter", {
  state: z.object({ count: z.number().int() }),
  commands: { add: { output: z.number() }, leak: {}, leakAt: { input: z.string() } },
  queries: { read: { output: z.number(), consistency: "strong" } },
});
const counter = Counter.implement({
  initial: () => ({ count: 0 }),
  add: ({ state }) => ++state.count,
  leak: ({ state }) => void (state.count = Date.now()),
  leakAt: ({ state }) => void (state.count = Math.random()),
  read: ({ state }) => state.count,
});
const counting = app("counting", { entities: [counter] });

/** Twenty additions by two callers under every fault; the digest and what each caller saw. */
async function play(seed: number): Promise<{ digest: string; seen: string[]; final: number }> {
  const world = await simulate(counting, { nodes: 3, seed, faults: faultNames, faultEveryMs: 20 });
  await world.run(async () => {
    const callers = [world.client(), world.client()];
    await Promise.all(
      callers.map(async (client) => {
        for (let i = 0; i < 10; i++) {
          await client
            .entity(Counter, "a")
            .add()
            .catch(() => undefined);
          await world.sleep(5);
        }
      }),
    );
  });
  await world.heal();
  const final = await world.client().entity(Counter, "a").read();
  await world.check();
  return { digest: world.digest(), seen: world.history.map((call) => call.error ?? String(call.output)), final };
}

test("simulate: one seed is one history, whatever goes wrong in it; another seed is another", async () => {
  const first = await play(3);
  assert.deepEqual(await play(3), first);
  assert.notEqual((await play(4)).digest, first.digest);
});

test("simulate: every answered addition counts once, under every fault at once", async () => {
  for (let seed = 10; seed < 12; seed++) {
    const { seen, final } = await play(seed);
    const answered = seen.slice(0, 20).filter((said) => /^\d+$/.test(said)).length;
    assert.ok(final >= answered && final <= 20, `seed ${seed}: ${answered} answered, ${final} counted`);
  }
});

test("simulate: a node that crashed answers again after it restarts, with everything it acknowledged", async () => {
  const world = await simulate(counting);
  const face = world.client().entity(Counter, "a");
  await face.add();
  world.crash();
  await world.restart();
  assert.equal(await face.read(), 1);
});

test("simulate: an app whose schedule never rests is checked as any other", async () => {
  const Clock = entity("clock", { state: z.object({ n: z.number() }), commands: { tick: {} } });
  const clock = Clock.implement({ initial: () => ({ n: 0 }), tick: ({ state }) => void state.n++ });
  const ticks = schedule("ticks", { every: "20ms" }).into(Clock, "tick", () => ({ key: "k" }));
  const world = await simulate(app("clocks", { entities: [clock], schedules: [ticks] }), { nodes: 3, seed: 1 });
  await world.run(() => world.sleep(300));
  const audits = await world.check();
  assert.ok(audits.some(({ records }) => records > 10));
});

test("simulate: virtual time costs no real time", async () => {
  const world = await simulate(counting);
  const began = world.now();
  await world.run(() => world.sleep(60_000));
  assert.ok(world.now() >= began + 60_000);
});

test("simulate: a handler that asks the real clock or dice fails, by name; the test itself may go on using them", async () => {
  const world = await simulate(counting);
  const client = world.client();
  await assert.rejects(client.entity(Counter, "a").leak(), { code: "HANDLER_FAILED" });
  await assert.rejects(client.entity(Counter, "a").leakAt("x"), { code: "HANDLER_FAILED" });
  const said = world.log.map((line) => JSON.stringify(line.fields));
  for (const name of ["Date.now()", "Math.random"])
    assert.ok(said.some((line) => line.includes(`${name} was used inside a simulation`)));
  assert.ok(Date.now() > 0 && Math.random() < 1);
  assert.equal(await client.entity(Counter, "a").read(), 0);
});

test("simulate: a fault that does not exist is refused, and the message lists those that do", async () => {
  await assert.rejects(
    simulate(counting, { faults: ["gremlins" as never] }),
    (error: Error & { code?: string; hint?: string }) => {
      assert.equal(error.code, "USAGE");
      assert.match(error.message, /gremlins/);
      for (const name of faultNames) assert.ok(error.hint?.includes(name));
      return true;
    },
  );
});

test("simulate: a failing workload names the seed, the last calls and the command that repeats it", async () => {
  const world = await simulate(counting, { seed: 77 });
  await assert.rejects(
    world.run(async () => {
      await world.client().entity(Counter, "a").add();
      throw new Error("not what I expected");
    }),
    (error: Error) => {
      assert.match(error.message, /not what I expected/);
      assert.match(error.message, /seed 77/);
      assert.match(error.message, /counter\/a\/add/);
      assert.match(error.message, /SHEAF_SEED=77 node --test .*simulate\.test\.ts/);
      return true;
    },
  );
});

test("simulate: a wait that nothing can ever end is reported, not waited for", async () => {
  const world = await simulate(counting);
  await assert.rejects(
    world.run(() => new Promise(() => undefined)),
    /nothing came of it/,
  );
});
