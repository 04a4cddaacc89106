// What a counter promises.

import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate, testApp } from "sheaf/testing";
import app from "./app.ts";
import { Counter } from "./contracts.ts";

test("counter: adds up, and starts again from nothing when reset", async () => {
  await using counters = await testApp(app);
  await counters.entity(Counter, "visits").add({ by: 2 });
  assert.deepEqual(await counters.entity(Counter, "visits").add({ by: 3 }), { count: 5 });
  await counters.entity(Counter, "visits").reset();
  assert.equal(await counters.entity(Counter, "visits").current(), 0);
});

test("counter: counts what was acknowledged, through crashes", async () => {
  const world = await simulate(app, { seed: 7, faults: ["crash"] });
  await world.run(async () => {
    const visits = world.client().entity(Counter, "visits");
    for (let i = 0; i < 20; i++) await visits.add({ by: 1 });
    assert.equal(await visits.current(), 20);
  });
  await world.check();
});
