// The topics of one node: events taken in, read, made something of, and let go.

import { type Instant, type Limits, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { CompiledApp } from "../model/index.ts";
import type { Call, Reply, Sessions } from "../rpc/index.ts";
import type { Shard, Shards } from "../shards/index.ts";
import { Consumers } from "./consumers.ts";
import { free, Places } from "./places.ts";
import { Publications } from "./publications.ts";
import { Readers } from "./readers.ts";
import { Retention } from "./retention.ts";
import { type Stuck, Subscriptions } from "./subscriptions.ts";

export type TopicsOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  /** The application as it is now. */
  readonly app: () => CompiledApp;
  readonly tokens: () => Sessions | undefined;
};

export class Topics {
  readonly #shards: Shards;
  readonly #publications: Publications;
  readonly #readers: Readers;
  readonly #subscriptions: Subscriptions;
  readonly #places: Places;
  readonly #consumers: Consumers;
  readonly retention: Retention;

  constructor(options: TopicsOptions) {
    this.#shards = options.shards;
    this.#publications = new Publications(options);
    this.#readers = new Readers(options);
    this.#subscriptions = new Subscriptions(options);
    this.#places = new Places(options);
    this.#consumers = new Consumers(options);
    this.retention = new Retention(options);
  }

  get inFlight(): number {
    return this.#publications.inFlight;
  }

  /** What is asked of a topic at a shard: to publish, to read, or where a group is. */
  async call(call: Call): Promise<Reply> {
    const { kind, name } = call.target;
    if (name === "read") return this.#readers.read(call);
    if (name === "publish" && kind === "command") return this.#publications.publish(call);
    if (name === "place") return this.#places.place(call);
    if (name === "join") return this.#consumers.join(call);
    if (name === "move" && kind === "command") return this.#places.move(call);
    if (name === "hold" && kind === "command") return this.#places.hold(call);
    if (name === "release" && kind === "command") return this.#places.release(call);
    throw new SheafError("UNKNOWN_TARGET");
  }

  /** Events have come at a shard that is owned here, or it has just been won. */
  wake(shard: Shard): void {
    this.#readers.wake(shard);
    this.#subscriptions.wake(shard);
  }

  /** The code was exchanged: what stood still is tried again, and what is new begins. */
  reload(): void {
    for (const shard of this.#shards.all) this.#subscriptions.retry(shard);
  }

  /** Moves a group to behind the event of that number; a consumer that holds the shard begins anew there. Rejects IN_USE, NOT_OWNER. */
  async seek(shard: Shard, group: string, topic: string, through: number): Promise<void> {
    await this.#subscriptions.seek(shard, group, topic, through);
    if (shard.fold.logs.place(group, topic)?.held) await free(shard, group, topic);
  }

  /** Has a group rest, go on, or be forgotten at a shard. Rejects IN_USE, NOT_OWNER. */
  set(shard: Shard, group: string, topic: string, state: "paused" | "open" | "gone"): Promise<void> {
    return this.#subscriptions.set(shard, group, topic, state);
  }

  /** The number of the last event that was logged before that time. */
  before(shard: Shard, topic: string, at: Instant): Promise<number> {
    return this.#subscriptions.before(shard, topic, at);
  }

  /** Why a subscription stands still at a shard; undefined when it does not. */
  stuck(shard: Shard, name: string): Stuck | undefined {
    return this.#subscriptions.stuck(shard, name);
  }

  close(): void {
    this.#publications.close();
    this.#readers.close();
    this.#subscriptions.close();
    this.retention.close();
  }
}
