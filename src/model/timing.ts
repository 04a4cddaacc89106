// When a schedule is due: by a cron pattern in a time zone, or every so often. The time is given, nothing here asks for it.
//
// C1. What is found depends on the timing and the time given alone, so all nodes find the same.
// C2. Times that the clocks skip or show twice: a pattern of plain values, lists and ranges of hours and minutes is due once, at the first
//     moment after the gap and the first time of the two; one with a wildcard or step is due at what exists, and both times.

import { Cron } from "croner";
import { messageOf, type Millis, SheafError, type Instant } from "../base/index.ts";
import type { Timing } from "./shape.ts";

/** croner's search, which is given the time. Its `nextRun` asks the clock as well, for jobs that it runs itself: there are none here. */
type Search = { readonly [Name in typeof forwards | typeof backwards]: (from: Date, now: Date) => Date | null };
const forwards = "_nextTarget";
const backwards = "_previousTarget";

/** Shorter ones would do little but journal that they run. */
const shortestMs: Millis = 10;
const longestMs: Millis = 366 * 24 * 3_600_000;
const units: Readonly<Record<string, Millis>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

type CronTiming = Timing & { readonly everyMs: null };

const searches = new Map<string, Search>();

function searchOf({ cron, zone }: CronTiming): Search {
  const name = `${cron}\n${zone}`;
  let search = searches.get(name);
  if (search === undefined) {
    const options = { timezone: zone, paused: true, mode: "5-or-6-parts", fixedTimeRule: "no-wildcard" } as const;
    searches.set(name, (search = new Cron(cron, options) as unknown as Search));
  }
  return search;
}

/** The first time after `at` when it is due; none when it never is again. */
export function dueAfter(timing: Timing, at: Instant): Instant | undefined {
  if (timing.everyMs !== null) return (Math.floor(at / timing.everyMs) + 1) * timing.everyMs;
  const after = new Date(at);
  return searchOf(timing)[forwards](after, after)?.getTime();
}

/** The last time up to `at` when it was due, `at` included; none when it never was. */
export function dueUpTo(timing: Timing, at: Instant): Instant | undefined {
  if (timing.everyMs !== null) return Math.floor(at / timing.everyMs) * timing.everyMs;
  const before = new Date(at + 1);
  return searchOf(timing)[backwards](before, before)?.getTime();
}

/** Throws USAGE unless it is a cron pattern of five or six parts that is due at some time, and a time zone. */
export function cronTiming(what: string, cron: unknown, zone: unknown): Timing {
  const usage = (says: string, hint?: string): SheafError => new SheafError("USAGE", `${what}: ${says}`, { hint });
  if (typeof zone !== "string" || !isZone(zone))
    throw usage(
      `there is no time zone ${shown(zone)}`,
      "zone is a name such as Europe/Vienna; UTC when it is left out",
    );
  // croner would take a date, and put the time of day in the place of a question mark.
  if (typeof cron !== "string" || /[:?]/.test(cron)) throw usage(`${shown(cron)} is no cron pattern`, patternHint);
  const timing: CronTiming = { cron, zone, everyMs: null };
  let first: Instant | undefined;
  try {
    first = dueAfter(timing, 0);
  } catch (cause) {
    throw usage(`${shown(cron)} is no cron pattern: ${messageOf(cause)}`, patternHint);
  }
  if (first === undefined) throw usage(`${shown(cron)} is never due`, patternHint);
  return timing;
}

const patternHint =
  'five parts: minute, hour, day of month, month, day of week, as in "0 3 * * *"; seconds may come first';
const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 100) ?? String(value);

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** Throws USAGE unless it is a span: whole milliseconds, or a text such as "5m". */
export function everyTiming(what: string, every: unknown): Timing {
  const [, number = "", unit = ""] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(String(every)) ?? [];
  const everyMs =
    typeof every === "number" ? every : typeof every === "string" ? Number(number) * (units[unit] ?? 0) : 0;
  if (Number.isSafeInteger(everyMs) && everyMs >= shortestMs && everyMs <= longestMs)
    return { cron: null, zone: null, everyMs };
  throw new SheafError("USAGE", `${what}: it cannot run every ${shown(every)}`, {
    hint: `every is a number of milliseconds from ${shortestMs} to a year, or a text such as "30s", "5m", "12h" or "1d"`,
  });
}
