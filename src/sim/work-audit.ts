// Follows in a journal what commands have left to be done, by a model of its own, and says what is wrong with it (PROMISES W4, W9).
//
// B1. What is accepted of a lane continues it.
// B2. What ends a task names one that is there, and is due; so none is carried out twice. Late notes of a timer that was set again
//     or taken back meanwhile mean nothing.
// B3. Of a key messages are carried out in the order in which they came.
// B4. What was accepted is what was sent, and no more is acknowledged than was accepted.
// B5. A job is leased when it is due, the first of its line, and its end names the lease that stood. So none is done twice, nor by one whose
//     lease was over.
// B6. None is leased while its queue is paused, but for one whose lease stands and is extended.
// B8. A dead letter is tried again when that is due which was noted of it, not earlier, and not when that was taken back.
// B7. What is purged waits and nobody has it, and it is never leased afterwards.

import { bytesEqual, type Shard } from "../base/index.ts";
import type { Commit, Decoded, Message, Note, Work } from "../journal/index.ts";
import { topicType } from "../model/index.ts";
import { isJobType, jobOf } from "../shards/index.ts";

/** Something to be carried out, as it stands. */
export type Chore = {
  readonly ref: string;
  readonly kind: "message" | "timer" | "job";
  readonly message: Message;
  /** None for a dead letter. */
  readonly due: number | undefined;
  /** Of jobs: how often it was leased, and whether a lease stands. */
  readonly attempts?: number;
  readonly leased?: boolean;
  /** Of a dead letter that is tried again by itself: when; null where that was taken back. */
  readonly again?: number | null;
};

type Lane = { last: number; acknowledged: number; readonly sent: Map<number, Message> };
type Mark = { through: number; loose: boolean; readonly accepted: Map<number, Message> };

/** Numbers of one generation of a lane. */
const span = 2 ** 20;

/** Of what a record calls a timer, the place tells which it is. */
export const placed = (ref: string): string => (ref.startsWith("t") ? `t${ref.slice(ref.lastIndexOf("@"))}` : ref);

const isJobRef = (ref: string): boolean => ref.startsWith("j");

export class WorkAudit {
  readonly shard: Shard;
  readonly problems: string[] = [];
  readonly lanes = new Map<Shard, Lane>();
  readonly marks = new Map<Shard, Mark>();
  readonly #chores = new Map<string, Chore>();
  /** What stands under the name of a timer. */
  readonly #timers = new Map<string, string>();
  /** Messages of one key that are not dead, in order. */
  readonly #lines = new Map<string, string[]>();
  readonly #replaced = new Set<string>();
  /** How far each group has been through each topic. */
  readonly #groups = new Map<string, number>();
  /** Jobs that were done, with how often they were begun. */
  readonly ended = new Map<string, number>();
  readonly purged = new Set<string>();
  /** Types of jobs that are not to be begun. */
  readonly paused = new Set<string>();
  /** Jobs in the order of their first leases. */
  readonly begun: string[] = [];
  #places = 0;
  #seq = 0;

  constructor(shard: Shard) {
    this.shard = shard;
  }

  /** Messages on their way to other shards, as far as this journal tells. */
  get outgoing(): number {
    let count = 0;
    for (const { sent, acknowledged } of this.lanes.values())
      for (const n of sent.keys()) if (n > acknowledged) count++;
    return count;
  }

  get chores(): ReadonlyMap<string, Chore> {
    return this.#chores;
  }

  /** Takes in the next record that is not void, from the first of the journal on. */
  apply({ header, payload }: Decoded): void {
    this.#seq = header.seq;
    if (payload.kind === "generation") for (const mark of this.marks.values()) mark.loose = true;
    if (payload.kind === "generation" && (this.#places > 0 || this.lanes.size > 0))
      this.#places = Math.max(this.#places, header.generation * span);
    if (payload.kind !== "batch") return;
    for (const commit of payload.commits) this.#commit(commit, header);
    for (const note of payload.notes ?? []) this.#note(note, header);
  }

  #problem(says: string): void {
    this.problems.push(`shard ${this.shard}, record ${this.#seq}: ${says}`);
  }

  #commit({ type, key, work }: Commit, { at, generation }: Decoded["header"]): void {
    if (!work) return;
    if (work.done !== undefined) this.#done(placed(work.done), at);
    for (const { name, due, command, input, by } of work.timers) {
      const timer = `${type}\n${key}\n${name}`;
      const before = this.#timers.get(timer);
      if (before !== undefined && this.#chores.delete(before)) this.#replaced.add(before);
      this.#timers.delete(timer);
      if (due === undefined) continue;
      const ref = `t@${++this.#places}`;
      this.#timers.set(timer, ref);
      this.#chores.set(ref, { ref, kind: "timer", message: { type, key, command, input, by }, due });
    }
    this.#send(work.messages, at, generation);
  }

  #send(messages: Work["messages"], at: number, generation: number): void {
    for (const { to, ...message } of messages) {
      const lane = this.#lane(to);
      lane.last = Math.max(lane.last, generation * span) + 1;
      if (to === this.shard) this.#come(to, lane.last, message, at);
      else {
        this.#places++;
        lane.sent.set(lane.last, message);
      }
    }
  }

