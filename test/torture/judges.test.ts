// What is judged, and that it can be red: timers, letters and jobs, whether enough was seen, and clocks that are to be wrong.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { isExplained } from "./booking.ts";
import { type Sending, postProblems } from "./deliveries.ts";
import { reportOf, textOf } from "./report.ts";
import { settableClock } from "./settable-clock.ts";
import type { Stretch } from "./tally.ts";
import { judgeTimers, type Ring } from "./timers.ts";
import { emptiness, type Outcome } from "./torture.ts";

const stretch = (fault: string, more: Partial<Stretch> = {}): Stretch => ({
  fault,
  number: 0,
  at: 0,
  aheadMs: 0,
  calls: 900,
  answered: 800,
  failed: 1,
  failedEarly: 0,
  inFlight: 20,
  takeovers: 1,
  silentMs: 120,
  failures: new Map(),
  violations: [],
  ...more,
});
const seen = { registers: 900, sets: 900, bank: 900, messages: 900, events: 900, counters: 900, sessions: 900 };
const outcome = (more: Partial<Outcome> = {}): Outcome => ({
  stretches: [stretch("none"), stretch("kill")],
  notRun: new Map(),
  seen,
  timing: judgeTimers([], []),
  journal: { records: 9, voided: 0, problems: [] },
  tooLittle: [],
  ...more,
});

test("torture: one violation, in what callers were told or in a journal, is red and told", () => {
  assert.ok(reportOf(outcome()).isGreen);
  const told = reportOf(outcome({ stretches: [stretch("none"), stretch("kill", { violations: ["sets: lost"] })] }));
  assert.deepEqual([told.isGreen, told.verdict], [false, "1 VIOLATIONS"]);
  assert.match(textOf(told), /VIOLATION {2}kill, strike 0: sets: lost/);
  const journal = { records: 9, voided: 0, problems: ["shard 0: broken"] };
  assert.equal(reportOf(outcome({ journal })).isGreen, false);
});

test("torture: a run that saw too little is red, and says what it did not see", () => {
  const good = [stretch("none"), stretch("kill")];
  assert.deepEqual(emptiness(good, ["kill"], seen, false), []);
  const poor: [readonly Stretch[], readonly string[], RegExp][] = [
    [
      [stretch("none", { answered: 399 }), stretch("kill")],
      ["kill"],
      /only 99 calls a second were answered while nothing/,
    ],
    [[stretch("none"), stretch("kill", { answered: 2 })], ["kill"], /only 2 calls were answered in strike/],
    [
      [stretch("none"), stretch("kill", { inFlight: 19 })],
      ["kill"],
      /only 19 were under way when strike 0, kill, came/,
    ],
    [[...good, stretch("kill", { takeovers: 0 })], ["kill"], /nobody took anything over in strike 0, kill/],
    [[...good, stretch("kill", { takeovers: undefined })], ["kill"], /nobody took anything over/],
    [good, ["kill", "pause"], /pause never struck/],
    [[stretch("none")], [], /no fault struck/],
  ];
  for (const [stretches, asked, says] of poor) assert.match(emptiness(stretches, asked, seen, false).join(), says);
  assert.match(emptiness(good, ["kill"], { ...seen, bank: 2 }, false).join(), /only 2 bank were checked/);
  const report = reportOf(outcome({ tooLittle: ["nothing was seen"] }));
  assert.equal(report.isGreen, false);
  assert.match(textOf(report), /TOO LITTLE {2}nothing was seen\n.*SAW TOO LITTLE$/);
});

test("torture: a fault that this machine does not allow has a row that says why", () => {
  const report = reportOf(outcome({ notRun: new Map([["power", "this machine mounts no disk"]]) }));
  assert.match(textOf(report), /^power +not run: this machine mounts no disk$/m);
});

/** A hundred timers, one a second, set at once, that went off so late. */
const rings = (lateMs: (n: number) => number): Ring[] =>
  Array.from({ length: 100 }, (_, n) => ({ earliest: n * 1_000, due: n * 1_000 + 2, at: n * 1_000 + 2 + lateMs(n) }));
/** Nothing until 50 s, and then a kill that kept callers waiting for so long. */
const kept = (silentMs: number): Stretch[] => [
  stretch("none", { silentMs: 20 }),
  stretch("kill", { at: 50_000, silentMs }),
];

test("R2: timers that are late for more than a second longer than callers went unanswered are a violation", () => {
  assert.deepEqual(
    judgeTimers(
      rings(() => 3),
      kept(20),
    ).problems,
    [],
  );
  const late = rings((n) => (n >= 90 ? 4_000 : 3));
  assert.deepEqual(judgeTimers(late, kept(3_500)).problems, []);
  const { problems, beyond } = judgeTimers(late, kept(2_500));
  assert.match(problems.join(), /one in a hundred went off 1500 ms later than callers went unanswered, over 1000 ms/);
  assert.deepEqual(beyond, { p50: 0, p99: 1_500, worst: 1_500 });
  // What a strike explains is no excuse before it.
  assert.equal(
    judgeTimers(
      rings((n) => (n < 10 ? 4_000 : 3)),
      kept(3_500),
    ).problems.length,
    1,
  );
  const report = reportOf(outcome({ timing: judgeTimers(late, kept(2_500)) }));
  assert.deepEqual([report.isGreen, report.verdict], [false, "1 VIOLATIONS"]);
  assert.match(textOf(report), /^timers: 100 went off, late by p50 3, p99 4000, worst 4000 ms; less .* p99 1500,/m);
  assert.match(textOf(report), /^VIOLATION {2}timers: one in a hundred/m);
});

