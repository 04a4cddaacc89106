// When timers went off, and when they should have (PROMISES W9), by the machine's monotonic clock, which nodes share and nobody sets: a
// node whose wall clock is wrong shows.
//
// R1. None goes off before its delay has passed since its command was called, but by as much as a clock was ahead, or as the machine's own
//     wall clock was set forward meanwhile.
// R2. All but one in a hundred go off within a second of when they are due, or of the time for which callers went unanswered meanwhile:
//     what takeovers took in this very run, and no more.

import process from "node:process";
import type { Stretch } from "./tally.ts";

/** Milliseconds of `ticks`. */
export type Ring = {
  /** When the command that set it was called, and its delay. */
  readonly earliest: number;
  /** When that command ran, and the delay. */
  readonly due: number;
  readonly at: number;
};

export const ticks = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

/** Clocks of whole milliseconds round down. */
const roundingMs = 2;
/** Of the timers that callers set. */
export const longestDelayMs = 3_000;
export const mostLateMs = 1_000;

export type Timing = {
  readonly count: number;
  readonly late: Spread;
  /** What callers went unanswered for is taken off. */
  readonly beyond: Spread;
  readonly problems: readonly string[];
};

/** How far the machine's wall clock went ahead of its monotonic one between two times of `ticks`: a virtual machine's is set by some
 *  milliseconds now and then. */
export type Gained = (from: number, to: number) => number;

const lookMs = 10;

/** Looks at both clocks from now on. */
export function watchClocks(): Gained {
  const seen: { readonly at: number; readonly apart: number }[] = [];
  const look = (): void => {
    const at = ticks();
    seen.push({ at, apart: Date.now() - at });
  };
  look();
  setInterval(look, lookMs).unref();
  return (from, to) => {
    let [least, most] = [Infinity, 0];
    for (const [n, { at, apart }] of seen.entries()) {
      if ((seen[n + 1]?.at ?? Infinity) < from || at > to + lookMs) continue;
      least = Math.min(least, apart);
      most = Math.max(most, apart - least);
    }
    return most;
  };
}

export function judgeTimers(rings: readonly Ring[], stretches: readonly Stretch[], gained: Gained = () => 0): Timing {
  const problems: string[] = [];
  for (const { earliest, at } of rings) {
    const mayBe = stretches.findLast((stretch) => stretch.at <= at)?.aheadMs ?? 0;
    const earlyMs = earliest - at;
    if (earlyMs > mayBe + roundingMs && earlyMs > mayBe + roundingMs + gained(earliest - longestDelayMs, at))
      problems.push(`one went off ${Math.round(earlyMs)} ms early, and no clock was ahead by more than ${mayBe} ms`);
  }
  const beyond = rings.map(({ due, at }) => Math.max(0, at - due - unansweredMs(stretches, due, at)));
  const timing = { count: rings.length, late: spread(rings.map(({ due, at }) => at - due)), beyond: spread(beyond) };
  if (timing.beyond.p99 > mostLateMs)
    problems.push(
      `one in a hundred went off ${timing.beyond.p99} ms later than callers went unanswered, over ${mostLateMs} ms`,
    );
  return { ...timing, problems };
}

/** The longest that a caller went unanswered in the stretches between two times. */
export function unansweredMs(stretches: readonly Stretch[], from: number, to: number): number {
  const over = stretches.filter(({ at }, n) => at <= to && (stretches[n + 1]?.at ?? Infinity) > from);
  return Math.max(0, ...over.map(({ silentMs }) => silentMs));
}

export type Spread = { readonly p50: number; readonly p99: number; readonly worst: number };

export function spread(values: readonly number[]): Spread {
  const sorted = values.map((each) => Math.round(each)).toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), worst: sorted.at(-1) ?? 0 };
}
