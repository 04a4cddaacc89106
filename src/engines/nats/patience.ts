// Trying again until a deadline, and sharing one request among those who wait for it.

import { setTimeout as pause } from "node:timers/promises";
import { type Millis, SheafError } from "../../base/index.ts";
import { unavailable } from "./link.ts";

/** One try is given up after this long: by then another server leads, or soon will. */
const tryMs = 1000;

export type Deadline = {
  /** What one try may take. */
  tryMs(): Millis;
  isOver(): boolean;
  /** A pause before the next try, longer each time. */
  pause(): Promise<unknown>;
};

export function deadlineIn(ms: Millis): Deadline {
  const end = performance.now() + ms;
  let next = 1;
  return {
    tryMs: () => Math.max(1, Math.min(tryMs, end - performance.now())),
    isOver: () => performance.now() >= end,
    pause() {
      const ms = Math.max(0, Math.min(next, end - performance.now()));
      next = Math.min(100, next * 2);
      return pause(ms);
    },
  };
}

/** Tries until `act` gives something or the deadline passes; rejects ENGINE_UNAVAILABLE then. What no later try can mend
 *  (CORRUPT, ENGINE_REFUSED, a closed engine) is not tried again. */
export async function persist<T>(what: string, deadline: Deadline, act: () => Promise<T | undefined>): Promise<T> {
  for (let last: unknown; ;) {
    try {
      const found = await act();
      if (found !== undefined) return found;
    } catch (error) {
      if (error instanceof SheafError && error.code !== "ENGINE_UNAVAILABLE") throw error;
      last = error;
    }
    if (deadline.isOver()) throw last instanceof SheafError ? last : unavailable(`${what} in vain`, last);
    await deadline.pause();
  }
}

/** `act` for many callers at once: those who call while one runs share the next, which starts after they have called. */
export function shared<T>(act: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> | undefined;
  let next: Promise<T> | undefined;
  const start = (): Promise<T> => {
    next = undefined;
    const mine = act();
    running = mine;
    const ended = (): void => void (running === mine && (running = undefined));
    mine.then(ended, ended);
    return mine;
  };
  return () => {
    if (running === undefined) return start();
    return (next ??= running.then(start, start));
  };
}

/** At most `most` at once, in the order asked. */
export function limited(most: number): <T>(act: () => Promise<T>) => Promise<T> {
  let free = most;
  const waiting: (() => void)[] = [];
  return async (act) => {
    if (free === 0) await new Promise<void>((resolve) => void waiting.push(resolve));
    else free--;
    try {
      return await act();
    } finally {
      const first = waiting.shift();
      if (first) first();
      else free++;
    }
  };
}