test("R1: a timer that goes off early is a violation, but for what a clock was ahead before", () => {
  const early = rings((n) => (n === 60 ? -300 : 3));
  assert.match(
    judgeTimers(early, kept(20)).problems.join(),
    /one went off 298 ms early, and no clock was ahead by more than 0 ms/,
  );
  const struck = (at: number): Stretch[] => [stretch("none"), stretch("clock", { at, aheadMs: 5_000 })];
  assert.deepEqual(judgeTimers(early, struck(50_000)).problems, []);
  assert.deepEqual(judgeTimers(early, kept(20), () => 298).problems, []);
  assert.equal(judgeTimers(early, kept(20), () => 290).problems.length, 1);
  assert.equal(judgeTimers(early, struck(70_000)).problems.length, 1);
});

const sending = (id: string, more: Partial<Sending> = {}): Sending => ({
  what: "letter",
  box: "a",
  id,
  isPoison: false,
  start: 0,
  end: 10,
  outcome: "applied",
  ...more,
});

test("letters and jobs: one that is lost, doubled, made up, out of order or wrongly given up is told", () => {
  const sent = [sending("1"), sending("2", { start: 11, end: 20 }), sending("3", { outcome: "unknown" })];
  const poison = sending("bad", { isPoison: true });
  const gone = [{ id: "bad", cause: "POISON" }];
  const judged = (
    post: Record<string, number>,
    letters: readonly string[],
    given: readonly { id: string; cause: string }[] = [],
    of: readonly Sending[] = sent,
  ): string => {
    const { wrong, missing } = postProblems(of, post, letters, given);
    return [...wrong.map((each) => `wrong: ${each}`), ...missing.map((each) => `missing: ${each}`)].join();
  };
  assert.equal(judged({ 1: 1, 2: 1 }, ["1", "2"]), "");
  assert.equal(judged({ 1: 1, 2: 1, 3: 1 }, ["3", "1", "2"]), "");
  assert.equal(judged({ 2: 1 }, ["2"]), "missing: 1 never came");
  assert.equal(judged({ 1: 1, 2: 2 }, ["1", "2"]), "wrong: 2 came 2 times");
  assert.equal(judged({ 1: 1, 2: 1, 9: 1 }, ["1", "2"]), "wrong: 9 was never sent, and came");
  assert.equal(judged({ 1: 1, 2: 1 }, ["2", "1"]), "wrong: 1 came behind 2, which was sent later");
  assert.equal(judged({ 1: 1, 2: 1 }, ["1", "2"], [{ id: "2", cause: "X" }]), "wrong: 2 was given up: X");
  assert.equal(
    judged({ 1: 1 }, ["1"], [], [sending("1", { outcome: "not-applied" })]),
    "wrong: 1 was refused, and came",
  );
  assert.equal(judged({}, [], gone, [poison]), "");
  assert.equal(judged({}, [], [], [poison]), "missing: bad never was given up");
  assert.equal(judged({ bad: 1 }, ["bad"], gone, [poison]), "wrong: bad is poison, and came");
  assert.equal(judged({}, [], [...gone, ...gone], [poison]), "wrong: bad was given up 2 times");
});

test("clock: a process goes by the wall clock that is set for it, and its monotonic clock stays right", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sheaf-clock-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const clock = settableClock(join(folder, "clock"));
  const tell = "setInterval(() => console.log(Date.now(), performance.timeOrigin + performance.now()), 5)";
  const child = spawn(process.execPath, [...clock.flags, "--eval", tell], { env: { ...process.env, ...clock.env } });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  /** How far it is ahead of its own monotonic clock, by what it says from now on. */
  const aheadMs = async (): Promise<number> => {
    for (const since = Date.now(); ;) {
      const [wall = 0, right = 0] = String((await lines.next()).value)
        .split(" ")
        .map(Number);
      if (right > since) return wall - right;
    }
  };
  const near = (found: number, ms: number): void => assert.ok(Math.abs(found - ms) < 1_000, `${found}, not ${ms}`);
  near(await aheadMs(), 0);
  for (const offsetMs of [3_600_000, -300_000]) {
    await clock.set({ offsetMs, rate: 1 });
    near(await aheadMs(), offsetMs);
  }
  await clock.set({ offsetMs: 0, rate: 1_000_000 });
  const before = await aheadMs();
  assert.ok((await aheadMs()) > before + 1_000, "it does not run fast");
});

test("R2: a hold of the box office that ends late is excused by callers who went unanswered, and by nothing else", () => {
  const hold = { says: "late: ann had seat 3", lateMs: 3_000, seenAt: 52_000 };
  assert.equal(isExplained(hold, kept(2_500)), true);
  assert.equal(isExplained(hold, kept(1_500)), false);
  assert.equal(isExplained({ ...hold, seenAt: 40_000 }, kept(2_500)), false);
});
