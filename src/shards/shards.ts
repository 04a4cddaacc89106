// All shards of one node: opening as owner or follower, giving up, saving to the local store, snapshots, closing.

import {
  type Apart,
  asSheafError,
  type Limits,
  placing,
  type Shard as ShardNumber,
  SheafError,
} from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { Engine, RecordCodec, SnapshotOptions } from "../journal/index.ts";
import { Committer } from "./committer.ts";
import { resolveDoubt } from "./doubt.ts";
import { Fold, type Hot } from "./fold.ts";
import { shardMeters } from "./meters.ts";
import { readLog } from "./log-pages.ts";
import type { Logged } from "./logs.ts";
import { openShard } from "./open.ts";
import { type Ground, Shard } from "./shard.ts";
import { Snapshotter } from "./snapshotter.ts";
import type { Changes, Store } from "./store.ts";
import { Tail } from "./tail.ts";

export type ShardsOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly engine: Engine;
  readonly store: Store;
  readonly codec: RecordCodec;
  readonly snapshotOptions: SnapshotOptions;
  readonly cluster: string;
  readonly node: string;
  readonly count: number;
  /** Entities with shards of their own; none when absent. */
  readonly apart?: readonly Apart[] | undefined;
  /** Other nodes may claim and follow the same shards. */
  readonly shared: boolean;
  /** How many other copies should write a snapshot of a shard before this node does; none when absent. */
  readonly snapshotTurn?: ((shard: Shard) => number) | undefined;
  /** Told when there is something to be done at a shard that is owned here. */
  readonly worked?: ((shard: Shard) => void) | undefined;
};

/** Shards opened at once: each may hold a snapshot in memory while it is loaded. */
const openingAtOnce = 16;

export class Shards {
  readonly all: readonly Shard[];
  readonly #options: ShardsOptions;
  readonly #place: (type: string, key: string) => ShardNumber;
  readonly #loading = new Map<string, Promise<Hot>>();
  readonly #opening = new Map<ShardNumber, Promise<void>>();
  readonly #tail: Tail;
  readonly #committer: Committer;
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();
  #closed = false;
  readonly #snapshotter: Snapshotter;

  constructor(options: ShardsOptions) {
    this.#options = options;
    this.#place = placing(options.count, options.apart);
    const meters = shardMeters(options.host.meter);
    const committer = new Committer({ ...options, meters });
    this.#committer = committer;
    const { host, limits, engine, codec, snapshotOptions, cluster, node } = options;
    const ground: Ground = {
      host,
      limits,
      engine,
      codec,
      snapshotOptions,
      cluster,
      node,
      alone: !options.shared,
      meters,
      ready: (shard) => committer.ready(shard),
      doubt: (shard) => void resolveDoubt(shard),
      worked: options.worked ?? (() => {}),
    };
    this.all = Array.from({ length: options.count }, (_, number) => new Shard(number, ground));
    const { store, snapshotTurn: turn = () => 0 } = options;
    this.#snapshotter = new Snapshotter({ host, limits, store, turn });
    this.#tail = new Tail(ground, (shard) => this.#reopen(shard));
    this.#saveLater();
  }

  /** Whether the engine answered what it was asked last. When it did not it is asked again, so that this shows when it does. */
  isAnswered(): boolean {
    return this.#committer.isAnswered();
  }

