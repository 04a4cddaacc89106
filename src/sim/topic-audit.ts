// Follows in a journal the logs of topics, and how far subscriptions are, by a model of its own, and says what is wrong with it
// (PROMISES W8, W10).
//
// L1. Every event of a commit, every one that was published or has come, is in its log once, in order; no operation publishes twice.
// L2. A subscription goes on where it is, and what it sends is what it makes of the events that it moves past, in order.
// L3. What is let go is older, or more, than its topic keeps.
// L4. A batch is of one line, no more than it may be, and waited for others as long as it is to; no more calls than may be are leased.
// L5. A group goes elsewhere only where an operator has said, and a subscription for what comes from a time on begins there.

import { bytesEqual, hash32, type Instant, type Shard, shardOf } from "../base/index.ts";
import type { Decoded, Message, Note } from "../journal/index.ts";
import { defaultRetention, type SubscriptionShape, topicType } from "../model/index.ts";
import { pack, unpack } from "../wire/index.ts";

export type Entry = {
  readonly n: number;
  readonly key: string;
  readonly at: Instant;
  readonly value: Uint8Array;
};
type Log = { readonly entries: Entry[]; floor: number; bytes: number; readonly floors: Set<number> };
type Place = { readonly through: number; readonly paused: boolean };
type Sent = Message & { readonly to: Shard };
type Moved = Extract<Note, { kind: "moved" }>;
type Group = { readonly line: string; readonly id: string; readonly inputs: unknown[]; bytes: number };

/** Numbers of one generation of a log. */
const span = 2 ** 20;
const sizeOf = ({ key, value }: Entry): number => value.length + key.length + 48;

export class TopicAudit {
  readonly shard: Shard;
  readonly problems: string[] = [];
  readonly logs = new Map<string, Log>();
  readonly groups = new Map<string, Place>();
  readonly #subscriptions: ReadonlyMap<string, SubscriptionShape>;
  /** Groups that pull, and move as they like. */
  readonly #readers: readonly string[];
  readonly #shards: number;
  readonly #ops = new Set<string>();
  /** Where operators have said that a group is to go on, by group. */
  readonly #said = new Map<string, Set<"beginning" | "now" | Instant>>();
  /** Until when a call is leased, by the id of its job. */
  readonly #leased = new Map<string, Instant>();
  seq = 0;

  /** `subscriptions`: all that there ever are. */
  constructor(
    shard: Shard,
    shards: number,
    subscriptions: readonly SubscriptionShape[],
    readers: readonly string[] = [],
  ) {
    this.shard = shard;
    this.#readers = readers;
    this.#shards = shards;
    this.#subscriptions = new Map(subscriptions.map((one) => [one.name, one]));
  }

  /** Takes in the next record that is not void, from the first of the journal on. */
  apply({ header, payload }: Decoded): void {
    this.seq = header.seq;
    if (payload.kind !== "batch") return;
    for (const { type, key, events, work } of payload.commits) {
      for (const { name, value } of events) this.#append(`${type}.${name}`, key, value, header);
      this.#come(work?.messages.filter(({ to }) => to === this.shard) ?? [], header);
    }
    for (const note of payload.notes ?? []) this.#note(note, header);
  }

  /** An operator is about to say that. */
  say(group: string, to: "beginning" | "now" | Instant): void {
    this.#said.set(group, (this.#said.get(group) ?? new Set()).add(to));
  }

  /** Events that this subscription has not met, though they are kept. */
  lag({ name, topic }: SubscriptionShape): number {
    const log = this.logs.get(topic.name);
    const through = this.place(name, topic.name)?.through ?? 0;
    return log?.entries.filter(({ n }) => n > through && n >= log.floor).length ?? 0;
  }

  place(group: string, topic: string): Place | undefined {
    return this.groups.get(`${group} ${topic}`);
  }

