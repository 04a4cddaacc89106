// Guarantees of the agenda: lanes, lines and due times, and that every copy has the same, whether it has read the whole
// journal or began with what the local store kept.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Commit, Message, TimerChange, Work } from "../journal/index.ts";
import { type Random, seeded } from "../sim/random.ts";
import { Agenda, type AgendaMemo, type TaskNote } from "./agenda.ts";
import { refOf, type Task, timerId } from "./task.ts";
import type { SavedOp } from "./store.ts";

const own = 3;
const message = (key: string, input: number): Message => ({
  type: "thing",
  key,
  command: "do",
  input: new Uint8Array([input]),
  by: ["ann", "admin"],
});
const commit = (key: string, work: Partial<Work>): Commit => ({
  type: "thing",
  key,
  version: 1,
  state: new Uint8Array([1]),
  schema: 1,
  command: "do",
  principal: "ann",
  events: [],
  op: undefined,
  work: { messages: [], timers: [], ...work },
});
const timer = (name: string, due: number | undefined, input = 0): TimerChange => ({
  name,
  ...(due !== undefined && { due }),
  command: "do",
  input: new Uint8Array([input]),
  by: ["ann"],
});
const accepted = (from: number, after: number, first: number, ...messages: Message[]): TaskNote => ({
  kind: "accepted",
  from,
  after,
  first,
  messages,
});

/** Ids in the order in which tasks fall due; those that wait behind others of their key are not among them. One that was put
 *  back while it was there may show twice in a row. */
function inOrder(agenda: Agenda): string[] {
  const ids = new Set<string>();
  for (let task = agenda.first(); task; task = agenda.first()) {
    ids.add(task.id);
    agenda.take();
  }
  for (const id of ids) agenda.back(id);
  return [...ids];
}

/** What another copy would say of it. */
const view = (agenda: Agenda): unknown => ({
  memo: agenda.memo(),
  size: agenda.size,
  outgoing: agenda.outgoing,
  tasks: [...agenda.tasks.values()].sort((a, b) => a.order - b.order),
  waiting: [...agenda.destinations()].sort((a, b) => a - b).map((to) => agenda.waiting(to, 0)),
  due: inOrder(agenda),
});

test("agenda: Q1 a lane is taken in its order, each message once, and nothing over a gap", () => {
  const agenda = new Agenda(own);
  assert.equal(agenda.known(7, 0, 101, false), 0);
  agenda.note(accepted(7, 0, 101, message("a", 1), message("a", 2)), 10);
  assert.equal(agenda.through(7), 102);
  assert.equal(agenda.known(7, 0, 101, false), 2);
  assert.equal(agenda.known(7, 101, 102, false), 1);
  assert.equal(agenda.known(7, 102, 103, false), 0);
  assert.equal(agenda.known(7, 103, 104, false), undefined);
  // A lane of which nothing has come yet begins with its first, unless what came has been lost.
  assert.equal(agenda.known(8, 2 ** 20 + 1, 2 ** 20 + 2, false), undefined);
  assert.equal(agenda.known(8, 2 ** 20 + 1, 2 ** 20 + 2, true), 0);
});

test("agenda: Q1 after a restore the lane goes on over what was lost, and numbers begin anew", () => {
  const agenda = new Agenda(own);
  agenda.apply(commit("a", { messages: [{ to: 5, ...message("b", 1) }] }), 10, 1);
  agenda.note(accepted(7, 0, 101, message("a", 1)), 10);
  const [before] = agenda.waiting(5, 0);
  agenda.restored(2);
  assert.equal(agenda.known(7, 150, 151, false), 0);
  assert.equal(agenda.known(7, 0, 101, false), 1);
  agenda.note(accepted(7, 150, 151, message("a", 1)), 10);
  assert.equal(agenda.known(7, 160, 161, false), undefined);
  agenda.apply(commit("a", { messages: [{ to: 5, ...message("b", 2) }] }), 10, 2);
  const [, after] = agenda.waiting(5, 0);
  assert.deepEqual([after?.after, after?.n], [before?.n, 2 * 2 ** 20 + 1]);
  const years = 200 * 365 * 24 * 3600; // a generation counts seconds
  agenda.restored(years);
  agenda.apply(commit("a", { messages: [3, 4].map((input) => ({ to: 5, ...message("b", input) })) }), 10, years);
  const [, , third, fourth] = agenda.waiting(5, 0);
  assert.deepEqual([third?.after, fourth?.after, fourth?.n], [after?.n, third?.n, years * 2 ** 20 + 2]);
  assert.ok(Number.isSafeInteger(fourth?.n));
});

