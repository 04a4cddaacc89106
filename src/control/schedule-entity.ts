// A schedule as a system entity, keyed by its name. It stands on timers and messages alone.
//
// H1. A run begins in the record that sets the next one, so each time that was due begins one run or is passed over, once.
// H2. Beginning a run and carrying it out are two timers: a run whose `map` throws, or ends its process, holds up no other and
//     ends no schedule.
// H3. Code that was loaded before the code that set a definition does not set it back.
// H4. Code that does not have the schedule begins no run of it and passes none over: what was due then is due when code follows it again.

import { type Instant, type Millis, SheafError } from "../base/index.ts";
import type { Faults } from "../host/index.ts";
import { dueAfter, dueUpTo, systemEntity } from "../model/index.ts";
import type {
  EntityImplementation,
  Missed,
  ScheduledRun,
  ScheduleShape,
  SystemSender,
  Timing,
} from "../model/index.ts";
import { flag, orNull, record, text, time } from "./schema.ts";

const definition = { cron: orNull(text), zone: orNull(text), everyMs: orNull(time), missed: text } as const;
const scheduleState = record({
  ...definition,
  /** When the code that set these was loaded. */
  since: time,
  /** When the next run is due; null when none is. */
  next: orNull(time),
  /** When the last run was due. */
  lastAt: orNull(time),
  /** Begun. */
  runs: time,
  /** Not begun, since they were missed; of one gap 100 at most are counted. */
  passedOver: time,
  paused: flag,
  /** It was due where the application did not have it. */
  gone: flag,
  /** Who paused or resumed it last. */
  changedBy: text,
});
type State = {
  cron: string | null;
  zone: string | null;
  everyMs: number | null;
  missed: string;
  since: number;
  next: number | null;
  lastAt: number | null;
  runs: number;
  passedOver: number;
  paused: boolean;
};

const runOf = record({ at: time, number: time, asked: flag });
const unknown = { UNKNOWN: record({}) } as const;

export const Schedule = systemEntity("sheaf.schedule", {
  state: scheduleState,
  commands: {
    /** What the application says of it, and for how long that code has been loaded. */
    follow: { input: record({ ...definition, ageMs: time }) },
    /** The next run is due. */
    fire: {},
    /** Carries one run out. */
    make: { input: runOf },
    /** Begins a run that is not due. */
    run: { output: runOf, errors: { ...unknown, GONE: record({}) } },
    pause: { input: record({ by: text }), errors: unknown },
    /** What was due while it was paused is not missed. */
    resume: { input: record({ by: text }), errors: unknown },
  },
  queries: { get: { output: scheduleState, consistency: "strong" } },
});

/** A missed run is not begun later than this where those are to be skipped. */
const lateMs: Millis = 60_000;
/** So many of what was missed are run, and as many counted that are not. */
const mostMissed = 100;
/** So long a run waits for an owner whose code has its schedule. */
const releaseMs: Millis = 60 * 60_000;
const againMs: Millis = 10_000;
/** A timer that is so late is set anew when code follows. */
const lostMs: Millis = 60_000;

const timingOf = ({ cron, zone, everyMs }: Pick<State, "cron" | "zone" | "everyMs">): Timing =>
  everyMs === null ? { cron: cron ?? "", zone: zone ?? "", everyMs } : { cron: null, zone: null, everyMs };

const isUnknown = ({ cron, everyMs }: State): boolean => cron === null && everyMs === null;

/** The times up to now that a schedule was due at, `due` the first of them; of very many the last ones. */
function timesDue(state: State, due: Instant, now: Instant): Instant[] {
  const timing = timingOf(state);
  const times: Instant[] = [];
  let at = dueUpTo(timing, now) ?? due;
  while (at > due && times.length < 2 * mostMissed) {
    times.unshift(at);
    at = dueUpTo(timing, at - 1) ?? due;
  }
  // The first may be of an older definition.
  return times.length < 2 * mostMissed ? [due, ...times] : times;
}

/** Those of the times due that are begun. */
function begun(missed: string, times: readonly Instant[], now: Instant): readonly Instant[] {
  const last = times.slice(-1);
  switch (missed as Missed) {
    case "all":
      return times.slice(-mostMissed);
    case "one":
      return last;
    case "skip":
      return last.filter((at) => now - at <= lateMs);
  }
}

