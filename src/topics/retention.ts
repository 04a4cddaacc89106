// Lets go of events that their topic does not keep any longer, at shards that are owned here.
//
// R1. An event is trimmed by a record, so that every copy of the shard trims the same.

import { asSheafError, type Instant, type Limits } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import { type CompiledApp, defaultRetention, type Retention as Kept } from "../model/index.ts";
import { type Logged, loggedBytes, type Logs, type Shard, type Shards } from "../shards/index.ts";

export type RetentionOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly app: () => CompiledApp;
};

const pageEvents = 512;

export class Retention {
  readonly #options: RetentionOptions;
  /** When the oldest event of a topic was logged, where that is known. */
  readonly #oldest = new WeakMap<Logs, Map<string, Instant>>();
  #timer: Timer | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#later();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #later(): void {
    const { host, limits } = this.#options;
    this.#timer = host.clock.after(limits.trimEveryMs * (0.5 + host.dice.random()), () => {
      void this.look().then(() => this.#timer && this.#later());
    });
  }

  /** Trims what is over at each shard that is owned here. Never rejects. */
  async look(): Promise<void> {
    for (const shard of this.#options.shards.all) {
      if (shard.tenure.kind !== "serving") continue;
      for (const topic of shard.fold.logs.topics) {
        try {
          while (await this.#trim(shard, topic));
        } catch (error) {
          const { code, message } = asSheafError(error);
          if (code === "NOT_OWNER") break;
          this.#options.host.log.warn("events could not be trimmed", { shard: shard.number, topic, reason: message });
        }
      }
    }
  }

  /** Trims one page of what is over. Tells whether there may be more. */
  async #trim(shard: Shard, topic: string): Promise<boolean> {
    const { logs } = shard.fold;
    const { bytes, floor, last } = logs.of(topic);
    if (floor > last) return false;
    const kept = this.#keeps(topic);
    const cutoff = shard.now() - kept.ageMs;
    const known = this.#known(logs);
    const over = bytes - kept.bytes;
    if (over <= 0 && (known.get(topic) ?? 0) >= cutoff) return false;
    const events = await this.#options.shards.events(shard, topic, Math.max(0, floor - 1), pageEvents);
    const [first] = events;
    if (!first) return false;
    const { count, freed } = gone(events, over, cutoff);
    if (count === 0) {
      known.set(topic, first.at);
      return false;
    }
    known.delete(topic);
    const one = this.#options.host.faults.mutant("T4") ? 1 : 0;
    const below = events[count + one]?.n ?? events.at(-1)!.n + 1;
    await new Promise<void>((resolve, reject) =>
      shard.note({ kind: "trimmed", topic, below, bytes: freed }, (error) => (error ? reject(error) : resolve())),
    );
    return true;
  }

  #known(logs: Logs): Map<string, Instant> {
    let known = this.#oldest.get(logs);
    if (!known) this.#oldest.set(logs, (known = new Map<string, Instant>()));
    return known;
  }

  #keeps(topic: string): Kept {
    const { topics, entities } = this.#options.app();
    const [type = "", event = ""] = topic.split(".");
    return topics.get(topic)?.contract.retain ?? entities.get(type)?.contract.retain?.[event] ?? defaultRetention;
  }
}

/** How many of the first events are over, and what they take. */
function gone(
  events: readonly Logged[],
  over: number,
  cutoff: Instant,
): { readonly count: number; readonly freed: number } {
  let count = 0;
  let freed = 0;
  for (const event of events) {
    if (event.at >= cutoff && freed >= over) break;
    freed += loggedBytes(event);
    count++;
  }
  return { count, freed };
}