  of(type: string, key: string): Shard {
    return this.all[this.#place(type, key)] as Shard;
  }

  /** Opens these shards, some at a time, to own or to follow them. Resolves with the errors of those that could not be
   *  opened. */
  async open(
    numbers: readonly ShardNumber[],
    as: "owner" | "follower" = "owner",
  ): Promise<Map<ShardNumber, SheafError>> {
    const failed = new Map<ShardNumber, SheafError>();
    const left = [...numbers];
    const worker = async (): Promise<void> => {
      for (let number = left.shift(); number !== undefined; number = left.shift()) {
        try {
          await this.#open(number, as);
        } catch (error) {
          failed.set(number, asSheafError(error, "ENGINE_UNAVAILABLE"));
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(openingAtOnce, left.length) }, worker));
    return failed;
  }

  /** Once for all who ask meanwhile. A save under way ends first: it may hold what the shard was before it was lost. */
  #open(number: ShardNumber, as: "owner" | "follower"): Promise<void> {
    const under = this.#opening.get(number);
    if (under) return as === "follower" ? under : under.then(() => this.#open(number, as));
    const shard = this.all[number] as Shard;
    if (shard.held !== undefined) return Promise.resolve();
    const opening = this.#saving
      .then(() => {
        this.#tail.delete(shard);
        return openShard(shard, this.#options.store, as);
      })
      .finally(() => {
        this.#opening.delete(number);
        if (this.#options.shared && (shard.held !== undefined || shard.tenure.kind === "following"))
          this.#tail.add(shard);
      });
    this.#opening.set(number, opening);
    return opening;
  }

  #reopen(shard: Shard): void {
    this.#tail.delete(shard);
    shard.close();
    void this.open([shard.number], "follower");
  }

  /** Makes durable what this owner has accepted, then only follows. Rejects when the shard was lost meanwhile, or the
   *  engine does not answer: then it stays the owner. */
  async handOver(number: ShardNumber): Promise<void> {
    const shard = this.all[number] as Shard;
    shard.release();
    try {
      if (this.#options.host.faults.mutant("C2")) shard.landed({ kind: "durable" });
      else await new Promise<void>((resolve, reject) => shard.settled((error) => (error ? reject(error) : resolve())));
    } catch (error) {
      if (shard.tenure.kind === "releasing") {
        shard.tenure = { kind: "serving", epoch: shard.tenure.epoch };
        shard.ground.worked(shard);
      }
      throw error;
    }
    shard.follow(this.#options.host.clock.tick());
    this.#tail.add(shard);
  }

  /** Gives a shard up: neither owned nor followed. */
  rest(number: ShardNumber): void {
    const shard = this.all[number] as Shard;
    this.#tail.delete(shard);
    shard.close();
    shard.fold = new Fold(number, this.#options.limits);
  }

  /** The entity, from memory or else from the local store. Loads of one key are shared. */
  load(shard: Shard, type: string, key: string): Promise<Hot> {
    const name = `${type}\n${key}`;
    let loading = this.#loading.get(name);
    if (!loading) {
      const { fold } = shard;
      fold.loading++;
      loading = this.#options.store.cell(shard.number, type, key).then(
        (cell) => {
          fold.loading--;
          this.#loading.delete(name);
          if (shard.fold !== fold) throw new SheafError("NOT_OWNER");
          return fold.warm(type, key, cell);
        },
        (error) => {
          fold.loading--;
          this.#loading.delete(name);
          throw asSheafError(error, "ENGINE_UNAVAILABLE");
        },
      );
      this.#loading.set(name, loading);
    }
    return loading;
  }

  /** Events of a topic that the shard's copy here has behind the one numbered `after`, in order: none when there is none, and no more
   *  than `limit` or so. */
  async events(shard: Shard, topic: string, after: number, limit: number): Promise<readonly Logged[]> {
    const { logs } = shard.fold;
    return readLog(logs, topic, after, limit, async (type, from, most) => {
      const cells = await this.#options.store.search(type, "", from, most, shard.number);
      if (shard.fold.logs !== logs) throw new SheafError("NOT_OWNER");
      return cells;
    });
  }

  #saveLater(): void {
    if (this.#closed) return;
    this.#timer = this.#options.host.clock.after(this.#options.limits.saveEveryMs, () => {
      void this.save().then(() => this.#saveLater());
    });
  }

  /** Saves what changed, and has the snapshots written that are due. One at a time; never rejects. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save());
    return this.#saving;
  }

  async #save(): Promise<void> {
    const { store, host } = this.#options;
    const changes: { shard: Shard; fold: Shard["fold"]; change: Changes }[] = [];
    for (const shard of this.all) {
      if (shard.held === undefined && shard.tenure.kind !== "following") continue;
      const change = shard.fold.drain();
      if (change) changes.push({ shard, fold: shard.fold, change });
    }
    if (changes.length === 0) return;
    try {
      await store.save(changes.map(({ change }) => change));
      for (const { fold, change } of changes) fold.saved(change);
    } catch (error) {
      host.log.error("the local store cannot be written", { reason: asSheafError(error).message });
      for (const { fold, change } of changes) fold.unsaved(change);
      return;
    }
    this.#snapshotter.consider(changes.map(({ shard }) => shard));
  }

  /** Saves, stops the timers, and gives up what is under way: its outcome is unknown. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.save();
    await this.#snapshotter.close();
    this.#tail.close();
    for (const shard of this.all) if (shard.tenure.kind !== "quarantined") shard.close();
  }
}
