// Schedules as operators see them, and as nodes have them follow what their code says.

import { nearest, SheafError, type Instant, type Millis } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Missed, ScheduledRun, ScheduleShape } from "../model/index.ts";
import type { Calls } from "../rpc/index.ts";
import { type Principal, system } from "../security/index.ts";
import type { Search } from "./keys.ts";
import { Schedule } from "./schedule-entity.ts";

export type ScheduleView = {
  readonly name: string;
  /** A pattern in a time zone, or an interval. */
  readonly cron: string | null;
  readonly zone: string | null;
  readonly everyMs: Millis | null;
  readonly missed: Missed;
  /** `gone`: the application does not have it any more. `over`: it is never due again. */
  readonly state: "on" | "paused" | "gone" | "over";
  /** When the next run is due; null when none is. */
  readonly next: Instant | null;
  /** When the last one was due, or was asked for; null before the first. */
  readonly last: Instant | null;
  /** Begun so far, those that were asked for among them. */
  readonly runs: number;
  /** Missed and not begun; of one gap at most 100 are counted. */
  readonly passedOver: number;
  /** Who paused or resumed it last; empty when nobody did. */
  readonly changedBy: string;
};

export interface Schedules {
  /** By name. */
  list(after: string | undefined, limit: number): Promise<readonly ScheduleView[]>;
  /** NOT_FOUND, as of all that follow, when there never was one of that name. */
  get(name: string): Promise<ScheduleView>;
  /** Begins a run now, beside those that are due. NOT_FOUND, too, when the application does not have it any more. */
  run(by: Principal, name: string): Promise<ScheduledRun>;
  /** Begins no run any more; those that have begun go on. */
  pause(by: Principal, name: string): Promise<ScheduleView>;
  /** What was due while it was paused is not begun. */
  resume(by: Principal, name: string): Promise<ScheduleView>;
}

type Ports = { readonly host: Pick<Host, "clock" | "log">; readonly calls: Calls };

const commandMs: Millis = 10_000;

const asker =
  ({ host: { clock }, calls }: Ports) =>
  async (kind: "command" | "query", key: string, name: string, input?: unknown): Promise<unknown> => {
    const target = { kind, entity: Schedule.name, key, name };
    return (await calls.call({ target, input, principal: system, deadline: clock.tick() + commandMs })).output;
  };

type Kept = Omit<ScheduleView, "name" | "state" | "last"> & {
  readonly lastAt: Instant | null;
  readonly paused: boolean;
  readonly gone: boolean;
};

function viewOf(name: string, kept: Kept, isKnown: boolean): ScheduleView {
  const { cron, zone, everyMs, missed, next, lastAt, runs, passedOver, paused, gone, changedBy } = kept;
  const state = gone || !isKnown ? "gone" : paused ? "paused" : next === null ? "over" : "on";
  return { name, cron, zone, everyMs, missed, state, next, last: lastAt, runs, passedOver, changedBy };
}

export type ScheduleBookPorts = Ports & {
  readonly search: Search;
  /** Names of the schedules that the application here has, as it is now. */
  readonly declared: () => readonly string[];
};

/** What operators do with schedules. */
export function scheduleBook(ports: ScheduleBookPorts): Schedules {
  const ask = asker(ports);
  const { log } = ports.host;
  const view = (name: string, kept: unknown): ScheduleView =>
    viewOf(name, kept as Kept, ports.declared().includes(name));
  const missing = (name: string): SheafError => {
    const near = nearest(name, ports.declared());
    return new SheafError("NOT_FOUND", `there is no schedule "${name.slice(0, 80)}"`, {
      hint: near.length > 0 ? `Nearest: ${near.join(", ")}.` : "See: sheaf schedule ls",
    });
  };
  const get = async (name: string): Promise<ScheduleView> => {
    const kept = (await ask("query", name, "get")) as Kept;
    if (kept.cron === null && kept.everyMs === null) throw missing(name);
    return view(name, kept);
  };
  const command = async (by: Principal, name: string, what: string, input?: unknown): Promise<unknown> => {
    try {
      const output = await ask("command", name, what, input);
      log.info(`${what} of a schedule`, { schedule: name, by: by.id });
      return output;
    } catch (error) {
      if (!(error instanceof SheafError) || error.code !== "DECLARED") throw error;
      if (error.error === "UNKNOWN") throw missing(name);
      throw new SheafError("NOT_FOUND", `the application does not have the schedule "${name}" any more`, {
        cause: error,
      });
    }
  };
  return {
    async list(after, limit) {
      const found = await ports.search(Schedule.name, "", after, limit);
      return found.map(({ key, state }) => view(key, state));
    },
    get,
    run: async (by, name) => (await command(by, name, "run")) as ScheduledRun,
    async pause(by, name) {
      await command(by, name, "pause", { by: by.id });
      return get(name);
    },
    async resume(by, name) {
      await command(by, name, "resume", { by: by.id });
      return get(name);
    },
  };
}

/** Has one schedule follow what the code says that was loaded so long ago. */
export async function followSchedule(
  ports: Ports,
  { name, timing, missed }: ScheduleShape,
  ageMs: Millis,
): Promise<void> {
  await asker(ports)("command", name, "follow", { ...timing, missed, ageMs: Math.ceil(ageMs) });
}