test("agenda: no place is given again that a restored journal may have given before", () => {
  const [lost, restored] = [new Agenda(own), new Agenda(own)];
  for (const agenda of [lost, restored]) agenda.apply(commit("a", { timers: [timer("x", 5)] }), 1, 1);
  lost.apply(commit("a", { timers: [timer("y", 9)] }), 1, 1);
  restored.restored(2);
  restored.apply(commit("a", { timers: [timer("y", 9)] }), 1, 2);
  assert.notEqual(
    lost.tasks.get(timerId("thing", "a", "y"))?.order,
    restored.tasks.get(timerId("thing", "a", "y"))?.order,
  );
});

test("agenda: what is acknowledged is forgotten, and nothing else", () => {
  const agenda = new Agenda(own);
  const messages = [1, 2, 3].map((input) => ({ to: 5, ...message("b", input) }));
  agenda.apply(commit("a", { messages }), 10, 1);
  const [, second] = agenda.waiting(5, 0);
  agenda.note({ kind: "acknowledged", to: 5, through: second!.n }, 11);
  assert.deepEqual(
    agenda.waiting(5, 0).map(({ message: { input } }) => input[0]),
    [3],
  );
  agenda.note({ kind: "acknowledged", to: 5, through: second!.n - 1 }, 11);
  assert.equal(agenda.size, 1);
});

test("agenda: Q3 of a key one message after the other is due, a failed one before those behind it", () => {
  const agenda = new Agenda(own);
  agenda.note(accepted(7, 0, 1, message("a", 1), message("a", 2), message("b", 3)), 10);
  assert.deepEqual(inOrder(agenda), ["m7.1", "m7.3"]);
  agenda.note({ kind: "failed", task: "m7.1", due: 50, attempts: 1, cause: "no" }, 11);
  assert.deepEqual(inOrder(agenda), ["m7.3", "m7.1"]);
  agenda.note({ kind: "failed", task: "m7.1", attempts: 2, cause: "no" }, 12);
  assert.deepEqual(inOrder(agenda), ["m7.2", "m7.3"]);
  // Tried again, it stands behind what has come meanwhile.
  agenda.note(accepted(7, 3, 4, message("a", 4)), 13);
  agenda.note({ kind: "failed", task: "m7.1", due: 13, attempts: 0, cause: "" }, 14);
  for (const id of ["m7.2", "m7.4", "m7.1"]) {
    assert.equal(
      inOrder(agenda).find((one) => one !== "m7.3"),
      id,
    );
    agenda.note({ kind: "done", task: id }, 15);
  }
});

test("agenda: a timer that is set again is replaced, also by the command that it runs", () => {
  const agenda = new Agenda(own);
  agenda.apply(commit("a", { timers: [timer("x", 50, 1)] }), 10, 1);
  agenda.apply(commit("a", { timers: [timer("x", 40, 2)] }), 10, 1);
  assert.equal(agenda.first()?.input[0], 2);
  agenda.take();
  const second = refOf(agenda.tasks.get(timerId("thing", "a", "x"))!);
  agenda.apply(commit("a", { done: second, timers: [timer("x", 40, 3)] }), 40, 1);
  assert.equal(agenda.first()?.input[0], 3);
  // What is noted late of the one that was replaced is nothing to the new one.
  agenda.note({ kind: "failed", task: second, due: 99, attempts: 1, cause: "no" }, 40);
  assert.equal(agenda.first()?.due, 40);
  agenda.note({ kind: "done", task: second }, 40);
  assert.equal(agenda.first()?.input[0], 3);
  agenda.apply(commit("a", { timers: [timer("x", undefined)] }), 41, 1);
  assert.equal(agenda.first(), undefined);
  assert.equal(agenda.size, 0);
});

