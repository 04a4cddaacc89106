// The edge's own bound on a call. Whoever carries a call out keeps its deadline; if that fails, the caller still gets an answer.

import { SheafError, type Millis } from "../base/index.ts";
import type { Clock } from "../host/index.ts";

/** How long past its deadline a call may still bring the better answer, which says whether it took effect. */
export const graceMs: Millis = 50;

/** Settles as `work` does, or rejects with DEADLINE (outcome unknown) when it has not by `ms` plus grace. */
export function within<T>(work: Promise<T>, ms: Millis, clock: Clock): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms + graceMs, () => reject(new SheafError("DEADLINE")));
    work.finally(() => timer.cancel()).then(resolve, reject);
  });
}
