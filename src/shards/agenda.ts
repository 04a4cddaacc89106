// What a shard has still to do: messages on their way to other shards, and tasks: messages that have come, and timers. Part of
// the fold, so that every copy has the same.
//
// Q1. A pair of shards has one lane. Its messages are numbered upwards, each names the one before it, and the receiver takes
//     them in that order, each once. Numbers begin anew, far above, with each generation: what a restored copy sends is never
//     taken for something that was sent before. All shards are restored together, and of what is restored each lane goes on
//     with the first messages that come.
// Q2. A task is over in the very record that keeps what it did, or that gives it up.
// Q3. Tasks of one key that came as messages are due in the order in which they came, a failed one before those behind it. A dead
//     letter is passed over.

import { defaultLimits, type Generation, type Instant, type Limits, type Shard } from "../base/index.ts";
import type { Commit, Message, Note, Published, Work } from "../journal/index.ts";
import { topicType } from "../model/index.ts";
import { Again } from "./again.ts";
import { isEnded, loadedRow, type Row, rowOf, savedRow, taskRow } from "./agenda-rows.ts";
import { eventOf } from "./event-message.ts";
import { Heap } from "./heap.ts";
import { type Ended, EndedJobs, endedRow, isJob, isJobType, type Job, jobOf, JobOrder, printOf } from "./jobs.ts";
import type { SavedOp } from "./store.ts";
import { lineOf, messageBytes, type Outgoing, refOf, type Task, timerId, failedAs } from "./task.ts";

/** What is noted of tasks and messages. */
export type TaskNote = Extract<
  Note,
  { kind: "accepted" | "acknowledged" | "done" | "failed" | "added" | "queue" | "purged" | "again" }
>;

type Lane = { last: number; acknowledged: number; waiting: Outgoing[] };
/** `loose`: this journal was restored, so that some of the lane may have been lost with what it had. */
type Mark = { through: number; loose: boolean };

export type AgendaMemo = {
  readonly count: number;
  readonly lanes: readonly (readonly [Shard, number, number])[];
  readonly marks: readonly (readonly [Shard, number, boolean])[];
  readonly paused?: readonly string[] | undefined;
};

/** A generation counts seconds since the cluster was created. No lane has had as many messages by then as this for each, and 2^53 of them are
 *  272 years. */
