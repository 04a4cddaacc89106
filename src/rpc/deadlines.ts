// One timer for any number of deadlines. Nothing is kept per call: whoever owns the calls is asked to look through them
// when the earliest may have passed. A call that is answered in time costs one comparison.

import type { Millis, Tick } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";

/** Deadlines are noticed at most this late, so that many near each other cost one look. */
const GRAIN: Millis = 8;

export class Deadlines {
  readonly #clock: Clock;
  readonly #sweep: (now: Tick) => Tick;
  #timer: Timer | undefined;
  #at: Tick = Infinity;

  /** `sweep` ends what is past its deadline and returns the earliest deadline left, Infinity for none. */
  constructor(clock: Clock, sweep: (now: Tick) => Tick) {
    this.#clock = clock;
    this.#sweep = sweep;
  }

  add(deadline: Tick): void {
    if (deadline + GRAIN >= this.#at) return;
    this.#timer?.cancel();
    this.#at = deadline + GRAIN;
    this.#timer = this.#clock.after(Math.max(0, deadline - this.#clock.tick()), () => {
      this.#timer = undefined;
      this.#at = Infinity;
      const next = this.#sweep(this.#clock.tick());
      if (next < Infinity) this.add(Math.max(next, this.#clock.tick() + GRAIN / 2));
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#at = Infinity;
  }
}
