// All shards of one node: opening, saving to the local store, snapshots, closing.

import { asSheafError, type Limits, type Shard as ShardNumber, SheafError, shardOf } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { Engine, RecordCodec, SnapshotOptions } from "../journal/index.ts";
import { Committer } from "./committer.ts";
import { resolveDoubt } from "./doubt.ts";
import type { Hot } from "./fold.ts";
import { shardMeters } from "./meters.ts";
import { openShard } from "./open.ts";
import { type Ground, Shard } from "./shard.ts";
import { writeSnapshot } from "./snapshots.ts";
import type { Changes, Store } from "./store.ts";

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
};

/** Shards opened at once: each may hold a snapshot in memory while it is loaded. */
const openingAtOnce = 16;

export class Shards {
  readonly all: readonly Shard[];
  readonly #options: ShardsOptions;
  readonly #loading = new Map<string, Promise<Hot>>();
  readonly #opening = new Map<ShardNumber, Promise<void>>();
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();
  #closed = false;
  readonly #snapshotBytes = new Map<ShardNumber, number>();

  constructor(options: ShardsOptions) {
    this.#options = options;
    const meters = shardMeters(options.host.meter);
    const committer = new Committer({ ...options, meters });
    const { host, limits, engine, codec, snapshotOptions, cluster, node } = options;
    const ground: Ground = {
      host,
      limits,
      engine,
      codec,
      snapshotOptions,
      cluster,
      node,
      meters,
      ready: (shard) => committer.ready(shard),
      doubt: (shard) => void resolveDoubt(shard),
    };
    this.all = Array.from({ length: options.count }, (_, number) => new Shard(number, ground));
    this.#saveLater();
  }

  of(type: string, key: string): Shard {
    return this.all[shardOf(type, key, this.all.length)] as Shard;
  }

  /** Opens these shards, some at a time. Resolves with the errors of those that could not be opened. */
  async open(numbers: readonly ShardNumber[]): Promise<Map<ShardNumber, SheafError>> {
    const failed = new Map<ShardNumber, SheafError>();
    const left = [...numbers];
    const worker = async (): Promise<void> => {
      for (let number = left.shift(); number !== undefined; number = left.shift()) {
        try {
          await this.#open(number);
        } catch (error) {
          failed.set(number, asSheafError(error, "ENGINE_UNAVAILABLE"));
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(openingAtOnce, left.length) }, worker));
    return failed;
  }

  /** Once for all who ask meanwhile. A save under way ends first: it may hold what the shard was before it was lost. */
  #open(number: ShardNumber): Promise<void> {
    const under = this.#opening.get(number);
    if (under) return under;
    const shard = this.all[number] as Shard;
    const opening = this.#saving
      .then(() => openShard(shard, this.#options.store))
      .finally(() => this.#opening.delete(number));
    this.#opening.set(number, opening);
    return opening;
  }

  /** The entity, from memory or else from the local store. Loads of one key are shared. */
  load(shard: Shard, type: string, key: string): Promise<Hot> {
    const name = `${type}\n${key}`;
    let loading = this.#loading.get(name);
    if (!loading) {
      const { fold } = shard;
      loading = this.#options.store.cell(shard.number, type, key).then(
        (cell) => {
          this.#loading.delete(name);
          if (shard.fold !== fold) throw new SheafError("NOT_OWNER");
          return fold.warm(type, key, cell);
        },
        (error) => {
          this.#loading.delete(name);
          throw asSheafError(error, "ENGINE_UNAVAILABLE");
        },
      );
      this.#loading.set(name, loading);
    }
    return loading;
  }

  #saveLater(): void {
    if (this.#closed) return;
    this.#timer = this.#options.host.clock.after(this.#options.limits.saveEveryMs, () => {
      void this.save().then(() => this.#saveLater());
    });
  }

  /** Saves what changed, then writes the snapshots that are due. One at a time; never rejects. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save());
    return this.#saving;
  }

  async #save(): Promise<void> {
    const { store, host } = this.#options;
    const changes: { shard: Shard; fold: Shard["fold"]; change: Changes }[] = [];
    for (const shard of this.all) {
      if (shard.tenure.kind !== "serving") continue;
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
    for (const { shard } of changes) if (this.#due(shard)) await this.snapshot(shard);
  }

  #due(shard: Shard): boolean {
    const last = this.#snapshotBytes.get(shard.number) ?? 0;
    return shard.journaledBytes >= Math.max(this.#options.limits.snapshotEveryBytes, 4 * last);
  }

  /** Writes a snapshot now. A failure is logged: the journal is not trimmed, nothing is lost. */
  async snapshot(shard: Shard): Promise<void> {
    const before = shard.journaledBytes;
    try {
      const bytes = await writeSnapshot(shard, this.#options.store);
      this.#snapshotBytes.set(shard.number, bytes);
      shard.journaledBytes -= before;
    } catch (error) {
      this.#options.host.log.warn("a snapshot could not be written", {
        shard: shard.number,
        reason: asSheafError(error).message,
      });
    }
  }

  /** Saves, stops the timers, and gives up what is under way: its outcome is unknown. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.save();
    for (const shard of this.all) if (shard.tenure.kind === "serving") shard.close();
  }
}