const perSecond = 2 ** 20;
export class Agenda {
  readonly #shard: Shard;
  readonly #log: (topic: string, key: string, event: Published, at: Instant) => void;
  readonly #tasks = new Map<string, Task>();
  readonly #lanes = new Map<Shard, Lane>();
  readonly #marks = new Map<Shard, Mark>();
  /** Message tasks of one key that are not dead, in order. */
  readonly #lines = new Map<string, Task[]>();
  readonly #due = new Heap<Entry>(before);
  readonly again = new Again((id) => this.#tasks.get(id));
  readonly #jobs = new JobOrder(({ id, due }) => {
    const task = this.#tasks.get(id);
    return task?.due === due && this.#leads(task);
  });
  readonly #ended: EndedJobs;
  /** Types of jobs that are not begun. */
  readonly #paused = new Set<string>();
  #count = 0;
  #outgoing = 0;
  #taskBytes = 0;
  #outgoingBytes = 0;
  #fresh = new Map<string, Row>();
  #gone = new Set<string>();
  /** Rows that the local store may hold, in an older form perhaps. */
  readonly #stored = new Set<string>();

  /** `log` takes events that come as messages for the log of a topic. */
  constructor(
    shard: Shard,
    log: (topic: string, key: string, event: Published, at: Instant) => void = () => {},
    limits: ConstructorParameters<typeof EndedJobs>[0] = defaultLimits,
  ) {
    this.#shard = shard;
    this.#log = log;
    this.#ended = new EndedJobs(limits);
  }

  /** Tasks, dead letters among them, and messages on their way. */
  get size(): number {
    return this.#tasks.size + this.#outgoing;
  }
  get outgoing(): number {
    return this.#outgoing;
  }
  /** How many more tasks there may be. `all`: what is on its way counts, too. */
  room({ maxTasks, maxTaskBytes }: Pick<Limits, "maxTasks" | "maxTaskBytes">, all: boolean, times = 1): number {
    const bytes = this.#taskBytes + (all ? this.#outgoingBytes : 0);
    return bytes >= times * maxTaskBytes ? 0 : times * maxTasks - (all ? this.size : this.#tasks.size);
  }
  /** Entries of what is due, some of them of what is over. */
  get entries(): number {
    return this.#due.size;
  }
  /** Whether there ever was anything. */
  get isUsed(): boolean {
    return this.#count > 0 || this.#lanes.size > 0 || this.#marks.size > 0 || this.#paused.size > 0;
  }
  get tasks(): ReadonlyMap<string, Task> {
    return this.#tasks;
  }

  /** Shards to which messages are on their way. */
  *destinations(): Iterable<Shard> {
    for (const [to, lane] of this.#lanes) if (lane.waiting.length > 0) yield to;
  }

  /** Messages to that shard that it is not known to have accepted, beyond `beyond`: the first `most`. */
  waiting(to: Shard, beyond: number, most = Infinity): readonly Outgoing[] {
    const waiting = this.#lanes.get(to)?.waiting ?? [];
    let [low, high] = [0, waiting.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (waiting[middle]!.n > beyond) high = middle;
      else low = middle + 1;
    }
    return waiting.slice(low, low + most);
  }

  /** Number of the last message that was accepted of that shard; 0 for none. */
  through(from: Shard): number {
    return this.#marks.get(from)?.through ?? 0;
  }

  /** Of messages numbered from `first` on that come behind the one numbered `after`: how many were accepted before.
   *  `undefined` when something is missing between. A journal that was `restored` may have lost that there was a lane. */
  known(from: Shard, after: number, first: number, restored: boolean): number | undefined {
    const mark = this.#marks.get(from) ?? { through: 0, loose: restored };
    const { through, loose } = mark;
    if (first <= through) return through - first + 1;
    return after === through || loose ? 0 : undefined;
  }

  /** The task that is due first, of those that nobody has taken. */
  first(): Task | undefined {
    for (;;) {
      const [due, order, id] = this.#due.first ?? [];
      if (id === undefined) return undefined;
      const task = this.#tasks.get(id);
      if (task && task.due === due && task.order === order && this.#leads(task)) return task;
      this.#due.shift();
    }
  }

  /** Takes what `first` gave. */
  take(): void {
    this.#due.shift();
  }

  /** Puts back the task of this id, unless it is over: what was taken, or what stands in its place since. */
  back(id: string): void {
    const task = this.#tasks.get(id);
    if (task) this.#offer(task);
  }

  /** Types of which there were jobs. */
  get jobTypes(): Iterable<string> {
    return this.#jobs.types;
  }

  /** Types of jobs that are not begun until that is taken back. */
  get paused(): ReadonlySet<string> {
    return this.#paused;
  }

  /** The job of that type that is to be begun first, of those that are due and that nobody has taken. */
  firstJob(type: string, now: Instant): Job | undefined {
    const id = this.#jobs.first(type, now);
    const task = id === undefined ? undefined : this.#tasks.get(id);
    return task && isJob(task) ? task : undefined;
  }

  /** Takes what `firstJob` gave. */
  takeJob(type: string): void {
    this.#jobs.take(type);
  }

  /** When the next job of that type is due, as far as is known; Infinity for never. */
  nextJob(type: string): Instant {
    return this.#jobs.next(type);
  }

  /** What is remembered of a job that is over. */
  ended(id: string): Ended | undefined {
    return this.#ended.find(id);
  }

  /** Jobs that are over whose names were chosen. */
  get endedChosen(): number {
    return this.#ended.chosen;
  }

  #offer(task: Task): void {
    if (task.due === undefined || !this.#leads(task)) return;
    if (isJob(task)) this.#jobs.add(task);
    else this.#due.add([task.due, task.order, task.id]);
    if (this.#due.size > 2 * this.#tasks.size + fewEntries) this.#sweep();
  }

  /** Timers that are set again and again leave entries of what is over, which might be due only in years. */
  #sweep(): void {
    const met = new Set<string>();
    this.#due.keep(([due, order, id]) => {
      const task = this.#tasks.get(id);
      const stands = task?.due === due && task.order === order && !met.has(id);
      if (stands) met.add(id);
      return stands;
    });
  }

  #leads(task: Task): boolean {
    return task.kind === "timer" || this.#lines.get(lineOf(task))?.[0]?.id === task.id;
  }

  /** Applies what a command has left. */
  apply({ type, key, work }: Commit, at: Instant, generation: Generation): void {
    if (!work) return;
    if (work.done !== undefined) this.#finish(work.done, at);
    for (const { name, due, command, input, by } of work.timers) {
      const id = timerId(type, key, name);
      this.#end(id);
      if (due !== undefined) this.#add({ kind: "timer", id, type, key, command, input, by, due, at });
    }
    this.send(work.messages, at, generation);
  }

  /** Takes messages to be sent. */
  send(messages: Work["messages"], at: Instant, generation: Generation): void {
    for (const { to, ...message } of messages) {
      const lane = this.#lane(to);
      const after = lane.last;
      const n = Math.max(after, generation * perSecond) + 1;
      lane.last = n;
      if (to === this.#shard) {
        lane.acknowledged = n;
        this.#come(to, n, message, at);
        continue;
      }
      const outgoing = { to, n, after, order: ++this.#count, at, message };
      this.#wait(lane, outgoing);
      this.#save(rowOf(outgoing), outgoing);
    }
  }

  #wait(lane: Lane, outgoing: Outgoing): void {
    lane.waiting.push(outgoing);
    this.#outgoing++;
    this.#outgoingBytes += messageBytes(outgoing.message);
  }

  #lane(to: Shard): Lane {
    let lane = this.#lanes.get(to);
    if (!lane) this.#lanes.set(to, (lane = { last: 0, acknowledged: 0, waiting: [] }));
    return lane;
  }

  note(note: TaskNote, at: Instant): void {
    switch (note.kind) {
      case "accepted":
        note.messages.forEach((message, i) => this.#come(note.from, note.first + i, message, at));
        this.#marks.set(note.from, { through: note.first + note.messages.length - 1, loose: false });
        return;
      case "acknowledged":
        return this.#acknowledge(note.to, note.through);
      case "done":
        return this.#finish(note.task, at, note.result);
      case "added":
        for (const message of note.messages) this.#addJob(jobOf(message, "", at));
        return;
      case "queue":
        if (note.paused) this.#paused.add(note.type);
        else this.#paused.delete(note.type);
        return;
      case "purged":
        for (const task of note.tasks) this.#finish(task, at, null);
        return;
      case "failed": {
        const task = this.find(note.task);
        if (task) this.#retry(task, failedAs(task, note));
        return;
      }
      case "again":
        note.tasks.forEach((task, i) => this.#tryAgain(task, note.at && note.at + i * note.everyMs));
        return;
    }
  }

  #tryAgain(ref: string, at: Instant | undefined): void {
    const task = this.find(ref);
    if (!task || task.due !== undefined) return;
    this.#put({ ...task, again: at });
    this.again.add(task.id);
  }

  #come(from: Shard, n: number, message: Message, at: Instant): void {
    if (message.type === topicType) return this.#log(message.command, message.key, eventOf(message), at);
    const place = `${from}.${n}`;
    if (isJobType(message.type)) return this.#addJob(jobOf(message, place, at));
    this.#add({ kind: "message", id: `m${place}`, ...message, due: at, at });
  }

  /** Unless there is one of its name, or was not long ago (J2). */
  #addJob(job: Omit<Job, "order" | "attempts" | "cause">): void {
    for (const id of this.#ended.expire(job.at)) this.#forget(endedRow + id);
    if (!this.#tasks.has(job.id) && !this.#ended.find(job.id)) this.#add(job);
  }

  #acknowledge(to: Shard, through: number): void {
    const lane = this.#lanes.get(to);
    if (!lane || through <= lane.acknowledged) return;
    lane.acknowledged = through;
    let count = 0;
    for (const outgoing of lane.waiting) {
      if (outgoing.n > through) break;
      this.#forget(rowOf(outgoing));
      this.#outgoingBytes -= messageBytes(outgoing.message);
      count++;
    }
    lane.waiting.splice(0, count);
    this.#outgoing -= count;
  }

  #add(fresh: Omit<Task, "order" | "attempts" | "cause">): void {
    const task: Task = { ...fresh, order: ++this.#count, attempts: 0, cause: "" };
    this.#put(task);
    if (task.kind !== "timer") this.#queue(task);
    this.#offer(task);
  }

  #put(task: Task): void {
    this.#hold(task);
    this.#save(taskRow + task.id, task);
  }

  #hold(task: Task): void {
    const before = this.#tasks.get(task.id);
    this.#taskBytes += taskBytes(task) - (before ? taskBytes(before) : 0);
    this.#tasks.set(task.id, task);
  }

  #queue(task: Task): void {
    const name = lineOf(task);
    const line = this.#lines.get(name);
    if (line) line.push(task);
    else this.#lines.set(name, [task]);
  }

  /** A dead letter that is to be tried again goes to the end of its line. */
  #retry(task: Task, given: Task): void {
    const revived = task.due === undefined && given.due !== undefined && task.kind !== "timer";
    const next = revived ? { ...given, order: ++this.#count } : given;
    this.#put(next);
    if (next.due === undefined) return this.#leave(task);
    if (revived) this.#queue(next);
    else if (task.kind !== "timer") this.#stand(task, next);
    this.#offer(next);
  }

  #stand(task: Task, next: Task): void {
    const line = this.#lines.get(lineOf(task)) ?? [];
    line[line.findIndex(({ id }) => id === task.id)] = next;
  }

  /** The task that a record calls so, unless it is over or another stands in its place. */
  find(ref: string): Task | undefined {
    if (!ref.startsWith("t")) return this.#tasks.get(ref);
    const task = this.#tasks.get(ref.slice(0, ref.lastIndexOf("@")));
    return task && refOf(task) === ref ? task : undefined;
  }

  /** A job that was done or purged is remembered; a dead letter that was given up is not. */
  #finish(ref: string, at: Instant, result?: Uint8Array | null): void {
    const task = this.find(ref);
    if (!task) return;
    this.#end(task.id);
    if (result === undefined || !isJob(task)) return;
    const { chosen } = task.job;
    const print = chosen ? printOf(task.input) : nothing;
    const ended: Ended = { id: task.id, at, order: task.order, chosen, print, result };
    this.#ended.add(ended);
    this.#save(endedRow + task.id, ended);
    for (const id of this.#ended.expire(at)) this.#forget(endedRow + id);
  }

  #end(id: string): void {
    const task = this.#tasks.get(id);
    if (!task) return;
    this.#tasks.delete(id);
    this.#taskBytes -= taskBytes(task);
    this.#forget(taskRow + id);
    this.#leave(task);
  }

  /** The next in its line takes its place. */
  #leave(task: Task): void {
    if (task.kind === "timer") return;
    const name = lineOf(task);
    const line = this.#lines.get(name);
    const place = line?.findIndex(({ id }) => id === task.id) ?? -1;
    if (!line || place < 0) return;
    line.splice(place, 1);
    if (line.length === 0) this.#lines.delete(name);
    else if (place === 0) this.#offer(line[0]!);
  }

  /** The journal was restored: what others sent may be missing here, and will not come again. Others may remember what was
   *  called under a place that has been lost here: no such place is given again. */
  restored(generation: Generation): void {
    for (const mark of this.#marks.values()) mark.loose = true;
    if (this.isUsed) this.#count = Math.max(this.#count, generation * perSecond);
  }

  #save(id: string, row: Row): void {
    this.#fresh.set(id, row);
    this.#gone.delete(id);
  }

  #forget(id: string): void {
    this.#fresh.delete(id);
    if (this.#stored.has(id)) this.#gone.add(id);
  }

  /** Changes since the last call, as rows of the local store. */
  drain(): { fresh: SavedOp[]; gone: string[] } {
    const drained = { fresh: Array.from(this.#fresh, ([id, row]) => savedRow(id, row)), gone: [...this.#gone] };
    for (const id of this.#gone) this.#stored.delete(id);
    for (const id of this.#fresh.keys()) this.#stored.add(id);
    this.#fresh = new Map();
    this.#gone = new Set();
    return drained;
  }

  /** Takes back what `drain` gave and nobody could store. */
  undrain(fresh: readonly SavedOp[], gone: readonly string[]): void {
    const since = this.#gone;
    const newer = this.#fresh;
    this.#gone = new Set(gone);
    this.#fresh = new Map(fresh.map((row) => [row.id, loadedRow(row)]));
    for (const id of gone) this.#stored.add(id);
    for (const id of since) this.#forget(id);
    for (const [id, row] of newer) this.#save(id, row);
  }

  memo(): AgendaMemo {
    return {
      count: this.#count,
      lanes: Array.from(this.#lanes, ([to, { last, acknowledged }]) => [to, last, acknowledged] as const),
      marks: Array.from(this.#marks, ([from, { through, loose }]) => [from, through, loose] as const),
      ...(this.#paused.size > 0 && { paused: [...this.#paused] }),
    };
  }

  restore(memo: AgendaMemo | undefined, rows: readonly SavedOp[]): void {
    if (!memo) return;
    this.#count = memo.count;
    for (const [to, last, acknowledged] of memo.lanes) this.#lanes.set(to, { last, acknowledged, waiting: [] });
    for (const [from, through, loose] of memo.marks) this.#marks.set(from, { through, loose });
    for (const type of memo.paused ?? []) this.#paused.add(type);
    for (const { id } of rows) this.#stored.add(id);
    const loaded = rows.map(loadedRow).sort((a, b) => a.order - b.order);
    const ended = loaded.filter(isEnded).sort((a, b) => a.at - b.at || a.order - b.order);
    for (const row of ended) this.#ended.add(row);
    for (const row of loaded) {
      if (isEnded(row)) continue;
      if ("n" in row) {
        this.#wait(this.#lane(row.to), row);
        continue;
      }
      this.#hold(row);
      this.again.add(row.id);
      if (row.due === undefined) continue;
      if (row.kind !== "timer") this.#queue(row);
      this.#offer(row);
    }
  }
}

const taskBytes = (task: Task): number => messageBytes(task) + 2 * task.id.length + task.cause.length;

const nothing = new Uint8Array(0);

/** Of what is due, beyond twice as many as there are tasks, before those of what is over are dropped. */
const fewEntries = 64;

type Entry = readonly [due: Instant, order: number, id: string];

const before = (a: Entry, b: Entry): boolean => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
