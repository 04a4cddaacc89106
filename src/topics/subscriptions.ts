// Makes commands of events, for the subscriptions of the app, at shards that are owned here.
//
// U1. That a subscription has moved on and what it sends for the events are one record: each event is made something of exactly
//     once, and in order, whoever owns the shard.
// U2. Where the code cannot make anything of an event, the subscription stands still before it, and is tried again.
// U3. It moves no faster than what it has sent is carried out: the agenda has room, or it waits.
// U4. Events of one key stay in order where another code has them called for in other lines: those of before end first.

import { asSheafError, type Instant, type Limits, type Millis, SheafError } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { Note } from "../journal/index.ts";
import type { CompiledApp, CompiledSubscription } from "../model/index.ts";
import { type Logged, loggedBytes, type Logs, type Shard, type Shards } from "../shards/index.ts";
import { eventId, isInOtherLines, makeOf } from "./making.ts";
import { at, Parcel, type Sent } from "./parcel.ts";

export type SubscriptionsOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly app: () => CompiledApp;
};

/** Why a subscription stands still at a shard: at which event, and since when. */
export type Stuck = { readonly at: string; readonly since: Instant; readonly cause: string };

/** Events that one record makes something of. */
const batchEvents = 256;
const firstPause: Millis = 250;
const longestPause: Millis = 60_000;
/** Where nothing is wrong with the event: an engine comes back. */
const longestWait: Millis = 2_000;

type Failing = Stuck & { readonly tries: number; readonly timer: Timer; waiting: boolean };
/** What one owner of a shard is about. */
type Affairs = {
  readonly running: Map<string, Promise<void>>;
  readonly held: Set<string>;
  readonly failing: Map<string, Failing>;
  /** Those that wait: for their time, or until a batch is due or the log has an event of that number or so many bytes. */
  readonly waiting: Map<string, { readonly timer: Timer; readonly last: number; readonly bytes: number }>;
  /** Those of which no call waits in a line that the code of now does not know. */
  readonly aligned: Set<CompiledSubscription>;
};

