// The events of topics that one shard keeps, and how far groups have been through them. Part of the fold, so that every copy
// has the same.
//
// G1. Events of a topic are numbered upwards in a shard, in the order of its journal, and never renumbered. Numbers begin anew, far
//     above, with each generation: what a restored copy logs is never taken for something that was read before.
// G2. An event is in memory until the local store holds it; memory has the newest ones besides.
// G3. A group moves in the record that leaves what it made of the events: it is neither ahead of its effects nor behind them.

import { defaultLimits, type Generation, type Instant, type Limits, type Seq } from "../base/index.ts";
import type { Note, Published } from "../journal/index.ts";
import { pack, unpack } from "../wire/index.ts";
import type { Cell, Changes } from "./store.ts";

/** One event in a shard's log of a topic. */
export type Logged = Published & {
  readonly n: number;
  readonly key: string;
  /** When it was logged, journal time. */
  readonly at: Instant;
};

/** How far a group has been through a topic's log. `held`: which of its consumers has this shard, and since which record. */
export type GroupPlace = { readonly through: number; readonly paused: boolean; readonly held?: Hold | undefined };
export type Hold = { readonly by: string; readonly since: Seq };

type Log = {
  last: number;
  /** Journal time of the last. */
  at: Instant;
  /** Events numbered below were trimmed. */
  floor: number;
  bytes: number;
  /** The newest ones, in order: all that the store does not hold yet, and some more. */
  recent: Logged[];
  /** Up to which the store holds them, and up to which they were handed to it. */
  saved: number;
  given: number;
  trimmed: boolean;
};

export type LogsMemo = {
  readonly logs: readonly (readonly [topic: string, last: number, at: Instant, floor: number, bytes: number])[];
  readonly groups: readonly (readonly [
    group: string,
    topic: string,
    through: number,
    paused: boolean,
    by?: string,
    since?: Seq,
  ])[];
};

/** As in an agenda: a generation counts seconds, and no log has had as many events by then as this for each. */
const perSecond = 2 ** 20;
/** What stays in memory of a log that is saved: one for so many entities that may. */
const entitiesPerEvent = 16;
/** What may wait for the local store. */
const unsavedBytes = 32 * 1024 * 1024;
const begun: GroupPlace = { through: 0, paused: false };
const nothing = { last: 0, at: 0, floor: 0, bytes: 0 };
const none: readonly Logged[] = [];

/** How many events are behind the number `after`, up to `through`, at a log of that generation. `atLeast`: there may be some of
 *  earlier generations besides, whose numbers are far below (G1). */
export function eventsWithin(
  generation: Generation,
  after: number,
  through: number,
): { readonly events: number; readonly atLeast: boolean } {
  const base = Math.min(generation * perSecond, Math.floor((through - 1) / perSecond) * perSecond);
  return { events: Math.max(0, through - Math.max(after, base, 0)), atLeast: after < Math.min(base, through) };
}

const topicRow = "~";
const groupId = (group: string, topic: string): string => `${group}\n${topic}`;
/** What an event takes in a log, about. */
export const loggedBytes = ({ key, value }: Pick<Logged, "key" | "value">): number => value.length + key.length + 48;

export class Logs {
  readonly #logs = new Map<string, Log>();
  readonly #groups = new Map<string, GroupPlace>();
  /** How many of the newest stay in memory when they are saved. */
  readonly #kept: number;
  #unsaved = 0;

  constructor({ maxHotEntities }: Pick<Limits, "maxHotEntities"> = defaultLimits) {
    this.#kept = Math.ceil(maxHotEntities / entitiesPerEvent);
  }

  get isUsed(): boolean {
    return this.#logs.size > 0 || this.#groups.size > 0;
  }
  /** So much waits for the local store that no more is to be taken. */
  get full(): boolean {
    return this.#unsaved >= unsavedBytes;
  }
  get topics(): Iterable<string> {
    return this.#logs.keys();
  }
  *groups(): Iterable<readonly [group: string, topic: string, place: GroupPlace]> {
    for (const [id, place] of this.#groups) {
      const [group = "", topic = ""] = id.split("\n");
      yield [group, topic, place];
    }
  }

  /** What there is of a topic: the number of its last event, when that was logged, the first number that may be there, and how
   *  many bytes. */
  of(topic: string): Readonly<Pick<Log, "last" | "at" | "floor" | "bytes">> {
    return this.#logs.get(topic) ?? nothing;
  }

  place(group: string, topic: string): GroupPlace | undefined {
    return this.#groups.get(groupId(group, topic));
  }

  /** The newest events, in order; older ones are in the local store. */
  recent(topic: string): readonly Logged[] {
    return this.#logs.get(topic)?.recent ?? none;
  }

