// Following: all shards that this node follows are kept at the end of their journals, by one question to the engine for
// those that it hints have grown, and for all every now and then in case a hint was lost. An owner that has nothing to append
// asks with them, so that it learns of another's claim.
//
// A1. Entries are applied in order, each once, and only to the fold that they were asked for.
// A2. A shard that the journal has been trimmed away under, or that lags, is opened anew; one that cannot be trusted is
//     quarantined (F8).

import { asSheafError, type Seq, type Tick } from "../base/index.ts";
import type { Timer } from "../host/index.ts";
import { maxPageBytes, type Page } from "../journal/index.ts";
import type { Fold } from "./fold.ts";
import { applyEntry, checkBehind } from "./open.ts";
import { within } from "./pause.ts";
import type { Ground, Shard } from "./shard.ts";
import { behind } from "./tenure.ts";

const pageRecords = 512;
/** What a record has besides its commits, at most. */
const spareBytes = 64 * 1024;

export class Tail {
  readonly #ground: Pick<Ground, "host" | "limits" | "engine">;
  readonly #following = new Map<number, Shard>();
  /** Opens a shard again from a snapshot. */
  readonly #reopen: (shard: Shard) => void;
  #unwatch: (() => void) | undefined;
  #timer: Timer | undefined;
  #looking = false;
  #again = false;
  /** Shards to be asked for next. */
  #wanted = new Set<number>();
  #allWanted = false;
  /** When all were asked for last. */
  #allAskedAt: Tick = -Infinity;
  /** How far shards that are owned here had come at the last hint. */
  readonly #ownSeqs = new Map<number, Seq>();
  #scheduled = false;
  #turn = 0;
  #closed = false;

  constructor(ground: Pick<Ground, "host" | "limits" | "engine">, reopen: (shard: Shard) => void) {
    this.#ground = ground;
    this.#reopen = reopen;
  }

