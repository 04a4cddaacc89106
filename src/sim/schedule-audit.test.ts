// Guarantees of the audit of schedules: each thing that may be wrong with them is found in journals made by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Commit, Decoded, Work } from "../journal/index.ts";
import type { ScheduledRun } from "../model/index.ts";
import { pack } from "../wire/index.ts";
import { checkRolls, nameOf, ScheduleAudit } from "./schedule-audit.ts";
import { schedulesApp } from "./schedules-app.ts";

type Timer = Work["timers"][number];
const nothing = new Uint8Array(0);
const hash = new Uint8Array(32);
const set = (due: number | undefined): Timer => ({
  name: "next",
  ...(due !== undefined && { due }),
  command: "fire",
  input: nothing,
  by: [],
});
const runAt = (at: number, number: number, asked = false): ScheduledRun => ({ at, number, asked });
const begun = (run: ScheduledRun): Timer => ({
  name: `run ${run.number}`,
  due: 0,
  command: "make",
  input: pack(run),
  by: [],
});

type Step = {
  readonly at: number;
  readonly command: string;
  readonly timers?: Timer[];
  readonly runs?: ScheduledRun[];
};

/** What is found in a journal of one schedule, which has one record for each step. */
function audited(name: string, ...steps: readonly Step[]): ScheduleAudit {
  const audit = new ScheduleAudit(schedulesApp([]).schedules ?? []);
  steps.forEach(({ at, command, timers = [], runs = [] }, i) => {
    const to = (run: ScheduledRun): Work["messages"][number] => {
      return { to: 0, type: "roll", key: "r", command: "mark", input: pack({ ...run, name }), by: [] };
    };
    const commit: Commit = {
      type: "sheaf.schedule",
      key: name,
      version: i + 1,
      state: nothing,
      schema: 1,
      command,
      principal: "sheaf",
      events: [],
      op: undefined,
      work: { messages: runs.map(to), timers },
    };
    const header = { cluster: "c", shard: 0, generation: 1, epoch: 1, seq: i + 1, prev: hash, at };
    audit.apply({ header, payload: { kind: "batch", commits: [commit] }, hash } satisfies Decoded);
  });
  return audit;
}
const problems = (name: string, ...steps: readonly Step[]): string => audited(name, ...steps).problems.join("; ");
const follow: Step = { at: 990, command: "follow", timers: [set(1000)] };
const fire = (at: number, next: number | undefined, ...runs: readonly ScheduledRun[]): Step => ({
  at,
  command: "fire",
  timers: [...runs.map(begun), set(next)],
});

test("schedule audit: what is begun at its times, by each policy, is no problem", () => {
  const [a, b, c] = [runAt(1000, 1), runAt(1025, 2), runAt(1050, 3)];
  const made: Step = { at: 1061, command: "make", runs: [a, c] };
  assert.equal(problems("all", follow, fire(1060, 1075, a, b, c), made), "");
  assert.equal(problems("one", follow, fire(1065, 1080, runAt(1060, 1)), fire(1080, 1100, runAt(1080, 2))), "");
  const late = { ...follow, timers: [set(990)] };
  assert.equal(problems("skip", late, fire(1010, 1020, runAt(990, 1))), "");
  assert.equal(problems("skip", follow, { at: 1001, command: "pause", timers: [set(undefined)] }), "");
});

test("schedule audit: Z1 what is left out, begun again or begun at another time is found", () => {
  assert.match(
    problems("all", follow, fire(1060, 1075, runAt(1050, 1))),
    /1000, 1025, 1050 were to be begun, 1050 were/,
  );
  assert.match(problems("one", follow, fire(1065, 1080)), /1060 were to be begun, none were/);
  assert.match(problems("one", follow, fire(1005, 1020, runAt(980, 1))), /1000 were to be begun, 980 were/);
  const again: Step = { at: 1010, command: "follow", timers: [set(1000)] };
  assert.match(problems("one", follow, fire(1005, 1020, runAt(1000, 1)), again), /1000 is due again after 1000/);
  assert.match(
    problems("one", follow, fire(1005, 1010, runAt(1000, 1))),
    /1000 was due, the time is 1005, and 1010 is/,
  );
  assert.match(problems("one", fire(1005, 1020, runAt(1000, 1))), /due without having been set/);
});

test("schedule audit: Z2 what is begun before it is due is found", () => {
  assert.match(problems("one", follow, fire(1005, 1040, runAt(1020, 1))), /begun 15 ms before it is due/);
  assert.match(
    problems("one", follow, fire(1005, 1040, runAt(1020, 1))),
    /1000 was due, the time is 1005, and 1040 is/,
  );
});

test("schedule audit: Z3 a gap in the numbers, and what is carried out twice or never begun, is found", () => {
  const run = runAt(1000, 1);
  assert.match(problems("one", follow, fire(1005, 1020, runAt(1000, 2))), /run 2 is begun after 0/);
  const make: Step = { at: 1006, command: "make", runs: [run] };
  assert.match(problems("one", follow, fire(1005, 1020, run), make, make), /run 1 of 1000 is carried out twice/);
  assert.match(problems("one", follow, make), /run 1 of 1000 is carried out, which was not begun/);
});

test("schedule audit: what the rolls have twice, not at all, of another time or without a run is found", () => {
  const run = runAt(1000, 1);
  const audit = audited("one", follow, fire(1005, 1020, run));
  const mark = { ...run, name: "one" };
  const wrong = (...given: Parameters<typeof checkRolls>): string => checkRolls(...given).join("; ");
  assert.equal(wrong([audit], [mark], new Set()), "");
  assert.equal(wrong([audit], [], new Set([nameOf("one", 1)])), "");
  assert.match(wrong([audit], [], new Set()), /run 1 of one of 1000 never took effect/);
  assert.match(wrong([audit], [mark, mark], new Set()), /on the roll twice/);
  assert.match(wrong([audit], [{ ...mark, at: 980 }], new Set()), /is of 1000 and took effect as of 980/);
  assert.match(
    wrong([audit], [mark, { ...mark, number: 2 }], new Set()),
    /run 2 of one is on the roll and was never begun/,
  );
  const twice = audited("one", follow, fire(1005, 1020, run), {
    at: 1006,
    command: "run",
    timers: [begun(runAt(1000, 2))],
  });
  const both = [mark, { ...mark, number: 2 }];
  assert.match(wrong([twice], both, new Set()), /one at 1000 was begun twice/);
});
