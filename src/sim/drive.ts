// Makes a world move while somebody waits for it: as long as a promise given to `drive` is pending, events run.

import type { Millis } from "../base/index.ts";
import type { RunLimits, Schedule } from "./schedule.ts";

export interface Driver {
  /** Resolves or rejects as `promise` does. Rejects when nothing is left that could ever settle it. */
  drive<T>(promise: Promise<T>): Promise<T>;
  /** Moves virtual time forward by `ms`, running what falls due. */
  advance(ms: Millis): Promise<void>;
}

export type DriverOptions = {
  readonly schedule: Schedule;
  /** Make the real globals throw while events run. */
  readonly strict: boolean;
  /** True: time jumps to the next event whenever nothing else is to do. False: it moves by `advance` only, and waiting
   *  for something real (a handler that reads a file) is allowed. */
  readonly jumps: boolean;
  /** A wait that takes longer than this in virtual time is stuck. */
  readonly patienceMs: Millis;
};

export function createDriver({ schedule, strict, jumps, patienceMs }: DriverOptions): Driver {
  const waiting = new Set<(error: Error) => void>();
  let running = false;
  let advancing = 0;
  let wake: (() => void) | undefined;
  const added = (): void => wake?.();
  schedule.onAdded = added;

  const fail = (error: Error): void => {
    for (const reject of waiting) reject(error);
    waiting.clear();
  };

  const loop = async (): Promise<void> => {
    const until = jumps ? schedule.now() + patienceMs : schedule.now();
    const limits: RunLimits = { until, strict, done: () => waiting.size === 0 || advancing > 0 };
    const ended = await schedule.run(limits);
    if (ended === "done" || waiting.size === 0) return;
    if (jumps) return fail(new Error(`nothing came of it within ${patienceMs} virtual milliseconds`));
    await new Promise<void>((resolve) => (wake = resolve));
    wake = undefined;
  };

  const keepRunning = async (): Promise<void> => {
    if (running) return;
    running = true;
    try {
      while (waiting.size > 0 && advancing === 0) await loop();
    } catch (error) {
      fail(error as Error);
    } finally {
      running = false;
      for (const hand of idle.splice(0)) hand();
    }
  };
  const idle: (() => void)[] = [];
  /** Hands an outcome over: at once while others wait, else when the world stands still and the real globals are back. */
  const settle = (reject: (error: Error) => void, hand: () => void): void => {
    waiting.delete(reject);
    if (waiting.size > 0 || !running) return hand();
    idle.push(hand);
    wake?.();
  };

  return {
    drive<T>(promise: Promise<T>): Promise<T> {
      return new Promise((resolve, reject) => {
        waiting.add(reject);
        promise.then(
          (value) => settle(reject, () => resolve(value)),
          (error: unknown) => settle(reject, () => reject(error)),
        );
        void keepRunning();
      });
    },
    async advance(ms) {
      advancing++;
      try {
        wake?.();
        if (running) await new Promise<void>((resolve) => idle.push(resolve));
        await schedule.run({ until: schedule.now() + ms, strict });
      } finally {
        advancing--;
        void keepRunning();
      }
    },
  };
}
