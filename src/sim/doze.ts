// A process that can be stopped for a while, as by SIGSTOP: what reaches it meanwhile waits, and comes when it goes on.
//
// Z1. What waited runs in the order in which it came, each in an event of its own, before anything that comes later.

import type { Schedule } from "./schedule.ts";

export interface Doze {
  asleep(): boolean;
  /** Runs `act` now, or once the process goes on. */
  run(act: () => void): void;
  begin(): void;
  /** What waits runs now, one event after the other. */
  end(): void;
}

export function createDoze(schedule: Schedule, label: string): Doze {
  const waiting: (() => void)[] = [];
  let state: "awake" | "asleep" | "waking" = "awake";
  let naps = 0;
  const wake = (nap: number): void => {
    if (waiting.length === 0) return void (state = "awake");
    schedule.after(0, label, () => {
      if (state !== "waking" || nap !== naps) return;
      waiting.shift()?.();
      wake(nap);
    });
  };
  return {
    asleep: () => state === "asleep",
    run(act) {
      if (state === "awake") act();
      else waiting.push(act);
    },
    begin() {
      naps++;
      state = "asleep";
    },
    end() {
      if (state !== "asleep") return;
      state = "waking";
      wake(naps);
    },
  };
}
