// Whatever is asked for, and whenever: no more begins in a span of time than the rate says, and no less where enough is asked for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "../sim/random.ts";
import { Pace, type Rate, togetherMs } from "./pace.ts";

/** When jobs begin, of askers that each ask again as soon as what they were given is over. */
function begun(seed: number, rate: Rate, askers: number, forMs: number): number[] {
  const random = seeded(seed);
  const pace = new Pace(rate, 0);
  const times: number[] = [];
  const asks = Array.from({ length: askers }, () => random.float() * 5);
  for (;;) {
    const at = Math.min(...asks);
    if (at >= forMs) return times.sort((a, b) => a - b);
    const { jobs, waitMs } = pace.take(rate, 1 + random.below(20), at);
    for (let i = 0; i < jobs; i++) times.push(at + waitMs);
    asks[asks.indexOf(at)] = at + waitMs + random.float() * 2;
  }
}

test("pace P1: in any span of the rate at most its jobs begin, and what falls into a moment; and nearly that many do", () => {
  const rates = [
    { jobs: 1, perMs: 1000 },
    { jobs: 7, perMs: 300 },
    { jobs: 50, perMs: 1000 },
    { jobs: 3000, perMs: 1000 },
  ];
  for (const rate of rates)
    for (let seed = 1; seed <= 20; seed++) {
      const times = begun(seed, rate, 1 + (seed % 9), 10 * rate.perMs);
      const most = rate.jobs + Math.floor((togetherMs * rate.jobs) / rate.perMs);
      for (let i = most; i < times.length; i++)
        assert.ok(times[i]! - times[i - most]! >= rate.perMs - 1e-6, `${rate.jobs}, seed ${seed}: ${times[i]}`);
      assert.ok(times.length >= 8 * rate.jobs, `${rate.jobs}, seed ${seed}: only ${times.length}`);
    }
});

test("pace P2, P3: neither an idle time nor a new owner lets more begin at once", () => {
  const rate = { jobs: 10, perMs: 1000 };
  const pace = new Pace(rate, 0);
  assert.deepEqual(pace.take(rate, 5, 0), { jobs: 1, waitMs: 100 });
  assert.deepEqual(pace.take(rate, 5, 60_000), { jobs: 1, waitMs: 0 });
  assert.deepEqual(pace.take(rate, 5, 60_000), { jobs: 1, waitMs: 100 });
  assert.deepEqual(pace.take(rate, 5, 60_000), { jobs: 1, waitMs: 200 });
  assert.deepEqual(pace.take(rate, 5, 60_000), { jobs: 0, waitMs: 50 });
});
