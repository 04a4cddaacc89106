import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SheafError } from "../base/index.ts";
import { forbidGlobals } from "../sim/strict-globals.ts";
import type { Timing } from "./shape.ts";
import { cronTiming, dueAfter, dueUpTo, everyTiming } from "./timing.ts";

const vienna = (cron: string): Timing => cronTiming("it", cron, "Europe/Vienna");

/** The next times after a moment, in ISO 8601 to the minute. */
function next(timing: Timing, from: string, count: number): string[] {
  const times: string[] = [];
  for (let at: number | undefined = Date.parse(from); times.length < count;) {
    at = dueAfter(timing, at);
    if (at === undefined) break;
    times.push(new Date(at).toISOString().slice(0, 16));
  }
  return times;
}

test("cron: a time of day follows the clocks of its zone through both changes of the year", () => {
  const three = vienna("0 3 * * *");
  assert.deepEqual(next(three, "2026-03-27T12:00:00Z", 3), [
    "2026-03-28T02:00",
    "2026-03-29T01:00",
    "2026-03-30T01:00",
  ]);
  assert.deepEqual(next(three, "2026-10-23T12:00:00Z", 3), [
    "2026-10-24T01:00",
    "2026-10-25T02:00",
    "2026-10-26T02:00",
  ]);
});

test("cron in March (C2): what falls into the hour that is skipped is due once, right after it", () => {
  for (const cron of ["30 2 * * *", "30 2-2 * * *"])
    assert.deepEqual(next(vienna(cron), "2026-03-28T12:00:00Z", 2), ["2026-03-29T01:00", "2026-03-30T00:30"], cron);
  assert.deepEqual(next(vienna("30 2,14 * * *"), "2026-03-28T20:00:00Z", 3), [
    "2026-03-29T01:00",
    "2026-03-29T12:30",
    "2026-03-30T00:30",
  ]);
  assert.deepEqual(next(vienna("*/30 * * * *"), "2026-03-29T00:00:00Z", 4), [
    "2026-03-29T00:30",
    "2026-03-29T01:00",
    "2026-03-29T01:30",
    "2026-03-29T02:00",
  ]);
});

test("cron in October (C2): what falls into the hour that comes twice is due once; every half an hour goes on", () => {
  assert.deepEqual(next(vienna("30 2 * * *"), "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30", "2026-10-26T01:30"]);
  assert.deepEqual(next(vienna("30 2,14 * * *"), "2026-10-24T20:00:00Z", 3), [
    "2026-10-25T00:30",
    "2026-10-25T13:30",
    "2026-10-26T01:30",
  ]);
  assert.deepEqual(next(vienna("*/30 * * * *"), "2026-10-24T23:30:00Z", 6), [
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
    "2026-10-25T02:00",
    "2026-10-25T02:30",
  ]);
});

test("cron: seconds may come first, and a month may have no such day", () => {
  const seconds = vienna("*/20 * * * * *");
  assert.equal(dueAfter(seconds, 1_000_000_000_000), 1_000_000_020_000 - (1_000_000_000_000 % 20_000));
  assert.deepEqual(next(vienna("0 0 31 * *"), "2026-02-01T00:00:00Z", 2), ["2026-03-30T22:00", "2026-05-30T22:00"]);
});

const timings = [
  ...["0 3 * * *", "*/5 * * * *", "30 2 * * *", "0 12 1 * 1", "*/7 * * * * *"].map(vienna),
  cronTiming("it", "0 0 * * *", "America/St_Johns"),
  everyTiming("it", "7m"),
  everyTiming("it", 25),
];
const moments = fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2035, 0, 1) });

test("a timing: what is due next was the last when its time has come, nothing lies between", () => {
  fc.assert(
    fc.property(fc.constantFrom(...timings), moments, (timing, at) => {
      const due = dueAfter(timing, at)!;
      assert(due > at);
      assert.equal(dueUpTo(timing, due), due);
      const before = dueUpTo(timing, due - 1)!;
      assert(before <= at, `${before} lies between ${at} and ${due}`);
      assert.equal(dueAfter(timing, before), due);
    }),
    { numRuns: 500 },
  );
});

test("a timing: it asks no clock (C1)", () => {
  const allow = forbidGlobals();
  try {
    for (const cron of ["1 4 * * *", "@daily", "0 0 L * 5"]) {
      const timing = vienna(cron);
      assert(dueAfter(timing, 1_800_000_000_000)! > dueUpTo(timing, 1_800_000_000_000)!);
    }
  } finally {
    allow();
  }
});

test("cron: what is no pattern, is never due or reads the clock is refused with a reason", () => {
  const refused = (cron: unknown, zone: unknown, says: RegExp): void => {
    assert.throws(
      () => cronTiming("schedule x", cron, zone),
      (error) => error instanceof SheafError && error.code === "USAGE" && says.test(error.message),
      `${String(cron)} ${String(zone)}`,
    );
  };
  for (const cron of ["", "x", "0 3 * *", "61 * * * *", "* * * * * * *", "? 3 * * *", "2030-01-01T00:00:00", 5, null])
    refused(cron, "UTC", /^schedule x: .* is no cron pattern/);
  refused("0 0 30 2 *", "UTC", /never due/);
  for (const zone of ["Mars/Olympus", "", 5, null]) refused("0 3 * * *", zone, /no time zone/);
});

test("an interval: whole milliseconds or a text, from ten milliseconds to a year", () => {
  for (const [every, everyMs] of [
    ["10ms", 10],
    ["90s", 90_000],
    ["5m", 300_000],
    ["12h", 43_200_000],
    ["1d", 86_400_000],
    [1000, 1000],
  ] as const)
    assert.deepEqual(everyTiming("it", every), { cron: null, zone: null, everyMs });
  for (const every of ["5 m", "m", "5w", "", "1.5h", "9ms", "400d", 0, -1, 1.5, NaN, null, {}])
    assert.throws(() => everyTiming("it", every), { code: "USAGE" }, JSON.stringify(every));
});
