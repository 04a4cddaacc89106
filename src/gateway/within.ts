// The edge's own bound on calls. Whoever carries a call out keeps its deadline; if that fails, the caller still gets an answer.
// One timer serves all calls under way, so a call that is answered in time costs no timer of its own.

import { SheafError, type Millis, type Tick } from "../base/index.ts";
import type { Clock } from "../host/index.ts";
import { Deadlines } from "../rpc/index.ts";

/** How long past its deadline a call may still bring the better answer, which says whether it took effect. */
export const graceMs: Millis = 50;

/** Settles as `work` does, or rejects with DEADLINE (outcome unknown) when it has not by `deadline` plus grace. */
export type Within = <T>(work: Promise<T>, deadline: Tick) => Promise<T>;

type Waiting = { readonly until: Tick; readonly reject: (error: SheafError) => void };

export function createWithin(clock: Clock): Within {
  const waiting = new Set<Waiting>();
  const deadlines = new Deadlines(clock, (now) => {
    let earliest = Infinity;
    for (const one of waiting) {
      if (one.until > now) earliest = Math.min(earliest, one.until);
      else one.reject(new SheafError("DEADLINE"));
    }
    return earliest;
  });
  return (work, deadline) =>
    new Promise((resolve, reject) => {
      const mine: Waiting = { until: deadline + graceMs, reject };
      waiting.add(mine);
      deadlines.add(mine.until);
      const over = (): boolean => waiting.delete(mine);
      work.then(
        (value) => (over(), resolve(value)),
        (error: Error) => (over(), reject(error)),
      );
    });
}
