// How far the topics are that somebody reads here: one question to each shard of a topic waits for its next event, however many
// streams there are.

import type { Millis } from "../base/index.ts";
import type { Clock } from "../host/index.ts";
import { Cancel } from "../rpc/index.ts";
import type { TopicReads } from "./topic-reads.ts";

const waitMs: Millis = 25_000;
const pauseMs: Millis = 500;

/** The end of one topic, as its readers follow it. */
export class Tail {
  /** The number of the newest event of each shard, as far as that is known here; -1 while it is not. */
  readonly last: number[];
  readonly #listeners = new Set<() => void>();
  readonly #closed = new Cancel();
  readers = 0;

  constructor(reads: TopicReads, clock: Clock, topic: string) {
    this.last = Array.from({ length: reads.shards }, () => -1);
    for (let shard = 0; shard < reads.shards; shard++) void this.#follow(reads, clock, topic, shard);
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed.abort(undefined);
  }

  async #follow(reads: TopicReads, clock: Clock, topic: string, shard: number): Promise<void> {
    const signal = this.#closed;
    while (!signal.aborted) {
      const known = this.last[shard]!;
      try {
        const asked = { after: Math.max(0, known), limit: 1, waitMs: known < 0 ? 0 : waitMs, signal };
        const { last } = await reads.read(topic, shard, asked);
        this.last[shard] = Math.max(known, last);
        if (last > known && last > 0) for (const listener of this.#listeners) listener();
      } catch {
        // The shard moves, or the node is about to stop; whoever reads is told by their own questions.
        await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
      }
    }
  }
}

export class Tails {
  readonly #reads: TopicReads;
  readonly #clock: Clock;
  readonly #open = new Map<string, Tail>();

  constructor(reads: TopicReads, clock: Clock) {
    this.#reads = reads;
    this.#clock = clock;
  }

  /** The tail of a topic, for one more reader. */
  take(topic: string): Tail {
    let tail = this.#open.get(topic);
    if (!tail) this.#open.set(topic, (tail = new Tail(this.#reads, this.#clock, topic)));
    tail.readers++;
    return tail;
  }

  give(topic: string, tail: Tail): void {
    if (--tail.readers > 0) return;
    tail.close();
    if (this.#open.get(topic) === tail) this.#open.delete(topic);
  }
}
