// Has dead letters tried again that are to be, each at its time. When that is stands in the journal, so it happens whatever dies.
//
// R1. None before its time, and none at once because they are late: what was due while nobody owned the shard follows in the same pace.

import type { Millis } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import { type Agenda, refOf, revival, type Shard, type Task } from "../shards/index.ts";

const lateMs: Millis = 1_000;
const longestPause: Millis = 60_000;
/** Until what could not be noted is looked at again. */
const againMs: Millis = 100;

export class Redrives {
  readonly #host: Host;
  readonly #timers = new Map<Shard, Timer>();
  /** How much later than noted they come (R1). */
  readonly #late = new WeakMap<Agenda, Millis>();
  #closed = false;

  constructor({ host }: { readonly host: Host }) {
    this.#host = host;
  }

  wake(shard: Shard): void {
    this.#timers.get(shard)?.cancel();
    this.#timers.delete(shard);
    if (this.#closed || shard.tenure.kind !== "serving") return;
    const { agenda } = shard.fold;
    for (let task = agenda.again.first; task; task = agenda.again.first) {
      const wait = task.again - shard.now();
      const late = this.#late.get(agenda) ?? 0;
      if (wait + late > 0 && !this.#host.faults.mutant("Q6")) return this.#come(shard, wait + late);
      if (-wait - late > lateMs) {
        this.#late.set(agenda, -wait);
        continue;
      }
      agenda.again.take();
      this.#begin(shard, task);
    }
    this.#late.delete(agenda);
  }

  #begin(shard: Shard, task: Task): void {
    const { agenda } = shard.fold;
    const back = (): void =>
      void this.#host.clock.after(againMs, () => {
        agenda.again.add(task.id);
        this.wake(shard);
      });
    // Somebody decides on it at this moment.
    if (shard.settles(refOf(task))) return back();
    shard.note(revival(task, shard.now()), (error) => error && back());
  }

  #come(shard: Shard, ms: Millis): void {
    this.#timers.get(shard)?.cancel();
    this.#timers.set(
      shard,
      this.#host.clock.after(Math.min(ms, longestPause), () => this.wake(shard)),
    );
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }
}