test("agenda: what was taken and what took its place can be put back, what is over cannot", () => {
  const agenda = new Agenda(own);
  agenda.apply(commit("a", { timers: [timer("x", 50)] }), 10, 1);
  agenda.take();
  assert.equal(agenda.first(), undefined);
  agenda.apply(commit("a", { timers: [timer("x", 60)] }), 10, 1);
  agenda.take();
  agenda.back(timerId("thing", "a", "x"));
  assert.equal(agenda.first()?.due, 60);
  agenda.note({ kind: "done", task: refOf(agenda.first()!) }, 60);
  agenda.back(timerId("thing", "a", "x"));
  assert.equal(agenda.first(), undefined);
});

test("agenda: what was stored, changed and over before the next save is gone from the store", () => {
  const store = new Kept();
  const agenda = new Agenda(own);
  agenda.apply(commit("a", { timers: [timer("x", 50)] }), 10, 1);
  store.save(agenda);
  agenda.apply(commit("a", { timers: [timer("x", 60)] }), 10, 1);
  agenda.apply(commit("a", { timers: [timer("x", undefined)] }), 10, 1);
  store.save(agenda);
  assert.deepEqual([...store.rows.keys()], []);
  // What was never stored is not asked to be forgotten.
  agenda.apply(commit("a", { timers: [timer("y", 60)] }), 10, 1);
  agenda.apply(commit("a", { timers: [timer("y", undefined)] }), 10, 1);
  assert.deepEqual(agenda.drain(), { fresh: [], gone: [] });
});

/** The local store of one shard. */
class Kept {
  rows = new Map<string, SavedOp>();
  memo: AgendaMemo | undefined;

  save(agenda: Agenda): void {
    const memo = agenda.memo();
    this.take(agenda.drain(), memo);
  }

  take({ fresh, gone }: ReturnType<Agenda["drain"]>, memo: AgendaMemo): void {
    for (const id of gone) this.rows.delete(id);
    for (const row of fresh) this.rows.set(row.id, row);
    this.memo = memo;
  }

  /** Read from where it was written, as from a disk. */
  open(): Agenda {
    const agenda = new Agenda(own);
    agenda.restore(
      structuredClone(this.memo),
      [...this.rows.values()].sort((a, b) => a.seq - b.seq),
    );
    return agenda;
  }
}

type Step = (agenda: Agenda) => void;

/** What a record might bring to this agenda next. */
function step(random: Random, agenda: Agenda, at: number): Step {
  const key = random.pick(["a", "b", "c"]);
  const tasks = [...agenda.tasks.values()];
  const dice = random.float();
  if (dice < 0.25) {
    const lane = random.pick([5, 7]);
    const through = agenda.through(lane);
    const messages = Array.from({ length: 1 + random.below(3) }, () => message(random.pick(["a", "b"]), at % 256));
    return (one) => one.note(accepted(lane, through, through + 1, ...messages), at);
  }
  if (dice < 0.35) {
    const to = random.pick([5, 7]);
    const waiting = agenda.waiting(to, 0);
    if (waiting.length > 0) {
      const { n: through } = random.pick(waiting);
      return (one) => one.note({ kind: "acknowledged", to, through }, at);
    }
  }
  if (dice < 0.6 && tasks.length > 0) {
    const task: Task = random.pick(tasks);
    if (random.chance(0.5)) return (one) => one.note({ kind: "done", task: refOf(task) }, at);
    const due = random.chance(0.3) ? undefined : at + random.below(20);
    const attempts = task.attempts + 1;
    return (one) => one.note({ kind: "failed", task: refOf(task), ...(due && { due }), attempts, cause: "no" }, at);
  }
  if (dice < 0.62) return (one) => one.restored(2);
  const done = tasks.length > 0 && random.chance(0.5) ? refOf(random.pick(tasks)) : undefined;
  const messages = Array.from({ length: random.below(3) }, () => ({
    to: random.pick([own, 5, 7]),
    ...message(random.pick(["a", "b"]), at % 256),
  }));
  const due = random.chance(0.3) ? undefined : at + random.below(20);
  const timers = random.chance(0.5) ? [timer(random.pick(["x", "y"]), due, at % 256)] : [];
  return (one) => one.apply(commit(key, { messages, timers, ...(done !== undefined && { done }) }), at, 1);
}

