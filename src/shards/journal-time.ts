// The time of one shard at its owner: the node's clock, or the time of the journal where that is ahead. It goes on also while
// the clock is behind, so that what is due falls due. It never goes back.

import type { Instant, Tick } from "../base/index.ts";
import type { Clock } from "../host/index.ts";

export class JournalTime {
  readonly #clock: Clock;
  /** The time at some moment, from which it goes on. */
  #known: { readonly at: Instant; readonly tick: Tick } = { at: 0, tick: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `journaled`: time of the last record. */
  now(journaled: Instant): Instant {
    const tick = this.#clock.tick();
    const passed = Math.floor(this.#known.at + tick - this.#known.tick);
    const now = Math.max(this.#clock.now(), passed, journaled);
    if (now > passed) this.#known = { at: now, tick };
    return now;
  }
}
