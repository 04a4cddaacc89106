// How far the topics are that somebody reads here: one question to each shard of a topic waits for its next events, however many
// streams there are, and what it brings serves all those that have read as far.

import type { Millis, Tick } from "../base/index.ts";
import type { Clock } from "../host/index.ts";
import { Cancel } from "../rpc/index.ts";
import type { ReadReply } from "../topics/index.ts";
import type { TopicReads } from "./topic-reads.ts";

const waitMs: Millis = 25_000;
const pauseMs: Millis = 500;
/** Events that one question brings at most. */
export const pageEvents = 64;

/** The end of one topic, as its readers follow it. */
export class Tail {
  /** The number of the newest event of each shard, as far as that is known here; -1 while it is not. */
  readonly last: number[];
  /** What came last at each shard, and behind which event. */
  readonly #newest: ({ readonly after: number; readonly reply: ReadReply } | undefined)[] = [];
  readonly #listeners = new Set<() => void>();
  /** Since when each shard that cannot be asked has failed. */
  readonly #failing = new Map<number, Tick>();
  readonly #closed = new Cancel();
  readers = 0;

  constructor(reads: TopicReads, clock: Clock, topic: string) {
    this.last = Array.from({ length: reads.shards }, () => -1);
    for (let shard = 0; shard < reads.shards; shard++) void this.#follow(reads, clock, topic, shard);
  }

  /** The events of a shard behind that one, if they are the newest; undefined when they are to be read. */
  newest(shard: number, after: number): ReadReply | undefined {
    const newest = this.#newest[shard];
    if (!newest || after < newest.after) return undefined;
    const events = newest.reply.events.filter(([n]) => n > after);
    return events.length > 0 ? { ...newest.reply, events } : undefined;
  }

  /** Since when some shard could not be asked; undefined when all can. */
  get failingSince(): Tick | undefined {
    return this.#failing.size === 0 ? undefined : Math.min(...this.#failing.values());
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
        const first = known < 0;
        const after = first ? 0 : known;
        const asked = { after, limit: first ? 1 : pageEvents, waitMs: first ? 0 : waitMs, signal };
        const reply = await reads.read(topic, shard, asked);
        this.#failing.delete(shard);
        this.last[shard] = Math.max(known, reply.last);
        if (!first && reply.events.length > 0) this.#newest[shard] = { after, reply };
        if (reply.last > known && reply.last > 0) for (const listener of this.#listeners) listener();
      } catch {
        // The shard moves, or the node is about to stop.
        if (!this.#failing.has(shard)) this.#failing.set(shard, clock.tick());
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
