// Reads topics' logs for those who pull: what is there, or, for a while, what comes.

import { type Limits, type Millis, SheafError } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { type Logged, loggedBytes, type Shard, type Shards } from "../shards/index.ts";

/** What is asked of a shard that has a part of a topic. */
export type Read = {
  readonly topic: string;
  /** The number of the last event that the reader has. */
  readonly after: number;
  readonly limit: number;
  /** How long to wait for an event where there is none. */
  readonly waitMs: Millis;
};

/** What the shard has: the events as `[n, key, at, schema, value]`, the number of the newest, and the first that may be there. */
export type ReadReply = {
  readonly events: readonly (readonly [number, string, number, number, Uint8Array])[];
  readonly last: number;
  readonly floor: number;
};

export type ReadersOptions = { readonly host: Host; readonly limits: Limits; readonly shards: Shards };

type Waiting = { readonly topic: string; readonly after: number; readonly tell: () => void };

const mostEvents = 512;
const longestWait: Millis = 30_000;
/** How often it is looked whether the shard is still owned here. */
const lookEveryMs: Millis = 500;
/** What an answer holds, about; more when one event is more. */
const mostBytes = 1024 * 1024;
/** An answer comes in time for the deadline of its call. */
const answerMs: Millis = 100;

export class Readers {
  readonly #options: ReadersOptions;
  readonly #waiting = new Map<Shard, Set<Waiting>>();

  constructor(options: ReadersOptions) {
    this.#options = options;
  }

  /** Tells those who wait for what has come at a shard. */
  wake(shard: Shard): void {
    for (const waiting of this.#waiting.get(shard) ?? [])
      if (shard.fold.logs.of(waiting.topic).last > waiting.after) waiting.tell();
  }

  close(): void {
    for (const all of this.#waiting.values()) for (const { tell } of all) tell();
  }

  async read(call: Call): Promise<Reply> {
    const { target } = call;
    if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
    const shard = this.#options.shards.of(target.entity, target.key);
    const { topic, after, limit, waitMs } = readOf(call.input);
    shard.serving();
    const { clock, faults } = this.#options.host;
    const isThere = shard.fold.logs.of(topic).last > after;
    if (faults.mutant("T6")) await new Promise<void>((resolve) => void clock.after(2, resolve));
    if (!isThere && waitMs > 0) await this.#wait(shard, topic, after, waitMs, call);
    shard.serving();
    const events = await this.#options.shards.events(shard, topic, after, Math.min(limit, mostEvents));
    const { last, floor } = shard.fold.logs.of(topic);
    const output: ReadReply = { events: fitting(events).map(packed), last, floor };
    return { output };
  }

  #wait(shard: Shard, topic: string, after: number, waitMs: Millis, { deadline, signal }: Call): Promise<void> {
    const { clock } = this.#options.host;
    const ms = Math.min(waitMs, longestWait, deadline - clock.tick() - answerMs);
    if (ms <= 0) return Promise.resolve();
    const until = clock.tick() + ms;
    return new Promise((resolve) => {
      let all = this.#waiting.get(shard);
      if (!all) this.#waiting.set(shard, (all = new Set()));
      const tell = (): void => {
        timer.cancel();
        all.delete(waiting);
        signal?.removeEventListener("abort", tell);
        resolve();
      };
      const waiting: Waiting = { topic, after, tell };
      const { held } = shard;
      // What comes at another owner nobody here is told of.
      const look = (): void => {
        const left = until - clock.tick();
        if (left <= 0 || shard.held !== held) tell();
        else timer = clock.after(Math.min(left, lookEveryMs), look);
      };
      let timer: Timer = clock.after(Math.min(ms, lookEveryMs), look);
      all.add(waiting);
      signal?.addEventListener("abort", tell, { once: true });
    });
  }
}

/** The first of these, as many as one answer holds. */
function fitting(events: readonly Logged[]): readonly Logged[] {
  let bytes = 0;
  const over = events.findIndex((event, i) => (bytes += loggedBytes(event)) > mostBytes && i > 0);
  return over < 0 ? events : events.slice(0, over);
}

const packed = ({ n, key, at, schema, value }: Logged): ReadReply["events"][number] => [n, key, at, schema, value];

/** Throws MALFORMED for what no reader asks. */
function readOf(input: unknown): Read {
  const { topic, after, limit, waitMs } = (input ?? {}) as Partial<Read>;
  const numbers = [after, limit, waitMs].every((n) => Number.isSafeInteger(n) && n! >= 0);
  if (typeof topic !== "string" || !numbers) throw new SheafError("MALFORMED", "this asks for no events");
  return { topic, after: after!, limit: Math.max(1, limit!), waitMs: waitMs! };
}