  append(topic: string, key: string, { schema, value }: Published, at: Instant, generation: Generation): void {
    let log = this.#logs.get(topic);
    if (!log) this.#logs.set(topic, (log = { ...nothing, recent: [], saved: 0, given: 0, trimmed: false }));
    log.last = Math.max(log.last, generation * perSecond) + 1;
    log.at = at;
    // A part of a record would keep all of it.
    const event: Logged = { n: log.last, key, at, schema, value: value.slice() };
    log.recent.push(event);
    const bytes = loggedBytes(event);
    log.bytes += bytes;
    this.#unsaved += bytes;
  }

  /** What the record with that number says. */
  note(note: Extract<Note, { kind: "moved" | "group" | "held" | "trimmed" }>, seq: Seq): void {
    switch (note.kind) {
      case "moved": {
        const id = groupId(note.group, note.topic);
        this.#groups.set(id, { ...(this.#groups.get(id) ?? begun), through: note.through });
        return;
      }
      case "held": {
        const id = groupId(note.group, note.topic);
        const held = note.holder === "" ? undefined : { by: note.holder, since: seq };
        this.#groups.set(id, { ...(this.#groups.get(id) ?? begun), held });
        return;
      }
      case "group": {
        const id = groupId(note.group, note.topic);
        if (note.state === "gone") this.#groups.delete(id);
        else this.#groups.set(id, { ...(this.#groups.get(id) ?? begun), paused: note.state === "paused" });
        return;
      }
      case "trimmed":
        return this.#trim(note.topic, note.below, note.bytes);
    }
  }

  #trim(topic: string, below: number, bytes: number): void {
    const log = this.#logs.get(topic);
    if (!log || below <= log.floor) return;
    log.floor = below;
    log.bytes = Math.max(0, log.bytes - bytes);
    log.trimmed = true;
    log.recent = log.recent.filter(({ n }) => n >= below);
  }

  /** Changes since the last call, as the local store takes them. */
  drain(): { readonly cells: Cell[]; readonly trims: NonNullable<Changes["trims"]> } {
    const cells: Cell[] = [];
    const trims: { type: string; below: string }[] = [];
    for (const [topic, log] of this.#logs) {
      if (log.trimmed) trims.push({ type: logRows(topic), below: rowKey(log.floor) });
      log.trimmed = false;
      for (let i = behind(log.recent, log.given); i < log.recent.length; i++) cells.push(cellOf(topic, log.recent[i]!));
      log.given = log.last;
    }
    return { cells, trims };
  }

  /** The store holds what `drain` gave: only the newest stay in memory. */
  saved(): void {
    for (const log of this.#logs.values()) {
      log.saved = log.given;
      const unsaved = log.recent.length - behind(log.recent, log.saved);
      const kept = Math.max(unsaved, this.#kept);
      if (log.recent.length > 2 * kept) log.recent = log.recent.slice(-kept);
    }
    this.#count();
  }

  /** The store could not take what `drain` gave. */
  unsaved(): void {
    for (const log of this.#logs.values()) {
      log.given = log.saved;
      log.trimmed ||= log.floor > 0;
    }
    this.#count();
  }

  #count(): void {
    this.#unsaved = 0;
    for (const { recent, saved } of this.#logs.values())
      for (let i = recent.length - 1; i >= 0 && recent[i]!.n > saved; i--) this.#unsaved += loggedBytes(recent[i]!);
  }

  memo(): LogsMemo {
    return {
      logs: Array.from(this.#logs, ([topic, { last, at, floor, bytes }]) => [topic, last, at, floor, bytes] as const),
      groups: Array.from(this.groups(), ([group, topic, { through, paused, held }]) =>
        held
          ? ([group, topic, through, paused, held.by, held.since] as const)
          : ([group, topic, through, paused] as const),
      ),
    };
  }

  restore(memo: LogsMemo | undefined): void {
    for (const [topic, last, at, floor, bytes] of memo?.logs ?? [])
      this.#logs.set(topic, { last, at, floor, bytes, recent: [], saved: last, given: last, trimmed: false });
    for (const [group, topic, through, paused, by, since = 0] of memo?.groups ?? []) {
      const place = { through, paused };
      this.#groups.set(groupId(group, topic), by === undefined ? place : { ...place, held: { by, since } });
    }
  }
}

/** The index of the first of these that is behind the event numbered `n`. */
export function behind(events: readonly Logged[], n: number): number {
  let low = 0;
  for (let high = events.length; low < high;) {
    const middle = (low + high) >> 1;
    if (events[middle]!.n > n) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** What the rows of a topic's events are called by in the local store, as if they were of a kind of entity. */
export const logRows = (topic: string): string => topicRow + topic;
export const isLogRow = (type: string): boolean => type.startsWith(topicRow);
/** Keys of rows sort as their numbers do. */
export const rowKey = (n: number): string => String(n).padStart(16, "0");

const cellOf = (topic: string, { n, key, at, schema, value }: Logged): Cell => ({
  type: logRows(topic),
  key: rowKey(n),
  version: n,
  schema,
  state: pack([key, at, value]),
});

export function loggedOf({ version: n, schema, state }: Cell): Logged {
  const [key, at, value] = unpack(state) as [string, Instant, Uint8Array];
  return { n, key, at, schema, value };
}