test("agenda: a copy that begins with what the store kept is as one that has read all, however saves failed", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = seeded(seed);
    const store = new Kept();
    const read = new Agenda(own);
    let agenda = new Agenda(own);
    for (let at = 1; at <= 80; at++) {
      const next = step(random, read, at);
      next(agenda);
      next(read);
      const dice = random.float();
      if (dice < 0.2) store.save(agenda);
      else if (dice < 0.3) {
        // A save under way, which fails after more has come.
        const lost = agenda.drain();
        const more = step(random, read, at);
        more(agenda);
        more(read);
        agenda.undrain(lost.fresh, lost.gone);
      } else if (dice < 0.4) {
        store.save(agenda);
        agenda = store.open();
      }
      assert.deepEqual(view(agenda), view(read), `seed ${seed}, step ${at}`);
    }
  }
});

test("agenda: what is set again and again for later leaves nothing behind", () => {
  const agenda = new Agenda(own);
  for (let n = 0; n < 5000; n++)
    agenda.apply(commit("a", { timers: [timer("x", 1_000_000 + n), timer("y", 5)] }), n, 1);
  assert.ok(agenda.entries < 200, `${agenda.entries} entries for two timers`);
  const due = (): unknown => {
    const task = agenda.first()!;
    agenda.take();
    return task.due;
  };
  assert.deepEqual([due(), due(), agenda.first()], [5, 1_004_999, undefined]);
});

test("agenda: what is there counts in bytes, too, until it is over, and after a restart", () => {
  const limits = { maxTasks: 100, maxTaskBytes: 10_000 };
  const agenda = new Agenda(own);
  const large = { ...message("a", 1), input: new Uint8Array(8000) };
  agenda.apply(commit("a", { messages: [{ ...large, to: 5 }] }), 1, 1);
  assert.equal(agenda.room(limits, true), 99);
  agenda.note(accepted(7, 0, 1, large), 2);
  assert.deepEqual([agenda.room(limits, true), agenda.room(limits, false)], [0, 99], "what is on its way is not there");
  agenda.note(accepted(7, 1, 2, large), 3);
  assert.deepEqual([agenda.room(limits, false), agenda.room(limits, true, 4)], [0, 397]);
  const copy = new Agenda(own);
  copy.restore(agenda.memo(), agenda.drain().fresh);
  for (const one of [agenda, copy]) {
    assert.equal(one.room(limits, false), 0);
    one.note({ kind: "failed", task: "m7.1", attempts: 1, cause: "x" }, 4);
    one.note({ kind: "done", task: "m7.1" }, 4);
    assert.equal(one.room(limits, false), 99);
    one.note({ kind: "done", task: "m7.2" }, 5);
    one.note({ kind: "acknowledged", to: 5, through: 2 ** 53 }, 6);
    assert.equal(one.room({ maxTasks: 1, maxTaskBytes: 1 }, true), 1, "nothing is left");
  }
});

test("agenda: of a long lane the front is told, as much as is asked for", () => {
  const agenda = new Agenda(own);
  for (let n = 0; n < 10; n++) agenda.apply(commit("a", { messages: [{ ...message("b", n), to: 5 }] }), n, 1);
  const all = agenda.waiting(5, 0).map(({ n }) => n);
  assert.equal(all.length, 10);
  assert.deepEqual(
    agenda.waiting(5, 0, 2).map(({ n }) => n),
    all.slice(0, 2),
  );
  assert.deepEqual(
    agenda.waiting(5, all[3]!, 3).map(({ n }) => n),
    all.slice(4, 7),
  );
  assert.deepEqual(agenda.waiting(5, all[9]!, 3), []);
  assert.deepEqual(agenda.waiting(6, 0, 3), []);
});