function make(schedules: readonly ScheduleShape[], faults: Faults): EntityImplementation {
  const known = new Map(schedules.map((schedule) => [schedule.name, schedule]));
  return Schedule.implement({
    initial: () => ({
      cron: null,
      zone: null,
      everyMs: null,
      missed: "one",
      since: 0,
      next: null,
      lastAt: null,
      runs: 0,
      passedOver: 0,
      paused: false,
      gone: false,
      changedBy: "",
    }),
    follow({ state, input: { ageMs, ...given }, now, after, cancel }) {
      const since = now - ageMs;
      const isTimed = given.cron === state.cron && given.zone === state.zone && given.everyMs === state.everyMs;
      const isSame = isTimed && given.missed === state.missed;
      if (!isSame && since < state.since) return;
      if (!isSame) Object.assign(state, { ...given, since });
      const wasGone = state.gone;
      state.gone = false;
      if (state.paused) return;
      const owedMs = state.next === null ? -1 : now - state.next;
      if (faults.mutant("S2") && state.lastAt !== null) state.next = state.lastAt;
      else if (!isTimed && owedMs < 0) state.next = dueAfter(timingOf(state), now) ?? null;
      else if (!wasGone && owedMs < lostMs) return;
      setNext(state, after, cancel);
    },
    fire({ key, state, now, log, after, cancel }) {
      const due = state.next;
      if (due === null || state.paused) return;
      if (!known.has(key)) {
        log.warn("a schedule was due that the application here does not have", { schedule: key });
        return void (state.gone = true);
      }
      const until = Math.max(now, due);
      const times = timesDue(state, due, until);
      const chosen = faults.mutant("S1") ? times.slice(-1) : begun(state.missed, times, until);
      for (const at of chosen) begin(state, { at, asked: false }, after);
      state.passedOver += Math.min(mostMissed, times.length - chosen.length);
      state.next = dueAfter(timingOf(state), until) ?? null;
      setNext(state, after, cancel);
    },
    make({ key, input: run, now, send, after }) {
      const schedule = known.get(key);
      // While a release is under way another owner may have it.
      if (schedule === undefined && now - run.at < releaseMs) return makeLater(run, againMs, after);
      if (schedule === undefined)
        throw new SheafError("UNKNOWN_TARGET", `the application here has no schedule "${key}"`);
      const { target, map } = schedule;
      const { key: to = "", input } = map({ ...run });
      if (target.kind === "procedure") return (send as SystemSender).service(target.service)[target.procedure]?.(input);
      const inbox: Readonly<Record<string, (input: unknown) => void>> = send.entity(target.entity, to);
      inbox[target.command]?.(input);
    },
    run(context) {
      const { key, state, now, after } = context;
      if (isUnknown(state)) return context.fail("UNKNOWN", {});
      if (!known.has(key)) return context.fail("GONE", {});
      return begin(state, { at: now, asked: true }, after);
    },
    pause(context) {
      const { state, input, cancel } = context;
      if (isUnknown(state)) return context.fail("UNKNOWN", {});
      if (state.paused) return;
      state.paused = true;
      state.changedBy = input.by;
      state.next = null;
      cancel(timer);
    },
    resume(context) {
      const { state, input, now, after, cancel } = context;
      if (isUnknown(state)) return context.fail("UNKNOWN", {});
      if (!state.paused) return;
      state.paused = false;
      state.changedBy = input.by;
      state.next = dueAfter(timingOf(state), now) ?? null;
      setNext(state, after, cancel);
    },
    get: ({ state }) => state,
  });
}

const timer = "next";
type Context = Parameters<Parameters<typeof Schedule.implement>[0]["fire"]>[0];

function setNext({ next }: State, after: Context["after"], cancel: Context["cancel"]): void {
  if (next === null) cancel(timer);
  else after(new Date(next), "fire", { id: timer });
}

/** H2 */
function begin(state: State, { at, asked }: Omit<ScheduledRun, "number">, after: Context["after"]): ScheduledRun {
  const run = { at, number: ++state.runs, asked };
  state.lastAt = at;
  makeLater(run, 0, after);
  return run;
}

function makeLater(run: ScheduledRun, ms: Millis, after: Context["after"]): void {
  after(ms, "make", run, { id: `run ${run.number}` });
}

/** Of applications that have none: it only tells of schedules that are gone. Made once, so that it is compiled once. */
const ofNone = make([], { mutant: () => false });

/** What nodes run that have these schedules. */
export const scheduleEntity = (schedules: readonly ScheduleShape[], faults: Faults): EntityImplementation =>
  schedules.length === 0 ? ofNone : make(schedules, faults);
