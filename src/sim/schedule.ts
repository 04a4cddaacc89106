// Virtual time. Events lie in a heap ordered by (time, seeded tie-break); one runs, all promises that it woke run, then
// the next is taken. V8 runs promise jobs in a fixed order, so every interleaving comes from the seed alone.
//
// V1. Time never goes back, and moves only from event to event, or as much as an event says that it takes.
// V2. Between two events the microtask queue is empty: one real setImmediate lies between them.
// V3. A stopped run leaves the heap as it is; the next one goes on from there.

import type { Millis } from "../base/index.ts";
import type { Timer } from "../host/index.ts";
import { type EventHash, eventHash } from "./event-hash.ts";
import type { Random } from "./random.ts";
import { forbidGlobals, real } from "./strict-globals.ts";

type Event = { readonly time: Millis; readonly tie: number; readonly label: string; run: (() => void) | undefined };

export type RunLimits = {
  /** Stop before the first event after this time. */
  readonly until?: Millis | undefined;
  /** Stop once this says so; asked after each event. */
  readonly done?: (() => boolean) | undefined;
  /** Make the real globals throw meanwhile. */
  readonly strict?: boolean | undefined;
};

export interface Schedule {
  /** Virtual milliseconds since the world began. */
  now(): Millis;
  /** Events run so far. */
  count(): number;
  /** Time passes and nothing else happens meanwhile: what keeps the processor that long. What was due by then comes late. */
  burn(ms: Millis): void;
  /** Runs `run` at `now + ms`. The label goes into the event hash and the trace. */
  after(ms: Millis, label: string, run: () => void): Timer;
  /** `done` when the limit said so, `idle` when nothing is left to happen (up to `until`; time then moves there). */
  run(limits: RunLimits): Promise<"done" | "idle">;
  readonly hash: EventHash;
  /** Asked before each event; what it does happens between two events. */
  beforeEach: ((label: string) => void) | undefined;
  /** Called when something is put on the heap. */
  onAdded: (() => void) | undefined;
}

const before = (a: Event, b: Event): boolean => a.time < b.time || (a.time === b.time && a.tie < b.tie);

function push(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Event;
    if (!before(event, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = event;
}

function pop(heap: Event[]): Event {
  const top = heap[0] as Event;
  const last = heap.pop() as Event;
  if (heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = at * 2 + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
    if (!before(heap[child] as Event, last)) break;
    heap[at] = heap[child] as Event;
    at = child;
  }
  heap[at] = last;
  return top;
}

/** Immediates queued together run in one turn of the real event loop, with all promise jobs between two of them. */
const stepsAtOnce = 64;

export function createSchedule(random: Random): Schedule {
  const heap: Event[] = [];
  let now: Millis = 0;
  let count = 0;
  let running = false;
  const hash = eventHash();

  /** Runs the next live event, or says why there is none. */
  const next = (until: Millis): boolean => {
    while (heap.length > 0 && (heap[0] as Event).run === undefined) pop(heap);
    if (heap.length === 0 || (heap[0] as Event).time > until) return false;
    schedule.beforeEach?.((heap[0] as Event).label);
    const event = pop(heap);
    now = Math.max(now, event.time);
    const run = event.run;
    if (run === undefined) return true;
    event.run = undefined;
    count++;
    hash.number(now);
    hash.text(event.label);
    run();
    return true;
  };

  const schedule: Schedule = {
    now: () => now,
    count: () => count,
    hash,
    beforeEach: undefined,
    onAdded: undefined,
    burn(ms) {
      now += ms;
    },
    after(ms, label, run) {
      const event: Event = { time: now + (ms > 0 ? ms : 0), tie: random.bits(), label, run };
      push(heap, event);
      schedule.onAdded?.();
      return {
        cancel() {
          event.run = undefined;
        },
      };
    },
    run({ until = Number.POSITIVE_INFINITY, done, strict = false }) {
      if (running) throw new Error("the world is already running");
      running = true;
      const restore = strict ? forbidGlobals() : undefined;
      return new Promise((resolve, reject) => {
        let over = false;
        const end = (settle: () => void): void => {
          over = true;
          running = false;
          restore?.();
          settle();
        };
        const step = (last: boolean): void => {
          if (over) return;
          try {
            if (done?.() === true) return end(() => resolve("done"));
            if (next(until)) return last ? arm() : undefined;
          } catch (error) {
            return end(() => reject(error));
          }
          if (Number.isFinite(until) && until > now) now = until;
          end(() => resolve("idle"));
        };
        const arm = (): void => {
          for (let i = 1; i <= stepsAtOnce; i++) real.setImmediate(step, i === stepsAtOnce);
        };
        arm();
      });
    },
  };
  return schedule;
}