  #note(note: Note, { at, generation }: Decoded["header"]): void {
    switch (note.kind) {
      case "accepted": {
        const { from, after, first, messages } = note;
        const mark = this.#mark(from);
        const last = first + messages.length - 1;
        if (first <= mark.through) this.#problem(`messages ${first} to ${last} of shard ${from} were accepted again`);
        else if (after !== mark.through && !mark.loose)
          this.#problem(`messages from ${first} on of shard ${from} do not continue its lane at ${mark.through}`);
        mark.through = last;
        mark.loose = false;
        messages.forEach((message, i) => {
          mark.accepted.set(first + i, message);
          this.#come(from, first + i, message, at);
        });
        return;
      }
      case "acknowledged": {
        const lane = this.#lane(note.to);
        if (note.through > lane.last) this.#problem(`shard ${note.to} was never sent message ${note.through}`);
        lane.acknowledged = Math.max(lane.acknowledged, note.through);
        return;
      }
      case "done":
        if (isJobRef(note.task)) return this.#jobDone(note);
        if (!this.#replaced.has(placed(note.task))) this.#done(placed(note.task), at);
        return;
      case "failed":
        if (isJobRef(note.task)) this.#jobFailed(note, at);
        return this.#failed(placed(note.task), note.due, at);
      case "added":
        for (const message of note.messages) this.#jobComes(jobOf(message, "", at));
        return;
      case "moved": {
        const place = `${note.group} ${note.topic}`;
        if (note.messages.length > 0 && note.through <= (this.#groups.get(place) ?? 0))
          this.#problem(`${note.group} made messages of events again, up to ${note.through}`);
        this.#groups.set(place, note.through);
        return this.#send(note.messages, at, generation);
      }
      case "queue":
        if (note.paused) this.paused.add(note.type);
        else this.paused.delete(note.type);
        return;
      case "again":
        return note.tasks.forEach((task, i) => {
          const chore = this.#chores.get(placed(task));
          const again = note.at === undefined ? null : note.at + i * note.everyMs;
          if (chore && chore.due === undefined) this.#chores.set(placed(task), { ...chore, again });
        });
      case "purged":
        for (const task of note.tasks) this.#purge(task, at);
        return;
      case "published":
      case "group":
      case "held":
      case "trimmed":
        return;
    }
  }

  #purge(task: string, at: number): void {
    const chore = this.#chores.get(task);
    if (!chore) return this.#problem(`${task} was purged and is not there`);
    if (chore.due === undefined) this.#problem(`${task} was purged and is a dead letter`);
    else if (chore.leased === true && chore.due > at) this.#problem(`${task} was purged while somebody had it`);
    this.purged.add(task);
    this.#chores.delete(task);
    this.#leave(chore);
  }

  /** Before it is noted as failed: is it a lease, and may it be? */
  #jobFailed({ task, due, attempts, cause }: Extract<Note, { kind: "failed" }>, at: number): void {
    const chore = this.#chores.get(task);
    if (!chore && this.purged.has(task)) return this.#problem(`${task} was begun after it was purged`);
    if (!chore) return;
    const leased = due !== undefined && attempts > 0 && cause === "";
    const isExtended = leased && chore.leased === true && chore.attempts === attempts;
    if (leased && !isExtended) {
      if (attempts !== (chore.attempts ?? 0) + 1)
        this.#problem(`${task} was leased for attempt ${attempts} behind ${chore.attempts}`);
      if (chore.due === undefined || chore.due > at) this.#problem(`${task} was leased before it was due`);
      if (this.paused.has(chore.message.type)) this.#problem(`${task} was leased while its queue was paused`);
      if (attempts === 1) this.begun.push(task);
      const [front] = this.#line(chore.message);
      if (front !== task) this.#problem(`${task} was leased before ${front}`);
    }
    this.#chores.set(task, { ...chore, attempts, leased });
  }

