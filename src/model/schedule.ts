// schedule(): when a command is to be run, and on what, time after time.

import { type Millis, SheafError } from "../base/index.ts";
import type { SentInput } from "./inference.ts";
import { checkFields, checkName } from "./names.ts";
import type { CommandShape, EntityShape, Missed, ScheduledRun, ScheduleShape } from "./shape.ts";
import { cronTiming, everyTiming } from "./timing.ts";

/** What `schedule` is given: `cron`, in a `zone`, or `every`. */
export type ScheduleDefinition = (
  | {
      /** Minute, hour, day of month, month, day of week; seconds may come first. "@daily" and its like are understood. */
      readonly cron: string;
      /** A name such as "Europe/Vienna"; "UTC" when absent, wherever nodes run. */
      readonly zone?: string | undefined;
      readonly every?: undefined;
    }
  | {
      /** Milliseconds, 10 or more, or a text such as "5m". Counted from the Unix epoch, so that "1h" is at every full hour of UTC. */
      readonly every: Millis | `${number}${"ms" | "s" | "m" | "h" | "d"}`;
      readonly cron?: undefined;
      readonly zone?: undefined;
    }
) & {
  /** What becomes of runs whose time passed while nobody could begin them: "one" (when absent) runs the last of them, "all" each of them,
   *  the last 100 at most, "skip" none that is over a minute late or was followed by another. */
  readonly missed?: Missed | undefined;
};

/** Which entity a run goes to, and with which input. */
export type ScheduledCommand<Operation> = { readonly key: string } & (undefined extends SentInput<Operation>
  ? { readonly input?: SentInput<Operation> }
  : { readonly input: SentInput<Operation> });

export interface UnboundSchedule {
  /**
   * Says what each run is: a command of an entity, exactly once in effect. `map` is to compute and nothing else: it runs again when its node
   * dies. When it throws, that run is tried again as a failing timer is; the runs after it are not held up.
   * Throws USAGE when the entity has no such command.
   */
  into<C extends EntityShape, const N extends keyof C["commands"] & string>(
    entity: C,
    command: N,
    map: (run: ScheduledRun) => ScheduledCommand<C["commands"][N] & CommandShape>,
  ): ScheduleShape;
}

/**
 * Names when something is to be done. The app that is given it runs it, once in the whole cluster.
 * Throws USAGE for a name that is not allowed, a pattern that is none or never due, and a time zone that there is not.
 *
 * @example
 * export const nightly = schedule("nightly-report", { cron: "0 3 * * *", zone: "Europe/Vienna" })
 *   .into(Report, "make", ({ at }) => ({ key: "daily", input: { day: at } }));
 */
export function schedule(name: string, definition: ScheduleDefinition): UnboundSchedule {
  checkName("schedule", name);
  const what = `schedule ${name}`;
  checkFields(what, definition, ["cron", "zone", "every", "missed"]);
  const { cron, zone, every, missed = "one" } = definition;
  if ((cron === undefined) === (every === undefined))
    throw new SheafError("USAGE", `${what} has a cron pattern or an interval`, {
      hint: 'cron: "0 3 * * *", or every: "5m"',
    });
  if (every !== undefined && zone !== undefined) throw new SheafError("USAGE", `${what}: a zone goes with cron`);
  if (!["skip", "one", "all"].includes(missed))
    throw new SheafError("USAGE", `${what}: missed is "skip", "one" or "all", not ${JSON.stringify(missed)}`);
  const timing = cron === undefined ? everyTiming(what, every) : cronTiming(what, cron, zone ?? "UTC");
  return Object.freeze({
    into: (entity, command, map) => {
      if (entity?.kind !== "entity" || typeof map !== "function")
        throw new SheafError("USAGE", `${what} goes into a command of an entity`, {
          hint: 'Give .into(Report, "make", (run) => ({ key, input })) the contract.',
        });
      if (!Object.hasOwn(entity.commands, command))
        throw new SheafError("USAGE", `${what}: ${entity.name} has no command "${command}"`);
      return Object.freeze({ kind: "schedule", name, timing: Object.freeze(timing), missed, entity, command, map });
    },
  } satisfies UnboundSchedule);
}

/** Throws USAGE unless all are schedules into entities of the app, each of its own name. */
export function checkSchedules(
  app: string,
  schedules: readonly ScheduleShape[],
  entities: readonly EntityShape[],
): void {
  const usage = (says: string, hint?: string): SheafError => new SheafError("USAGE", `app ${app}: ${says}`, { hint });
  const seen = new Set<string>();
  for (const each of schedules) {
    if (each?.kind !== "schedule")
      throw usage("something among its schedules is not one", "A schedule ends with .into(Entity, command, map).");
    if (seen.has(each.name)) throw usage(`two of its schedules are named "${each.name}"`);
    seen.add(each.name);
    if (!entities.includes(each.entity))
      throw usage(`schedule ${each.name} goes into ${each.entity.name}, which is not among its entities`);
  }
}