  #problem(says: string): void {
    this.problems.push(`shard ${this.shard}, record ${this.seq}: ${says}`);
  }

  #append(topic: string, key: string, value: Uint8Array, { at, generation }: Decoded["header"]): void {
    let log = this.logs.get(topic);
    if (!log) this.logs.set(topic, (log = { entries: [], floor: 0, bytes: 0, floors: new Set([0]) }));
    const n = Math.max(log.entries.at(-1)?.n ?? 0, generation * span) + 1;
    const entry = { n, key, at, value };
    log.entries.push(entry);
    log.bytes += sizeOf(entry);
  }

  #come(messages: readonly Message[], header: Decoded["header"]): void {
    for (const { type, key, command, input } of messages)
      if (type === topicType) this.#append(command, key, (unpack(input) as [number, Uint8Array])[1], header);
  }

  #note(note: Note, header: Decoded["header"]): void {
    switch (note.kind) {
      case "accepted":
        return this.#come(note.messages, header);
      case "published":
        if (note.op && this.#ops.has(note.op.id)) this.#problem(`operation ${note.op.id} published again`);
        if (note.op) this.#ops.add(note.op.id);
        for (const { value } of note.events) this.#append(note.topic, note.key, value, header);
        return;
      case "moved":
        return this.#moved(note, header);
      case "group": {
        const id = `${note.group} ${note.topic}`;
        const { through } = this.groups.get(id) ?? { through: 0 };
        if (note.state === "gone") this.groups.delete(id);
        else this.groups.set(id, { through, paused: note.state === "paused" });
        return;
      }
      case "trimmed":
        return this.#trimmed(note, header);
      case "failed":
        return this.#lease(note, header);
      case "done":
        return void this.#leased.delete(note.task);
      default:
    }
  }

  #moved(note: Moved, header: Decoded["header"]): void {
    const { group, topic, through, messages } = note;
    const before = this.place(group, topic);
    const shape = this.#subscriptions.get(group);
    this.groups.set(`${group} ${topic}`, { through, paused: before?.paused ?? false });
    this.#come(
      messages.filter(({ to }) => to === this.shard),
      header,
    );
    const log = this.logs.get(topic);
    const last = log?.entries.at(-1)?.n ?? 0;
    if (this.#readers.includes(group)) return;
    if (shape?.topic.name !== topic) return this.#problem(`${group} is no subscription of ${topic}`);
    if (through > last) return this.#problem(`${group} is at ${through} of ${topic}, which goes to ${last}`);
    if (before === undefined && shape.from !== "beginning") return this.#begun(shape, note, header);
    const from = before?.through ?? 0;
    // One that is paused before it has begun gets its place first.
    if (before === undefined && messages.length === 0 && through === Math.max(0, (log?.floor ?? 0) - 1)) return;
    const expected = this.#made(shape, from, through);
    const differs = expected.length !== messages.length || expected.some((one, i) => !isSame(one, messages[i]!));
    // What an operator has said is a move, too, which sends nothing.
    if ((differs || before?.paused || through <= from) && messages.length === 0 && this.#isSaid(note)) return;
    if (before?.paused) this.#problem(`${group} went on though it was paused`);
    if (through <= from) this.#problem(`${group} went from ${from} to ${through} of ${topic}`);
    if (differs)
      this.#problem(
        `${group} went from ${from} to ${through} of ${topic} and sent ${messages.map(says).join(", ") || "nothing"}, not ${expected.map(says).join(", ") || "nothing"}`,
      );
    this.#waited(shape, from, header);
  }

  /** The first place of a subscription that does not begin at the beginning. */
  #begun({ from, topic }: SubscriptionShape, { group, through, messages }: Moved, { at }: Decoded["header"]): void {
    // What came while this was noted is behind it.
    if (messages.length > 0) this.#problem(`${group} began at ${through} with what was there before`);
    if (typeof from !== "number") return;
    const { entries, floor } = this.logs.get(topic.name) ?? { entries: [], floor: 0 };
    const early = at < from || entries.some((entry) => entry.n > through && entry.n >= floor && entry.at < from);
    const late = entries.some((entry) => entry.n <= through && entry.at >= from);
    if (early || late) this.#problem(`${group} began at ${through}, which is too ${early ? "early" : "late"}`);
  }

  #isSaid({ group, topic, through }: Moved): boolean {
    const { entries, floors } = this.logs.get(topic) ?? { entries: [], floors: new Set([0]) };
    const isFloor = through === 0 || floors.has(through + 1);
    const isEvent = entries.some(({ n }) => n === through);
    return [...(this.#said.get(group) ?? [])].some((to) => {
      if (to === "beginning") return isFloor;
      if (to === "now") return isEvent || through === 0;
      return isFloor || (isEvent && entries.every(({ n, at }) => n > through || at < to));
    });
  }

  /** Few events that are not old yet are no batch. */
  #waited({ name, topic, batch }: SubscriptionShape, from: number, { at }: Decoded["header"]): void {
    const { entries, floor } = this.logs.get(topic.name)!;
    const there = entries.filter(({ n }) => n > from && n >= floor);
    if (batch && there.length < batch.events && there[0] && at < there[0].at + batch.waitMs)
      this.#problem(`${name} did not wait for others at ${there[0].n}`);
  }

  #lease({ task, due, attempts, cause }: Extract<Note, { kind: "failed" }>, { at }: Decoded["header"]): void {
    this.#leased.delete(task);
    if (due === undefined || attempts === 0 || cause !== "") return;
    this.#leased.set(task, due);
    for (const { name, concurrency, target } of this.#subscriptions.values()) {
      if (target.kind !== "procedure" || concurrency === undefined) continue;
      const own = `jservice ${target.service.name}/${name}:`;
      const leased = [...this.#leased].filter(([id, until]) => id.startsWith(own) && until > at);
      if (leased.length > concurrency) this.#problem(`${name} has ${leased.length} calls leased`);
    }
  }

  /** What is to be made of the events behind `from`, as far as they are kept. */
  #made(shape: SubscriptionShape, from: number, through: number): Sent[] {
    const { name, topic, batch, make } = shape;
    const { entries, floor } = this.logs.get(topic.name) ?? { entries: [], floor: 0 };
    const groups: Group[] = [];
    for (const { n, key, at, value } of entries) {
      if (n <= from || n > through || n < floor) continue;
      const id = `${topic.name}/${this.shard}/${n}`;
      const made = make({ id, topic: topic.name, key, at, value: unpack(value) } as never);
      if (!made) continue;
      const line = this.#line(shape, key, made.key);
      const open = groups.findLast((group) => group.line === line);
      const bytes = pack(made.input).length;
      if (batch && open && open.inputs.length < batch.events && open.bytes + bytes <= batch.bytes) {
        open.inputs.push(made.input);
        open.bytes += bytes;
      } else groups.push({ line, id, inputs: [made.input], bytes });
    }
    return groups.map(({ line, id, inputs }) => {
      const input = pack(batch ? inputs : inputs[0]);
      const by = [`subscription:${name}`];
      const { target } = shape;
      if (target.kind === "procedure") {
        const packed = pack([`${name}:${id}`, false, 0, 0, input]);
        const type = `service ${target.service.name}`;
        return { to: this.shard, type, key: line, command: target.procedure, input: packed, by };
      }
      const type = target.entity.name;
      return { to: shardOf(type, line, this.#shards), type, key: line, command: target.command, input, by };
    });
  }

  #line({ name, target, batch, concurrency = 1 }: SubscriptionShape, key: string, own = ""): string {
    if (target.kind === "command") return own;
    return batch ? `${name}/~${hash32(key) % concurrency}.${concurrency}` : `${name}/${key}`;
  }

  #trimmed({ topic, below, bytes }: Extract<Note, { kind: "trimmed" }>, { at }: Decoded["header"]): void {
    const log = this.logs.get(topic);
    if (!log || below <= log.floor) return this.#problem(`${topic} was trimmed below ${below} again`);
    const shape = [...this.#subscriptions.values()].find((one) => one.topic.name === topic);
    const { ageMs, bytes: most } = shape?.topic.retain ?? defaultRetention;
    let freed = 0;
    for (const entry of log.entries) {
      if (entry.n < log.floor || entry.n >= below) continue;
      if (log.bytes - freed <= most && entry.at >= at - ageMs)
        this.#problem(`${topic} let go of ${entry.n}, with ${log.bytes - freed} bytes of ${most}`);
      freed += sizeOf(entry);
    }
    if (freed !== bytes) this.#problem(`${topic} let go of ${bytes} bytes, and they were ${freed}`);
    log.floor = below;
    log.floors.add(below);
    log.bytes -= freed;
  }
}

const says = ({ type, key, command }: Message): string => `${type}.${command} ${key}`;

const isSame = (a: Sent, b: Sent): boolean =>
  a.to === b.to && says(a) === says(b) && bytesEqual(a.input, b.input) && a.by.join() === b.by.join();
