// Follows in a journal what schedules begin, by a model of its own, and says what is wrong with it.
//
// Z1. Each time that was due is begun once or passed over once; what is passed over, the policy says.
// Z2. Nothing is begun before it is due, in the time of its shard.
// Z3. Runs are numbered without a gap, and each is carried out once, as it was begun.

import type { Instant, Millis } from "../base/index.ts";
import type { Commit, Decoded } from "../journal/index.ts";
import type { ScheduledRun, ScheduleShape } from "../model/index.ts";
import { unpack } from "../wire/index.ts";
import { Roll, type Mark } from "./schedules-app.ts";

const scheduleType = "sheaf.schedule";
/** Of very many that were missed the last ones are made up for. */
const mostMissed = 100;
const lateMs: Millis = 60_000;

type Followed = { next: Instant | undefined; lastDue: Instant; number: number; readonly runs: Map<number, Begun> };
export type Begun = { readonly run: ScheduledRun; sent: number };

export class ScheduleAudit {
  readonly problems: string[] = [];
  readonly followed = new Map<string, Followed>();
  readonly #shapes: ReadonlyMap<string, ScheduleShape>;

  constructor(shapes: readonly ScheduleShape[]) {
    this.#shapes = new Map(shapes.map((shape) => [shape.name, shape]));
  }

  apply({ header: { at }, payload }: Decoded): void {
    if (payload.kind !== "batch") return;
    for (const commit of payload.commits) if (commit.type === scheduleType) this.#commit(commit, at);
  }

  #commit({ key, command, work }: Commit, at: Instant): void {
    let one = this.followed.get(key);
    if (!one) this.followed.set(key, (one = { next: undefined, lastDue: 0, number: 0, runs: new Map() }));
    const problem = (says: string): void => void this.problems.push(`schedule ${key}, ${command}: ${says}`);
    const begun: ScheduledRun[] = [];
    let next = one.next;
    for (const { name, due, command: what, input } of work?.timers ?? []) {
      if (name === "next") next = due;
      else if (what === "make" && command !== "make") begun.push(unpack(input) as ScheduledRun);
    }
    for (const run of begun) {
      if (run.number !== ++one.number) problem(`run ${run.number} is begun after ${one.number - 1}`);
      if (run.at > at) problem(`run ${run.number} is begun ${run.at - at} ms before it is due`);
      one.runs.set(run.number, { run, sent: 0 });
    }
    if (command === "fire") for (const says of this.#wrong(key, one, next, begun, at)) problem(says);
    if (next !== undefined && next <= one.lastDue) problem(`what was due at ${next} is due again after ${one.lastDue}`);
    one.next = next;
    for (const { type, input } of work?.messages ?? []) {
      const { number, at: due, asked } = unpack(input) as Mark;
      const known = one.runs.get(number);
      if (type !== Roll.name || known?.run.at !== due || known.run.asked !== asked)
        problem(`run ${number} of ${due} is carried out, which was not begun`);
      else if (++known.sent > 1) problem(`run ${number} of ${due} is carried out twice`);
    }
  }

  /** What is wrong with the runs that a schedule has begun that was due, and with when it is due next. */
  #wrong(key: string, one: Followed, next: Instant | undefined, begun: readonly ScheduledRun[], at: Instant): string[] {
    const everyMs = this.#shapes.get(key)?.timing.everyMs ?? 0;
    const missed = this.#shapes.get(key)?.missed;
    const due = one.next;
    if (due === undefined || next === undefined) return ["it is due without having been set"];
    const last = next - everyMs;
    one.lastDue = last;
    if (last < due || last % everyMs !== 0 || last > at)
      return [`${due} was due, the time is ${at}, and ${next} is to be next`];
    const times: Instant[] = [];
    for (let time = last; time >= due && times.length < mostMissed; time -= everyMs) times.unshift(time);
    const wanted =
      missed === "all" ? times : missed === "skip" && at - last > lateMs && begun.length === 0 ? [] : [last];
    const got = begun.map((run) => run.at);
    if (got.join() === wanted.join() && begun.every(({ asked }) => !asked)) return [];
    return [`${wanted.join(", ")} were to be begun, ${got.join(", ") || "none"} were`];
  }
}

/** Holds what the rolls have against what was begun. A run whose command is a dead letter is not there. */
export function checkRolls(
  audits: readonly ScheduleAudit[],
  marks: readonly Mark[],
  dead: ReadonlySet<string>,
): string[] {
  const problems: string[] = [];
  const seen = new Map<string, Mark>();
  for (const mark of marks) {
    const name = nameOf(mark.name, mark.number);
    if (seen.has(name)) problems.push(`${name} is on the roll twice`);
    seen.set(name, mark);
  }
  const due = new Set<string>();
  for (const { followed } of audits)
    for (const [schedule, { runs }] of followed)
      for (const { run } of runs.values()) {
        const name = nameOf(schedule, run.number);
        const mark = seen.get(name);
        seen.delete(name);
        if (mark === undefined && !dead.has(name)) problems.push(`${name} of ${run.at} never took effect`);
        if (mark !== undefined && mark.at !== run.at)
          problems.push(`${name} is of ${run.at} and took effect as of ${mark.at}`);
        if (run.asked) continue;
        const time = `${schedule} at ${run.at}`;
        if (due.has(time)) problems.push(`${time} was begun twice`);
        due.add(time);
      }
  for (const name of seen.keys()) problems.push(`${name} is on the roll and was never begun`);
  return problems;
}

export const nameOf = (schedule: string, number: number): string => `run ${number} of ${schedule}`;
