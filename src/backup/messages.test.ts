// Messages and timers that are under way while a backup is taken.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type Engine, memoryDisk } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import { world, type World } from "../node/world.fixture.ts";
import { memoryStore } from "../shards/index.ts";
import { restoreBackup, takeBackup } from "./index.ts";
import { engineOn, memoryFolder } from "./kept.fixture.ts";

const Till = entity("till", {
  state: z.object({ cents: z.number().int(), rung: z.number().int() }),
  commands: {
    pay: { input: z.object({ to: z.string(), hops: z.number() }) },
    take: { input: z.object({ to: z.string(), hops: z.number() }) },
    later: { input: z.number() },
    ring: {},
  },
  queries: { look: { output: z.object({ cents: z.number(), rung: z.number() }) } },
});
const till = Till.implement({
  initial: () => ({ cents: 0, rung: 0 }),
  pay({ state, key, input: { to, hops }, send }) {
    state.cents--;
    send.entity(Till, to).take({ to: key, hops });
  },
  take({ state, key, input: { to, hops }, send }) {
    if (hops === 0) state.cents++;
    else send.entity(Till, to).take({ to: key, hops: hops - 1 });
  },
  later: ({ input, after }) => void after(input, "ring", { id: "x" }),
  ring: ({ state }) => void state.rung++,
  look: ({ state: { cents, rung } }) => ({ cents, rung }),
});
const tills = app("tills", { entities: [till] });
const keys = Array.from({ length: 8 }, (_, i) => `k${i}`);
const target = (key: string, name: string) =>
  ({ kind: name === "look" ? "query" : "command", entity: "till", key, name }) as const;

/** Sums of what all tills hold, and how often they rang. */
async function sums(w: World): Promise<{ cents: number; rung: number }> {
  const all = { cents: 0, rung: 0 };
  for (const key of keys) {
    const { output } = await w.ask(key, "look", undefined, { target: target(key, "look") });
    const { cents, rung } = output as typeof all;
    all.cents += cents;
    all.rung += rung;
  }
  return all;
}

test("backup: what is under way when it is taken is carried out once after a restore, and lanes go on", async () => {
  let underWay = 0;
  for (const moment of [5, 20, 45, 80, 120, 170]) {
    const slow: World["host"]["clock"][] = [];
    const before = (engine: Engine): Engine => ({
      ...engine,
      async append(batch) {
        await new Promise<void>((resolve) => (slow[0] ? void slow[0].after(7, resolve) : resolve()));
        return engine.append(batch);
      },
    });
    const w = await world({ app: tills, shards: 4, before });
    slow.push(w.host.clock);
    for (const [i, key] of keys.entries()) {
      await w.ask(key, "later", 3000, { target: target(key, "later") });
      for (let n = 0; n < 5; n++)
        void w.send(key, "pay", { to: keys[(i + n + 1) % 8], hops: n * 3 }, { target: target(key, "pay") });
    }
    await w.pass(moment);
    const folder = memoryFolder();
    await w.run(takeBackup({ engine: engineOn(w), folder, host: w.host, version: "test" }));
    const disk = memoryDisk();
    await w.run(restoreBackup({ engine: engineOn({ disk, host: w.host }), folder, host: w.host, key: undefined }));
    const again = await world({ app: tills, shards: 4, store: memoryStore(), from: { ...w, disk } });
    if ((await sums(again)).cents !== 0) underWay++;
    await again.pass(10_000);
    assert.deepEqual(await sums(again), { cents: 0, rung: 8 }, `after ${moment} ms`);
    // Every lane takes what is sent from now on.
    for (const from of keys)
      for (const to of keys) await again.ask(from, "pay", { to, hops: 1 }, { target: target(from, "pay") });
    await again.pass(5000);
    assert.deepEqual(await sums(again), { cents: 0, rung: 8 });
  }
  assert.ok(underWay > 0, "something was under way");
});