  add(shard: Shard): void {
    if (this.#closed) return;
    this.#following.set(shard.number, shard);
    this.#unwatch ??= this.#ground.engine.watch((grown) => this.#soon(grown));
    this.#soon([shard.number]);
  }

  delete(shard: Shard): void {
    this.#following.delete(shard.number);
    if (this.#following.size === 0) this.#pause();
  }

  /** Nothing is followed any more, not even what is opened or handed over later. */
  close(): void {
    this.#closed = true;
    this.#following.clear();
    this.#pause();
  }

  #pause(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  /** Looks at these shards, or at all, once all hints of this turn are in. */
  #soon(shards?: readonly number[]): void {
    if (shards) for (const shard of shards) this.#wanted.add(shard);
    else this.#allWanted = true;
    if (this.#looking) this.#again = true;
    if (this.#looking || this.#scheduled) return;
    this.#scheduled = true;
    this.#ground.host.clock.turn(() => {
      this.#scheduled = false;
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    const { host, limits, engine } = this.#ground;
    if (this.#looking || this.#following.size === 0) return;
    this.#again = false;
    this.#timer?.cancel();
    const askedAt = host.clock.tick();
    const asked = this.#next(askedAt)
      .filter((shard) => shard.held === undefined || shard.idle)
      .map((shard) => ({ shard, fold: shard.fold, from: shard.fold.seq + 1 }));
    if (asked.length === 0) return this.#rest();
    // The engine answers in this order up to so many bytes: nobody is to be last every time.
    asked.unshift(...asked.splice(this.#turn++ % asked.length));
    this.#looking = true;
    const asks = asked.map(({ shard, from }) => ({ shard: shard.number, from }));
    try {
      const pages = await within(host.clock, limits.appendPatienceMs, engine.tail(asks, pageRecords));
      const places = new Map(asked.map((ask) => [ask.shard.number, ask]));
      for (const page of pages) {
        const ask = places.get(page.head.shard);
        if (ask) this.#apply(ask, page);
        // Behind what the engine has, or told by an old copy of it: neither makes this copy fresh.
        if (ask && ask.fold.seq !== page.head.seq) places.delete(page.head.shard);
      }
      // A cut answer says nothing of the shards after the cut: they are looked at again first. It may be cut between shards,
      // where the next record found no room.
      const full = bytesOf(pages) > Math.max(0, maxPageBytes - limits.maxBatchBytes - spareBytes);
      const cut = full || pages.some(({ head, entries }) => (entries.at(-1)?.seq ?? 0) < head.seq);
      const freshAt = host.faults.mutant("C6") ? host.clock.tick() : askedAt;
      if (!cut) for (const { shard } of places.values()) shard.freshAt = freshAt;
      if (full || pages.some(isCut)) this.#soon(asked.map(({ shard }) => shard.number));
    } catch (error) {
      host.log.warn("the journals cannot be followed", { reason: asSheafError(error).message });
    } finally {
      this.#looking = false;
      if (this.#again) this.#soon([]);
      else this.#rest();
    }
  }

  /** The shards that it is time to ask for. */
  #next(now: Tick): Shard[] {
    const all = this.#allWanted || now - this.#allAskedAt >= this.#ground.limits.followEveryMs;
    const wanted = this.#wanted;
    this.#wanted = new Set();
    this.#allWanted = false;
    if (all) this.#allAskedAt = now;
    return [...this.#following.values()].filter((shard) => all || (wanted.has(shard.number) && !this.#isOwn(shard)));
  }

  /** Has this node itself appended since the last hint? Then that is what was hinted at; another's claim behind it is seen
   *  when all are asked for. */
  #isOwn({ number, held, fold }: Shard): boolean {
    if (held === undefined) return false;
    const before = this.#ownSeqs.get(number);
    this.#ownSeqs.set(number, fold.seq);
    return before !== fold.seq;
  }

  #rest(): void {
    const { host, limits } = this.#ground;
    if (this.#following.size > 0) this.#timer = host.clock.after(limits.followEveryMs, () => this.#soon());
  }

  /** There is more, but it was not given: reading it alone says why. */
  async #why(shard: Shard, fold: Fold): Promise<void> {
    const { host, limits, engine } = this.#ground;
    try {
      await within(host.clock, limits.appendPatienceMs, engine.read(shard.number, fold.seq + 1, 1));
    } catch (error) {
      const failure = asSheafError(error, "ENGINE_UNAVAILABLE");
      if (failure.code !== "CORRUPT" || shard.fold !== fold || shard.tenure.kind !== "following") return;
      this.delete(shard);
      shard.quarantine(failure);
    }
  }

  #apply({ shard, fold, from }: { shard: Shard; fold: Fold; from: number }, page: Page): void {
    if (this.#following.get(shard.number) !== shard) return;
    if (shard.held !== undefined) return fenceIdle(shard, page);
    if (shard.tenure.kind !== "following") return;
    if (shard.fold !== fold || fold.seq + 1 !== from) return; // it was opened anew meanwhile
    if (page.first > from && page.head.seq >= from) return this.#reopen(shard);
    if (page.head.seq < from - 1 && this.#ground.host.faults.mutant("C5"))
      return shard.quarantine(behind(shard.number));
    if (page.head.seq < from - 1) return void checkBehind(shard).catch(() => {});
    try {
      for (const entry of page.entries) applyEntry(shard, entry);
    } catch (error) {
      this.delete(shard);
      return shard.quarantine(asSheafError(error));
    }
    if (fold.seq < page.head.seq && page.entries.length > 0) this.#soon([shard.number]);
    else if (fold.seq < page.head.seq) void this.#why(shard, fold);
  }
}

/** There is more of this shard, and perhaps of those after it, than one answer holds. */
const isCut = ({ head, entries }: Page): boolean => entries.length > 0 && (entries.at(-1)?.seq ?? 0) < head.seq;

const bytesOf = (pages: readonly Page[]): number =>
  pages.reduce((sum, { entries }) => entries.reduce((all, { record }) => all + record.length, sum), 0);

/** What is read of a journal whose owner has nothing under way is another's, or the owner's own of a moment ago. */
function fenceIdle(shard: Shard, { head, entries }: Page): void {
  if (shard.held === undefined || !shard.idle) return;
  // The last record may be one to be voided, of an epoch below the claim's.
  const epoch = entries.reduce((highest, entry) => Math.max(highest, entry.epoch), head.epoch);
  if (epoch > shard.held) shard.stepDown(epoch);
}