export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  /** By the log that is read: what was begun in an earlier tenure keeps nothing from beginning anew. */
  readonly #affairs = new WeakMap<Logs, Affairs>();
  readonly #made;
  readonly #passedOver;
  #closed = false;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    const { meter } = options.host;
    this.#made = meter.counter("sheaf_subscription_events_total", "Events that subscriptions have moved past.");
    this.#passedOver = meter.counter(
      "sheaf_subscription_events_missed_total",
      "Times that a subscription found events trimmed that it had not met.",
    );
  }

  /** Goes on with what has come at a shard that is owned here. */
  wake(shard: Shard): void {
    if (this.#closed || shard.tenure.kind !== "serving") return;
    const { logs, agenda } = shard.fold;
    const { faults } = this.#options.host;
    const { running, held, failing, waiting } = this.#at(logs);
    // Whoever frees a place in the agenda wakes the shard (U3).
    const isFull = agenda.room(this.#options.limits, true) <= 0;
    for (const subscription of this.#options.app().subscriptions) {
      const { name, topic } = subscription.contract;
      if (running.has(name) || held.has(name) || failing.get(name)?.waiting) continue;
      const place = logs.place(name, topic.name);
      // One for what comes from now on has its place before anything comes.
      const begins = !place && subscription.contract.from !== "beginning";
      const { through = 0, paused = false } = place ?? {};
      const { last, bytes } = logs.of(topic.name);
      const until = waiting.get(name) ?? { last: 0, bytes: 0 };
      if (last < until.last && bytes < until.bytes) continue;
      const rests = paused && !faults.mutant("T11");
      if (!begins && (isFull || rests || through >= last)) continue;
      if (!this.#isAligned(shard, subscription)) continue;
      const run = this.#run(shard, subscription).finally(() => {
        running.delete(name);
        // What came at the very end.
        if (shard.fold.logs === logs) this.wake(shard);
      });
      running.set(name, run);
    }
  }

  /** Moves a group to another place, with whatever it has under way at the shard done before. */
  seek(shard: Shard, group: string, topic: string, through: number): Promise<void> {
    const isHasty = this.#options.host.faults.mutant("T10");
    return this.#alone(
      shard,
      group,
      () => this.#note(shard, { kind: "moved", group, topic, through, messages: [] }),
      isHasty,
    );
  }

  /** Has a group rest, go on, or be forgotten at a shard. A subscription that rests has a place: that where it would have begun. */
  set(shard: Shard, group: string, topic: string, state: "paused" | "open" | "gone"): Promise<void> {
    return this.#alone(shard, group, async () => {
      const { logs } = shard.fold;
      const subscription = this.#options.app().subscriptions.find(({ contract }) => contract.name === group);
      if (!logs.place(group, topic) && state !== "paused") return;
      if (!logs.place(group, topic) && subscription) {
        const through = await this.#start(shard, subscription);
        await this.#note(shard, moved(subscription, through, []));
      }
      await this.#note(shard, { kind: "group", group, topic, state });
    });
  }

  /** Does it while the group makes nothing of events at the shard, and lets the group try again afterwards. Rejects IN_USE. */
  async #alone(shard: Shard, group: string, act: () => Promise<void>, isHasty = false): Promise<void> {
    const { running, held, failing, waiting } = this.#at(shard.fold.logs);
    if (held.has(group)) throw new SheafError("IN_USE", `somebody else changes ${group} at this moment`);
    if (!isHasty) held.add(group);
    try {
      if (!isHasty) await running.get(group);
      await act();
      for (const waits of [failing, waiting]) {
        waits.get(group)?.timer.cancel();
        waits.delete(group);
      }
    } finally {
      held.delete(group);
      this.wake(shard);
    }
  }

  /** Why that subscription stands still at a shard; undefined when it does not. */
  stuck(shard: Shard, name: string): Stuck | undefined {
    return this.#at(shard.fold.logs).failing.get(name);
  }

  /** Code that was exchanged may do better. */
  retry(shard: Shard): void {
    const { failing, waiting, aligned } = this.#at(shard.fold.logs);
    for (const waits of [failing, waiting]) {
      for (const { timer } of waits.values()) timer.cancel();
      waits.clear();
    }
    aligned.clear();
    this.wake(shard);
  }

  close(): void {
    this.#closed = true;
    for (const { fold } of this.#options.shards.all) {
      const { failing, waiting } = this.#at(fold.logs);
      for (const waits of [failing, waiting]) for (const { timer } of waits.values()) timer.cancel();
    }
  }

  #at(logs: Logs): Affairs {
    let affairs = this.#affairs.get(logs);
    if (!affairs) {
      const fresh = { running: new Map(), held: new Set<string>(), failing: new Map(), waiting: new Map() };
      this.#affairs.set(logs, (affairs = { ...fresh, aligned: new Set() }));
    }
    return affairs;
  }

  #isAligned(shard: Shard, subscription: CompiledSubscription): boolean {
    const { aligned } = this.#at(shard.fold.logs);
    if (aligned.has(subscription)) return true;
    if (isInOtherLines(shard.fold.agenda, subscription.contract)) return false;
    aligned.add(subscription);
    return true;
  }

  async #run(shard: Shard, subscription: CompiledSubscription): Promise<void> {
    const { name, topic } = subscription.contract;
    const { held, fold } = shard;
    const { logs } = fold;
    const affairs = this.#at(logs);
    const goesOn = (): boolean =>
      !this.#closed &&
      !affairs.held.has(name) &&
      shard.held === held &&
      shard.fold === fold &&
      shard.tenure.kind === "serving";
    while (goesOn()) {
      const place = logs.place(name, topic.name);
      if (place?.paused && !this.#options.host.faults.mutant("T11")) return;
      if (!place && this.#isEarly(shard, subscription)) return;
      try {
        const through = place?.through ?? (await this.#begin(shard, subscription));
        if (through >= logs.of(topic.name).last) return;
        const room = fold.agenda.room(this.#options.limits, true);
        if (room <= 0) return;
        const events = await this.#read(shard, subscription, through);
        if (!goesOn()) return;
        // It was begun, moved, paused or forgotten meanwhile.
        if (logs.place(name, topic.name) !== place) continue;
        const { last, floor } = logs.of(topic.name);
        if (floor > through + 1) this.#missed(shard, subscription, through);
        if (this.#gathers(shard, subscription, events)) return;
        if (events.length > 0) await this.#move(shard, subscription, events, room);
        else if (floor > last) await this.#note(shard, moved(subscription, last, []));
        else throw new SheafError("CORRUPT", "events are not in the local store that are to be there");
        affairs.failing.delete(name);
      } catch (error) {
        const refusal = asSheafError(error);
        if (goesOn() && refusal.code !== "NOT_OWNER") this.#standStill(shard, subscription, refusal);
        return;
      }
    }
  }

  /** Has the time not come yet from which on a subscription that is new to the shard gets events? Then it is looked again when it has: what
   *  is published until then is none of its. */
  #isEarly(shard: Shard, { contract: { name, from } }: CompiledSubscription): boolean {
    if (typeof from !== "number" || from <= shard.now() || this.#options.host.faults.mutant("T9")) return false;
    this.#wait(shard, name, Math.min(from - shard.now(), longestPause), { last: Infinity, bytes: Infinity });
    return true;
  }

  /** Until so long has passed, or the log has so much. */
  #wait(shard: Shard, name: string, ms: Millis, until: { readonly last: number; readonly bytes: number }): void {
    const { logs } = shard.fold;
    const { waiting } = this.#at(logs);
    waiting.get(name)?.timer.cancel();
    const timer = this.#options.host.clock.after(ms, () => {
      waiting.delete(name);
      if (shard.fold.logs === logs) this.wake(shard);
    });
    waiting.set(name, { ...until, timer });
  }

  /** Where a subscription that is new to the shard begins. */
  async #begin(shard: Shard, subscription: CompiledSubscription): Promise<number> {
    const through = await this.#start(shard, subscription);
    if (subscription.contract.from !== "beginning") await this.#note(shard, moved(subscription, through, []));
    return through;
  }

  /** The number behind which a subscription that is new to the shard is to begin. */
  async #start(shard: Shard, subscription: CompiledSubscription): Promise<number> {
    const { held } = shard;
    const { logs } = shard.fold;
    const { from, name, topic } = subscription.contract;
    if (from === "beginning") return Math.max(0, logs.of(topic.name).floor - 1);
    // What is on its way to the journal may be of before that time.
    if (from !== "now")
      await new Promise<void>((resolve, reject) => shard.settled((error) => (error ? reject(error) : resolve())));
    const through = from === "now" ? logs.of(topic.name).last : await this.before(shard, topic.name, from);
    // Another owner may have begun it while it was looked for.
    if (shard.held !== held || logs.place(name, topic.name)) throw new SheafError("NOT_OWNER");
    return through;
  }

  /** The number of the last event that was logged before that time. */
  async before(shard: Shard, topic: string, at: Instant): Promise<number> {
    const { logs } = shard.fold;
    let through = Math.max(0, logs.of(topic).floor - 1);
    while (through < logs.of(topic).last) {
      const events = await this.#options.shards.events(shard, topic, through, batchEvents);
      const later = events.findIndex((event) => event.at >= at);
      if (events.length === 0) break;
      if (later >= 0) return later === 0 ? through : events[later - 1]!.n;
      through = events.at(-1)!.n;
    }
    return through;
  }

  /** Events behind that number: some, or as many as a batch is made of where there are so many. */
  async #read(shard: Shard, { contract }: CompiledSubscription, through: number): Promise<readonly Logged[]> {
    const { topic, batch } = contract;
    const { logs } = shard.fold;
    const most = Math.max(batchEvents, batch?.events ?? 0);
    const events: Logged[] = [];
    for (let after = through; ; after = events.at(-1)!.n) {
      const page = await this.#options.shards.events(shard, topic.name, after, most - events.length);
      events.push(...page);
      const isEnough = !batch || events.length >= batch.events || sizeOf(events) >= batch.bytes;
      if (isEnough || page.length === 0 || page.at(-1)!.n >= logs.of(topic.name).last) return events;
    }
  }

  /** Are these fewer events than a batch is made of, and the first not so old yet that they go alone? Then it is looked again when it is,
   *  or enough others have come. */
  #gathers(shard: Shard, { contract }: CompiledSubscription, events: readonly Logged[]): boolean {
    const { name, topic, batch } = contract;
    const [first, last] = [events[0], events.at(-1)];
    if (!first || !last || !batch) return false;
    const [waitMs, missing] = [first.at + batch.waitMs - shard.now(), batch.events - events.length];
    const missingBytes = batch.bytes - sizeOf(events);
    if (waitMs <= 0 || missing <= 0 || missingBytes <= 0) return false;
    const { bytes } = shard.fold.logs.of(topic.name);
    this.#wait(shard, name, waitMs, { last: last.n + missing, bytes: bytes + missingBytes });
    return true;
  }

  /** Makes what is to be made of these events, as far as one record takes it and the code can. */
  async #move(
    shard: Shard,
    subscription: CompiledSubscription,
    events: readonly Logged[],
    maxMessages: number,
  ): Promise<void> {
    const { contract, whole } = subscription;
    const topic = contract.topic.name;
    const { maxBatchBytes } = this.#options.limits;
    const bounds = { maxMessages, maxBytes: maxBatchBytes >> 1, maxMessageBytes: maxBatchBytes };
    const parcel = new Parcel({ batch: contract.batch, whole, ...bounds });
    let through: number | undefined;
    let failure: SheafError | undefined;
    let count = 0;
    const isLossy = contract.batch !== undefined && this.#options.host.faults.mutant("T12");
    for (const event of events) {
      try {
        const made = makeOf(this.#options.shards, shard, subscription, event);
        if (made && !(isLossy && count === 1) && !parcel.take(made)) break;
      } catch (error) {
        failure = at(error, eventId(shard, topic, event));
        break;
      }
      through = event.n;
      count++;
    }
    if (through !== undefined) {
      const { faults, dice } = this.#options.host;
      const isLeft = faults.mutant("T2") && dice.random() < 0.5;
      const { through: before = 0 } = shard.fold.logs.place(contract.name, topic) ?? {};
      const messages = faults.mutant("T1") ? [] : parcel.messages();
      await this.#note(shard, moved(subscription, isLeft ? before : through, messages));
      this.#made.add(count);
    }
    if (failure) throw failure;
  }

  #note(shard: Shard, note: Note): Promise<void> {
    return new Promise((resolve, reject) => shard.note(note, (error) => (error ? reject(error) : resolve())));
  }

  #missed(shard: Shard, { contract }: CompiledSubscription, through: number): void {
    this.#passedOver.add();
    this.#options.host.log.warn("a subscription had not met events that are no longer kept", {
      subscription: contract.name,
      topic: contract.topic.name,
      shard: shard.number,
      through,
    });
  }

  #standStill(shard: Shard, { contract }: CompiledSubscription, error: SheafError): void {
    const { host } = this.#options;
    const { logs } = shard.fold;
    const at = typeof error.cause === "string" ? error.cause : "";
    const cause = `${error.code}: ${error.message}`;
    const facts = { subscription: contract.name, shard: shard.number, event: at, cause };
    if (at === "") host.log.warn("a subscription waits", facts);
    else host.log.error("a subscription stands still", facts);
    const { failing } = this.#at(logs);
    const { tries = 0, since = shard.now() } = failing.get(contract.name) ?? {};
    const longest = at === "" ? longestWait : longestPause;
    const pause = Math.min(longest, firstPause * 4 ** tries) * (0.75 + host.dice.random() / 2);
    const timer = host.clock.after(pause, () => {
      stuck.waiting = false;
      if (shard.fold.logs === logs) this.wake(shard);
    });
    const stuck: Failing = { at, since, cause, tries: tries + 1, timer, waiting: true };
    failing.set(contract.name, stuck);
  }
}

const sizeOf = (events: readonly Logged[]): number => events.reduce((sum, event) => sum + loggedBytes(event), 0);

const moved = (
  { contract: { name: group, topic } }: CompiledSubscription,
  through: number,
  messages: readonly Sent[],
): Extract<Note, { kind: "moved" }> => ({ kind: "moved", group, topic: topic.name, through, messages });
