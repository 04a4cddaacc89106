// Follows in a journal the logs of topics, and how far subscriptions are, by a model of its own, and says what is wrong with it
// (PROMISES W8, W10).
//
// L1. Every event of a commit, every one that was published or has come, is in its log once, in order; no operation publishes twice.
// L2. A subscription goes on where it is, and what it sends is what it makes of the events that it moves past, in order.
// L3. What is let go is older, or more, than its topic keeps.

import { bytesEqual, type Instant, type Shard, shardOf } from "../base/index.ts";
import type { Decoded, Message, Note } from "../journal/index.ts";
import { defaultRetention, type SubscriptionShape, topicType } from "../model/index.ts";
import { pack, unpack } from "../wire/index.ts";

export type Entry = {
  readonly n: number;
  readonly key: string;
  readonly at: Instant;
  readonly value: Uint8Array;
};
type Log = { readonly entries: Entry[]; floor: number; bytes: number };
type Place = { readonly through: number; readonly paused: boolean };
type Sent = Message & { readonly to: Shard };

/** Numbers of one generation of a log. */
const span = 2 ** 20;
const sizeOf = ({ key, value }: Entry): number => value.length + key.length + 48;

export class TopicAudit {
  readonly shard: Shard;
  readonly problems: string[] = [];
  readonly logs = new Map<string, Log>();
  readonly groups = new Map<string, Place>();
  readonly #subscriptions: ReadonlyMap<string, SubscriptionShape>;
  readonly #shards: number;
  readonly #ops = new Set<string>();
  seq = 0;

  /** `subscriptions`: all that there ever are. */
  constructor(shard: Shard, shards: number, subscriptions: readonly SubscriptionShape[]) {
    this.shard = shard;
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
    if (!log) this.logs.set(topic, (log = { entries: [], floor: 0, bytes: 0 }));
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
      default:
    }
  }

  #moved(note: Extract<Note, { kind: "moved" }>, header: Decoded["header"]): void {
    const { group, topic, through, messages } = note;
    const before = this.place(group, topic);
    const shape = this.#subscriptions.get(group);
    this.groups.set(`${group} ${topic}`, { through, paused: before?.paused ?? false });
    this.#come(
      messages.filter(({ to }) => to === this.shard),
      header,
    );
    const last = this.logs.get(topic)?.entries.at(-1)?.n ?? 0;
    if (shape?.topic.name !== topic) return this.#problem(`${group} is no subscription of ${topic}`);
    if (through > last) return this.#problem(`${group} is at ${through} of ${topic}, which goes to ${last}`);
    if (before === undefined && shape.from === "now") {
      // What came while this was noted is behind it.
      if (messages.length > 0) this.#problem(`${group} began at ${through} with what was there before`);
      return;
    }
    const from = before?.through ?? 0;
    if (before?.paused) this.#problem(`${group} went on though it was paused`);
    if (through <= from) this.#problem(`${group} went from ${from} to ${through} of ${topic}`);
    const expected = this.#made(shape, from, through);
    const differs = expected.length !== messages.length || expected.some((one, i) => !isSame(one, messages[i]!));
    if (differs)
      this.#problem(
        `${group} went from ${from} to ${through} of ${topic} and sent ${messages.map(says).join(", ") || "nothing"}, not ${expected.map(says).join(", ") || "nothing"}`,
      );
  }

  /** What is to be made of the events behind `from`, as far as they are kept. */
  #made({ name, topic, target, make }: SubscriptionShape, from: number, through: number): Sent[] {
    const { entries, floor } = this.logs.get(topic.name) ?? { entries: [], floor: 0 };
    return entries.flatMap(({ n, key, at, value }) => {
      if (n <= from || n > through || n < floor) return [];
      const id = `${topic.name}/${this.shard}/${n}`;
      const made = make({ id, topic: topic.name, key, at, value: unpack(value) } as never);
      if (!made || target.kind !== "command") return [];
      const { entity, command } = target;
      const { key: own = "" } = made;
      const to = shardOf(entity.name, own, this.#shards);
      return [{ to, type: entity.name, key: own, command, input: pack(made.input), by: [`subscription:${name}`] }];
    });
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
    log.bytes -= freed;
  }
}

const says = ({ type, key, command }: Message): string => `${type}.${command} ${key}`;

const isSame = (a: Sent, b: Sent): boolean =>
  a.to === b.to && says(a) === says(b) && bytesEqual(a.input, b.input) && a.by.join() === b.by.join();
