// schedule(): when a command is to be run, and on what, time after time.

import { type Millis, SheafError } from "../base/index.ts";
import type { SentInput } from "./inference.ts";
import { checkFields, checkName } from "./names.ts";
import type { AppContractShape, EntityShape, Missed, ScheduledRun, ScheduleShape, ServiceShape } from "./shape.ts";
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

/** The input of a run; left out where none is taken. */
type ScheduledInput<Operation> =
  undefined extends SentInput<Operation>
    ? { readonly input?: SentInput<Operation> }
    : { readonly input: SentInput<Operation> };

export interface UnboundSchedule {
  /**
   * Says what each run is: a command of an entity, exactly once in effect. `map` is to compute and nothing else: it runs again when its node
   * dies. When it throws, that run is tried again as a failing timer is; the runs after it are not held up.
   * Throws USAGE when the entity has no such command.
   */
  into<C extends EntityShape, const N extends keyof C["commands"] & string>(
    entity: C,
    command: N,
    map: (run: ScheduledRun) => { readonly key: string } & ScheduledInput<C["commands"][N]>,
  ): ScheduleShape;
  /**
   * Says what each run is: a call of a procedure, at least once. It is called again when it throws, or when nobody can tell whether it ended, with
   * the same input, so what it does should bear a repeat: go by `at` or `number`. `map` as with `into`.
   * Throws USAGE when the service has no such procedure.
   */
  call<C extends ServiceShape, const N extends keyof C["procedures"] & string>(
    service: C,
    procedure: N,
    map: (run: ScheduledRun) => ScheduledInput<C["procedures"][N]>,
  ): ScheduleShape;
}

/**
 * Names when something is to be done. The app that is given it runs it, once in the whole cluster.
 * Throws USAGE for a name that is not allowed, a pattern that is none or never due, and a time zone that there is not.
 *
 * @example
 * export const nightly = schedule("nightly-report", { cron: "0 3 * * *", zone: "Europe/Vienna" })
 *   .into(Report, "make", ({ at }) => ({ key: "daily", input: { day: at } }));
 * export const pings = schedule("pings", { every: "30s" }).call(Monitor, "ping", ({ number }) => ({ input: { number } }));
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
  const bound = (target: ScheduleShape["target"], map: ScheduleShape["map"]): ScheduleShape => {
    if (typeof map !== "function") throw new SheafError("USAGE", `${what}: the last argument is a function`);
    return Object.freeze({ kind: "schedule", name, timing: Object.freeze(timing), missed, target, map });
  };
  return Object.freeze({
    into: (entity, command, map) => {
      if (entity?.kind !== "entity")
        throw new SheafError("USAGE", `${what} goes into a command of an entity`, {
          hint: 'Give .into(Report, "make", (run) => ({ key, input })) the contract.',
        });
      if (!Object.hasOwn(entity.commands, command))
        throw new SheafError("USAGE", `${what}: ${entity.name} has no command "${command}"`);
      return bound({ kind: "command", entity, command }, map);
    },
    call: (service, procedure, map) => {
      if (service?.kind !== "service")
        throw new SheafError("USAGE", `${what} calls a procedure of a service`, {
          hint: 'Give .call(Mail, "send", (run) => ({ input })) the contract.',
        });
      if (!Object.hasOwn(service.procedures, procedure))
        throw new SheafError("USAGE", `${what}: ${service.name} has no procedure "${procedure}"`);
      return bound({ kind: "procedure", service, procedure }, map);
    },
  } satisfies UnboundSchedule);
}

/** Throws USAGE unless all are schedules of what the app has, each of its own name. */
export function checkSchedules(app: string, schedules: readonly ScheduleShape[], has: AppContractShape): void {
  const usage = (says: string, hint?: string): SheafError => new SheafError("USAGE", `app ${app}: ${says}`, { hint });
  const seen = new Set<string>();
  for (const each of schedules) {
    if (each?.kind !== "schedule")
      throw usage("something among its schedules is not one", "A schedule ends with .into(…) or .call(…).");
    if (seen.has(each.name)) throw usage(`two of its schedules are named "${each.name}"`);
    seen.add(each.name);
    const { target } = each;
    const part = target.kind === "command" ? target.entity : target.service;
    if (!(part.kind === "entity" ? has.entities.includes(part) : has.services.includes(part)))
      throw usage(`schedule ${each.name} is for the ${part.kind} ${part.name}, which it does not have`);
  }
}
