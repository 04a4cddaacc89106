// Reads topics' logs for those who pull: what is there, or, for a while, what comes.

import { type Limits, type Millis, SheafError } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { Logged, Shard, Shards } from "../shards/index.ts";

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
    if (shard.fold.logs.of(topic).last <= after && waitMs > 0) await this.#wait(shard, topic, after, waitMs, call);
    shard.serving();
    const events = await this.#options.shards.events(shard, topic, after, Math.min(limit, mostEvents));
    const { last, floor } = shard.fold.logs.of(topic);
    const output: ReadReply = { events: events.map(packed), last, floor };
    return { output };
  }

  #wait(shard: Shard, topic: string, after: number, waitMs: Millis, { deadline, signal }: Call): Promise<void> {
    const { clock } = this.#options.host;
    const ms = Math.min(waitMs, longestWait, deadline - clock.tick() - answerMs);
    if (ms <= 0) return Promise.resolve();
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
      const timer: Timer = clock.after(ms, tell);
      all.add(waiting);
      signal?.addEventListener("abort", tell, { once: true });
    });
  }
}

const packed = ({ n, key, at, schema, value }: Logged): ReadReply["events"][number] => [n, key, at, schema, value];

/** Throws MALFORMED for what no reader asks. */
function readOf(input: unknown): Read {
  const { topic, after, limit, waitMs } = (input ?? {}) as Partial<Read>;
  const numbers = [after, limit, waitMs].every((n) => Number.isFinite(n) && n! >= 0);
  if (typeof topic !== "string" || !numbers) throw new SheafError("MALFORMED", "this asks for no events");
  return { topic, after: after!, limit: Math.max(1, limit!), waitMs: waitMs! };
}
