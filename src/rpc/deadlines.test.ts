import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadlines } from "./index.ts";
import { seeded, StillClock } from "./pair.fixture.ts";

function watched(): {
  clock: StillClock;
  deadlines: Deadlines;
  add(deadline: number): void;
  ended: { deadline: number; at: number }[];
  looks(): number;
} {
  const clock = new StillClock();
  const left = new Set<number>();
  const ended: { deadline: number; at: number }[] = [];
  let looks = 0;
  const deadlines = new Deadlines(clock, (now) => {
    looks++;
    for (const deadline of left) {
      if (deadline > now) continue;
      left.delete(deadline);
      ended.push({ deadline, at: now });
    }
    return Math.min(Infinity, ...left);
  });
  const add = (deadline: number): void => {
    left.add(deadline);
    deadlines.add(deadline);
  };
  return { clock, deadlines, add, ended, looks: () => looks };
}

test("deadlines: an earlier one that comes later is still kept", async () => {
  const { clock, add, ended } = watched();
  add(10_000);
  add(500);
  await clock.advance(600);
  assert.deepEqual(
    ended.map(({ deadline }) => deadline),
    [500],
  );
  await clock.advance(9_500);
  assert.deepEqual(
    ended.map(({ deadline }) => deadline),
    [500, 10_000],
  );
});

test("deadlines: each is noticed when it is past, never before, at most 16 ms late", async () => {
  const { clock, add, ended } = watched();
  const random = seeded(3);
  for (let i = 0; i < 500; i++) {
    add(clock.tick() + random() * 1000);
    if (i % 10 === 0) await clock.advance(random() * 20);
  }
  await clock.advance(2_000);
  assert.equal(ended.length, 500);
  for (const { deadline, at } of ended) assert.ok(at >= deadline && at <= deadline + 16, `${deadline} at ${at}`);
});

test("deadlines: many near each other cost few looks, and none is left over", async () => {
  const { clock, add, looks } = watched();
  for (let i = 0; i < 1000; i++) add(100 + i / 100);
  await clock.advance(200);
  assert.ok(looks() <= 6, `${looks()} looks`);
  assert.equal(clock.timers, 0);
});

test("deadlines: none is noticed after stop", async () => {
  const { clock, deadlines, add, ended } = watched();
  add(100);
  deadlines.stop();
  await clock.advance(200);
  assert.deepEqual([ended, clock.timers], [[], 0]);
});
