// What one consumer of a group has of a topic's shards, and how it comes to have it: who should have a shard is computed of all that live;
// who has it is in the shard's journal. So two may differ about who lives, and still one at most has a shard.
//
// H1. Nothing is sent of a shard that is not held, nor when the group's shard was not told for so long that others may take this one for dead.
// H2. A consumer that is to give a shard up is sent no more of it, has a while to say that it is done with what it was sent, and then gives it
//     up: what it has not said is sent again to whoever has the shard next.
// H3. It begins at the place that the group has when the hold begins.

import { asSheafError, type Limits, type Tick } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import { beatsPerLease } from "../topics/index.ts";
import { shareOut } from "./share-out.ts";
import type { TopicReads } from "./topic-reads.ts";

export type ShareOptions = {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly reads: TopicReads;
  readonly topic: string;
  readonly group: string;
  readonly consumer: string;
  /** Where it begins at shards at which the group has not been; from then on where the stream is. */
  readonly places: number[];
};

type Held = {
  readonly since: number;
  /** Up to which the group has been told to be done, as far as that is known here, and since when it was not further. */
  done: number;
  doneAt: Tick;
  /** Since when it is to be given up. */
  leaving?: Tick;
};

/** Beats for which a consumer that gives a shard up may still say what it has done. */
const graceBeats = 5;
/** Each shard is looked at once in so many beats, though nothing is to be done there. */
const lookEvery = 8;

export class Share {
  readonly group: string;
  /** Since which record each shard is held; 0 where it is not. In the ids of events. */
  readonly holds: number[];
  /** Called when there may be more to send, or the share is over. */
  changed: () => void = () => {};
  /** Why it is over: it said of nothing for too long that it is done. */
  isStalled = false;
  readonly #options: ShareOptions;
  readonly #held = new Map<number, Held>();
  #until: Tick = 0;
  #beats = 0;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(options: ShareOptions) {
    this.#options = options;
    this.group = options.group;
    this.holds = options.places.map(() => 0);
  }

  /** Makes the consumer known, and gets it what it is to have. Rejects when that cannot be done now. */
  async begin(): Promise<void> {
    try {
      const ended = await this.#beat();
      const refused = ended.find((one) => one.status === "rejected" && asSheafError(one.reason).retry === "never");
      if (refused) throw (refused as PromiseRejectedResult).reason;
    } catch (error) {
      void this.end();
      throw error;
    }
    this.#next();
  }

  /** May events of that shard be sent (H1, H2)? */
  may(shard: number): boolean {
    const held = this.#held.get(shard);
    return held !== undefined && held.leaving === undefined && this.#options.clock.tick() < this.#until;
  }

  /** Gives everything up. */
  async end(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    const { reads, topic, consumer } = this.#options;
    const all = Array.from(this.#held, ([shard, { since }]) => reads.release(topic, this.group, shard, since));
    this.#held.clear();
    await Promise.allSettled([...all, reads.join(topic, this.group, consumer, true)]);
  }

  #next(): void {
    if (this.#isOver) return;
    const { clock, limits } = this.#options;
    this.#timer = clock.after(limits.consumerBeatMs, () => {
      // A beat that fails is made up for by the next.
      void this.#beat()
        .catch(() => undefined)
        .then(() => this.#next());
    });
  }

  async #beat(): Promise<readonly PromiseSettledResult<void>[]> {
    const { clock, limits, reads, topic, consumer, places } = this.#options;
    const beat = this.#beats++;
    const asked = clock.tick();
    const { living, settled } = await reads.join(topic, this.group, consumer);
    if (this.#isOver) return [];
    this.#until = asked + beatsPerLease * limits.consumerBeatMs;
    const owners = shareOut(living, places.length);
    const all = owners.map(async (owner, shard) => {
      const held = this.#held.get(shard);
      if (held) return this.#keep(shard, held, owner === consumer || !settled, beat);
      if (owner === consumer) await this.#take(shard, settled ? living : undefined);
    });
    const ended = await Promise.allSettled(all);
    if (this.isStalled) void this.end();
    this.changed();
    return ended;
  }

  async #take(shard: number, living: readonly string[] | undefined): Promise<void> {
    const { clock, reads, topic, consumer, places } = this.#options;
    const begin = places[shard]!;
    const { place, by, since } = await reads.hold(topic, this.group, shard, { consumer, begin, living });
    if (by !== consumer || since === null) return;
    if (this.#isOver) return reads.release(topic, this.group, shard, since);
    const done = place ?? 0;
    this.#held.set(shard, { since, done, doneAt: clock.tick() });
    this.holds[shard] = since;
    places[shard] = done;
  }

  async #keep(shard: number, held: Held, isMine: boolean, beat: number): Promise<void> {
    const { clock, limits, reads, topic, places } = this.#options;
    if (isMine) delete held.leaving;
    else held.leaving ??= clock.tick();
    const sent = places[shard]!;
    if (sent > held.done || beat % lookEvery === shard % lookEvery) await this.#look(shard, held);
    if (this.#held.get(shard) !== held) return;
    const now = clock.tick();
    if (sent > held.done && now - held.doneAt >= limits.consumerStallMs) this.isStalled = true;
    if (held.leaving === undefined) return;
    if (sent > held.done && now - held.leaving < graceBeats * limits.consumerBeatMs) return;
    this.#lose(shard);
    await reads.release(topic, this.group, shard, held.since);
  }

  /** How far the group is there, if the shard is still held. */
  async #look(shard: number, held: Held): Promise<void> {
    const { clock, reads, topic } = this.#options;
    const { place, since } = await reads.place(topic, this.group, shard);
    if (since !== held.since) return this.#lose(shard);
    if (place === null || place <= held.done) return;
    held.done = place;
    held.doneAt = clock.tick();
  }

  #lose(shard: number): void {
    this.#held.delete(shard);
    this.holds[shard] = 0;
  }

  /** The last time that nothing was to be done, as far as that matters: what is sent now is waited for from now on. */
  sending(shard: number): void {
    const held = this.#held.get(shard);
    if (held && this.#options.places[shard]! <= held.done) held.doneAt = this.#options.clock.tick();
  }
}
