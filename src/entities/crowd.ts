// Tasks of a node that wait for their turn. Where very many are due at once they are let in a few at a time, so that callers
// are answered meanwhile.

import type { Millis } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import type { Shard } from "../shards/index.ts";

/** Whoever has not begun by then waits for something else, and keeps nobody out any longer. */
const patienceMs: Millis = 250;

export class Crowd {
  readonly #clock: Clock;
  readonly #room: () => number;
  readonly #wake: (shard: Shard) => void;
  #inside = { count: 0 };
  readonly #outside = new Set<Shard>();
  #timer: Timer | undefined;
  #isDue = false;
  #first = 0;

  /** `room`: how many may wait. `wake` is called for a shard that was kept out. */
  constructor(clock: Clock, room: () => number, wake: (shard: Shard) => void) {
    this.#clock = clock;
    this.#room = room;
    this.#wake = wake;
  }

  /** Is there no room for one more of this shard? Then it is woken when there is. */
  keepsOut(shard: Shard): boolean {
    if (this.#inside.count < this.#room()) return false;
    this.#outside.add(shard);
    this.#timer ??= this.#clock.after(patienceMs, () => {
      this.#timer = undefined;
      this.#inside = { count: 0 };
      this.#letIn();
    });
    return true;
  }

  /** One more waits, until what this returns is called. */
  enter(): () => void {
    const inside = this.#inside;
    inside.count++;
    let waits = true;
    return () => {
      if (!waits) return;
      waits = false;
      inside.count--;
      this.#letIn();
    };
  }

  close(): void {
    this.#timer?.cancel();
    this.#outside.clear();
  }

  /** Another shard is the first each time. */
  #letIn(): void {
    if (this.#isDue || this.#outside.size === 0) return;
    this.#isDue = true;
    this.#clock.turn(() => {
      this.#isDue = false;
      const shards = [...this.#outside];
      this.#outside.clear();
      const first = this.#first++ % Math.max(1, shards.length);
      for (const shard of [...shards.slice(first), ...shards.slice(0, first)]) this.#wake(shard);
    });
  }
}
