// Deadlines for very many calls at once: one coarse timer per span of time instead of one per call. Adding and removing
// cost a set operation; a deadline fires up to `grainMs` late, never early.

import type { Millis, Tick } from "../base/index.ts";
import type { Clock, Timer } from "./host.ts";

export interface Expiring {
  /** On the same clock as the wheel's. */
  readonly deadline: Tick;
  expire(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #grain: Millis;
  readonly #slots = new Map<number, { timer: Timer; waiting: Set<Expiring> }>();

  constructor(clock: Clock, grainMs: Millis = 20) {
    this.#clock = clock;
    this.#grain = grainMs;
  }

  add(item: Expiring): void {
    const number = Math.floor(item.deadline / this.#grain) + 1;
    const slot = this.#slots.get(number);
    if (slot) {
      slot.waiting.add(item);
      return;
    }
    const waiting = new Set([item]);
    const timer = this.#clock.after(Math.max(0, number * this.#grain - this.#clock.tick()), () => {
      this.#slots.delete(number);
      for (const due of waiting) due.expire();
    });
    this.#slots.set(number, { timer, waiting });
  }

  remove(item: Expiring): void {
    this.#slots.get(Math.floor(item.deadline / this.#grain) + 1)?.waiting.delete(item);
  }

  /** Cancels every timer; nothing expires any more. */
  close(): void {
    for (const slot of this.#slots.values()) slot.timer.cancel();
    this.#slots.clear();
  }
}