  #jobDone({ task, attempts, result }: Extract<Note, { kind: "done" }>): void {
    const chore = this.#chores.get(task);
    if (!chore) return this.#problem(`${task} is done and is not there`);
    if (result !== undefined) {
      if (chore.leased !== true || chore.attempts !== attempts)
        this.#problem(`${task} was done in attempt ${attempts}, which had no lease: ${chore.attempts} had`);
      this.ended.set(task, attempts ?? 0);
    }
    this.#chores.delete(task);
    this.#leave(chore);
  }

  #jobComes({ id, due, ...message }: ReturnType<typeof jobOf>): void {
    if (this.#chores.has(id) || this.ended.has(id) || this.purged.has(id)) return;
    this.#places++;
    this.#chores.set(id, { ref: id, kind: "job", message, due, attempts: 0, leased: false });
    this.#line(message).push(id);
  }

  #failed(ref: string, due: number | undefined, at: number): void {
    const chore = this.#chores.get(ref);
    if (!chore) return void (this.#replaced.has(ref) || this.#problem(`${ref} failed and is not there`));
    if (due === undefined) this.#leave(chore);
    else if (chore.due === undefined && chore.kind !== "timer") {
      this.#places++;
      this.#line(chore.message).push(ref);
    }
    const { again, ...rest } = this.#chores.get(ref)!;
    if (due !== undefined && again !== undefined && (again === null || again > at))
      this.#problem(
        `${ref} was tried again at ${at}, and that was to be ${again === null ? "no more" : `at ${again}`}`,
      );
    this.#chores.set(ref, { ...rest, due });
  }

  #done(ref: string, at: number): void {
    const chore = this.#chores.get(ref);
    if (!chore) return this.#problem(`${ref} is done and is not there`);
    if (chore.due !== undefined && chore.due > at)
      this.#problem(`${ref} was carried out ${chore.due - at} ms before it was due`);
    const [front] = this.#line(chore.message);
    if (chore.kind === "message" && chore.due !== undefined && front !== ref)
      this.#problem(`${ref} was carried out before ${front}`);
    this.#chores.delete(ref);
    this.#leave(chore);
  }

  #come(from: Shard, n: number, message: Message, due: number): void {
    if (message.type === topicType) return;
    if (isJobType(message.type)) return this.#jobComes(jobOf(message, `${from}.${n}`, due));
    this.#places++;
    const ref = `m${from}.${n}`;
    this.#chores.set(ref, { ref, kind: "message", message, due });
    this.#line(message).push(ref);
  }

  #leave({ ref, message }: Chore): void {
    const line = this.#line(message);
    const place = line.indexOf(ref);
    if (place >= 0) line.splice(place, 1);
  }

  #line({ type, key }: Message): string[] {
    const name = `${type}\n${key}`;
    let line = this.#lines.get(name);
    if (!line) this.#lines.set(name, (line = []));
    return line;
  }

  #lane(to: Shard): Lane {
    let lane = this.lanes.get(to);
    if (!lane) this.lanes.set(to, (lane = { last: 0, acknowledged: 0, sent: new Map() }));
    return lane;
  }

  #mark(from: Shard): Mark {
    let mark = this.marks.get(from);
    if (!mark) this.marks.set(from, (mark = { through: 0, loose: false, accepted: new Map() }));
    return mark;
  }
}

/** Holds the two ends of each lane against each other, once nothing is written any more. Undefined for a shard whose journal was
 *  not seen from its beginning. */
export function checkLanes(audits: readonly (WorkAudit | undefined)[]): string[] {
  const problems: string[] = [];
  for (const audit of audits)
    for (const [to, lane] of audit?.lanes ?? []) {
      const receiver = audits[to];
      if (audit === undefined || receiver === undefined || to === audit.shard) continue;
      const mark = receiver.marks.get(audit.shard);
      const between = `from shard ${audit.shard} to ${to}`;
      if (lane.acknowledged > (mark?.through ?? 0))
        problems.push(
          `messages ${between} are acknowledged to ${lane.acknowledged}, accepted to ${mark?.through ?? 0}`,
        );
      for (const [n, message] of mark?.accepted ?? []) {
        const sent = lane.sent.get(n);
        if (sent === undefined) problems.push(`message ${n} ${between} was accepted and never sent`);
        else if (!isSame(sent, message)) problems.push(`message ${n} ${between} was accepted as another than was sent`);
      }
    }
  return problems;
}

const isSame = (a: Message, b: Message): boolean =>
  a.type === b.type &&
  a.key === b.key &&
  a.command === b.command &&
  bytesEqual(a.input, b.input) &&
  a.by.join("\n") === b.by.join("\n");
