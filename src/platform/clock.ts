// Time and turns of the event loop.

import type { Clock, Timer } from "../host/index.ts";

// Node fires a longer timer at once.
const longestTimerMs = 2 ** 31 - 1;

export function realClock(): Clock {
  const tick = (): number => performance.now();
  let waiting: (() => void)[] = [];

  function runTurn(): void {
    const ready = waiting;
    waiting = [];
    let done = 0;
    try {
      while (done < ready.length) (ready[done++] as () => void)();
    } finally {
      // A callback threw: the others of this turn still run, in the next one.
      if (done < ready.length) {
        if (waiting.length === 0) setImmediate(runTurn);
        waiting = ready.slice(done).concat(waiting);
      }
    }
  }

  return {
    now: () => Date.now(),
    tick,
    after(ms, fn): Timer {
      const due = tick() + Math.max(0, ms);
      let timer: NodeJS.Timeout;
      const arm = (): void => {
        // The process may stand still between two looks at the clock; Node warns of a negative span.
        timer = setTimeout(fire, Math.max(0, Math.min(longestTimerMs, Math.ceil(due - tick()))));
      };
      // Node rounds to whole milliseconds and may fire a fraction early; "at least" is promised.
      const fire = (): void => (tick() < due ? arm() : fn());
      arm();
      return { cancel: () => clearTimeout(timer) };
    },
    turn(fn) {
      if (waiting.push(fn) === 1) setImmediate(runTurn);
    },
  };
}
