// Waiting on the host's clock.

import { type Millis, SheafError } from "../base/index.ts";
import type { Clock } from "../host/index.ts";

export const pause = (clock: Clock, ms: Millis): Promise<void> =>
  new Promise((resolve) => void clock.after(ms, resolve));

/** The promise, or ENGINE_UNAVAILABLE when it is not settled after `ms`: what comes later is dropped. */
export function within<T>(clock: Clock, ms: Millis, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => reject(new SheafError("ENGINE_UNAVAILABLE", `no answer within ${ms} ms`)));
    promise.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
