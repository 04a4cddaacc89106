// Timers while one owner after the other is killed, and some stand still: each has its effect once, none early, and soon after it is due (P31).

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity } from "../model/index.ts";
import { simulate, type Simulation } from "./simulate.ts";

const Clock = entity("clock", {
  state: z.object({ rung: z.array(z.object({ n: z.number(), lateMs: z.number() })) }),
  commands: {
    set: { input: z.object({ n: z.number(), ms: z.number() }) },
    ring: { input: z.object({ n: z.number(), due: z.number() }) },
  },
  queries: { rung: { output: z.array(z.object({ n: z.number(), lateMs: z.number() })), consistency: "strong" } },
});
const clocks = app("clocks", {
  entities: [
    Clock.implement({
      initial: () => ({ rung: [] }),
      set({ input: { n, ms }, now, after }) {
        after(ms, "ring", { n, due: now + ms });
      },
      ring({ state, input: { n, due }, now }) {
        state.rung.push({ n, lateMs: now - due });
      },
      rung: ({ state }) => [...state.rung],
    }),
  ],
});

const timers = 2000;
const spanMs = 60_000;
const keys = Array.from({ length: 50 }, (_, n) => `k${n}`);
const killEveryMs = 2_000;
const downMs = 400;
/** Nobody who asks for something all the time, of a key whose owner is killed, was seen to wait longer. */
const takeoverMs = 1_000;

async function killInTurn(world: Simulation<typeof clocks>, until: number): Promise<void> {
  for (let turn = 0; world.now() < until; turn++) {
    world.crash(turn % 3);
    await world.sleep(downMs);
    await world.restart(turn % 3);
    await world.sleep(killEveryMs - downMs);
  }
}

test("timers: two thousand go off once, none early, soon after they are due, though owners are killed and stand still", async () => {
  const limits = { beatMs: 50, followEveryMs: 100, saveEveryMs: 500, appendPatienceMs: 500 };
  const world = await simulate(clocks, { nodes: 3, shards: 8, seed: 5, limits, faults: ["pause"], faultEveryMs: 2000 });
  let rung: { n: number; lateMs: number }[] = [];
  await world.run(async () => {
    await world.sleep(600);
    const client = world.client();
    const begun = world.now();
    const set = Array.from({ length: timers }, (_, n) =>
      client.entity(Clock, keys[n % keys.length]!).set({ n, ms: 1000 + ((n * 7919) % spanMs) }),
    );
    await Promise.all(set);
    await killInTurn(world, begun + spanMs + 2000);
    await world.sleep(2 * takeoverMs);
    rung = (await Promise.all(keys.map((key) => client.entity(Clock, key).rung()))).flat();
  });
  await world.check();
  assert.equal(new Set(rung.map(({ n }) => n)).size, timers, "all went off");
  assert.equal(rung.length, timers, "none went off twice");
  const late = rung.map(({ lateMs }) => lateMs).toSorted((a, b) => a - b);
  assert.ok(late[0]! >= 0, `one went off ${-late[0]!} ms early`);
  const p99 = late[Math.floor(0.99 * timers)]!;
  assert.ok(p99 < 1000 + takeoverMs, `of a hundred one went off ${p99} ms late`);
  assert.ok(late.at(-1)! > 20, "some were due while nobody owned their shard");
});
