// How fast the jobs of a queue are begun, over all nodes: the owner of one shard hands out the times at which others may begin. Pure.
//
// P1. In any span of `perMs` there are at most `jobs` such times, and what falls into `togetherMs` more: those that are so close are
//     handed out as one.
// P2. Times that nobody asked for are over: an idle queue saves nothing up.
// P3. An owner that does not know what the one before it handed out begins with an interval in which there is none. So each change of
//     owner brings at most as many as are handed out as one.

import type { Millis, Tick } from "../base/index.ts";

export type Rate = { readonly jobs: number; readonly perMs: Millis };

/** So many may begin when that is over; none: it is to be asked again then. */
export type Permit = { readonly jobs: number; readonly waitMs: Millis };

export const togetherMs: Millis = 10;
/** Times are handed out so far ahead. */
const aheadMs: Millis = 250;

export class Pace {
  /** The first time that is not handed out. */
  #free: Tick;

  constructor(rate: Rate, now: Tick) {
    this.#free = now + intervalOf(rate);
  }

  take(rate: Rate, wanted: number, now: Tick): Permit {
    const interval = intervalOf(rate);
    const first = Math.max(this.#free, now);
    const waitMs = first - now;
    if (waitMs > aheadMs) return { jobs: 0, waitMs: waitMs - aheadMs };
    const jobs = Math.min(wanted, 1 + Math.floor(togetherMs / interval));
    this.#free = first + jobs * interval;
    return { jobs, waitMs };
  }
}

const intervalOf = ({ jobs, perMs }: Rate): Millis => perMs / jobs;
