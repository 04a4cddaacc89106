// The application that the gate drives for schedules: every run leaves its mark on a roll.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Millis } from "../base/index.ts";
import { app, type AppShape, entity, schedule, type ScheduledRun, type ScheduleShape } from "../model/index.ts";
import type { FaultName } from "./weather.ts";

const plain = <T>(): StandardSchemaV1<T, T> => ({
  "~standard": { version: 1, vendor: "sheaf-sim", validate: (value) => ({ value: value as T }) },
});

/** Which schedule has run. */
export type Mark = ScheduledRun & { readonly name: string };

export const Roll = entity("roll", {
  state: plain<{ marks: Mark[] }>(),
  commands: { mark: { input: plain<Mark>() } },
  queries: { look: { output: plain<Mark[]>(), consistency: "strong" } },
});

const roll = Roll.implement({
  initial: () => ({ marks: [] }),
  mark({ state, input }) {
    state.marks.push(input);
  },
  look: ({ state }) => [...state.marks],
});

export const rolls = 3;

/** Runs of the schedule `poor` fail so many times before they succeed, every fourth of them. */
const failures = 2;

const often: Readonly<Record<string, Millis>> = { all: 25, one: 20, skip: 30, poor: 40 };
/** Where clocks jump by an hour, what is to be made up for is not to be thousands of runs. */
const seldom: Millis = 7 * 60_000;

function scheduleOf(name: string, everyMs: Millis): ScheduleShape {
  const missed = name === "poor" ? "one" : (name as ScheduleShape["missed"]);
  const tries = new Map<number, number>();
  return schedule(name, { every: everyMs, missed }).into(Roll, "mark", (run) => {
    const tried = tries.get(run.number) ?? 0;
    tries.set(run.number, tried + 1);
    if (name === "poor" && run.number % 4 === 0 && tried < failures) throw new Error("not yet");
    return { key: `r${run.number % rolls}`, input: { ...run, name } };
  });
}

export const schedulesApp = (faults: readonly FaultName[]): AppShape => {
  const jumps = faults.includes("clock");
  return app("gate", {
    entities: [roll],
    schedules: Object.entries(often).map(([name, ms]) => scheduleOf(name, jumps && name === "all" ? seldom : ms)),
  });
};
