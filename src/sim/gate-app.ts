// The small application that the gate drives: a register, a set, purses and a counter. Its handlers trust Sheaf to run each
// operation once, so that running one twice shows.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { SheafError } from "../base/index.ts";
import { app, entity, service } from "../model/index.ts";

/** A schema that accepts everything: the gate is about what happens to values, not about their shape. */
const plain = <T>(): StandardSchemaV1<T, T> => ({
  "~standard": { version: 1, vendor: "sheaf-sim", validate: (value) => ({ value: value as T }) },
});

export const Register = entity("register", {
  state: plain<{ value: number }>(),
  commands: {
    write: { input: plain<number>() },
    /** 1 when it set, 0 when the value was another. */
    cas: { input: plain<{ from: number; to: number }>(), output: plain<number>() },
  },
  queries: { read: { output: plain<number>(), consistency: "strong" } },
});

export const Bag = entity("bag", {
  state: plain<{ ids: string[]; padding: string }>(),
  commands: {
    add: { input: plain<string>() },
    /** Waits for another entity in the middle. */
    addSlowly: { input: plain<string>() },
  },
  queries: {
    all: { output: plain<string[]>(), consistency: "strong" },
    /** As some copy has it. */
    glance: { output: plain<string[]>(), consistency: "eventual" },
  },
});

type Outgoing = Record<string, { to: string; cents: number }>;

export const Purse = entity("purse", {
  state: plain<{ cents: number; outgoing: Outgoing; taken: string[] }>(),
  commands: {
    /** Sets money aside for another purse. */
    reserve: { input: plain<{ id: string; to: string; cents: number }>(), errors: { SHORT: plain<{ by: number }>() } },
    /** Takes money in. */
    take: { input: plain<{ id: string; cents: number }>() },
    /** Forgets money set aside, once it has arrived. */
    settle: { input: plain<string>() },
  },
  queries: { look: { output: plain<{ cents: number; outgoing: Outgoing; taken: string[] }>(), consistency: "strong" } },
});

export const Tally = entity("tally", {
  state: plain<{ count: number }>(),
  commands: {
    add: { output: plain<number>() },
    /** Waits for another entity in the middle. */
    addSlowly: { output: plain<number>() },
  },
  queries: { read: { output: plain<number>(), consistency: "strong" } },
});

/** How far a note had come, and what its writers had seen of other notes. */
export type Noted = { readonly count: number; readonly causes: Readonly<Record<string, number>> };

export const Note = entity("note", {
  state: plain<{ count: number; causes: Record<string, number> }>(),
  commands: {
    /** Counts up, by somebody who has seen this much of others. */
    post: { input: plain<Readonly<Record<string, number>>>(), output: plain<Noted>() },
    /** Counts up after a look at another note, which it answers too. */
    follow: { input: plain<string>(), output: plain<{ saw: Noted; noted: Noted }>() },
    /** Counts another note up, looks at a third, and refuses. */
    decline: {
      input: plain<{ write: string; read: string }>(),
      errors: { DECLINED: plain<{ own: Noted; written: Noted; read: Noted }>() },
    },
  },
  queries: { look: { output: plain<Noted>(), consistency: "causal" } },
});

/** Money on its way to a wallet: from which, which of its payments to there, and to whom it goes on. */
export type Payment = {
  readonly from: string;
  readonly n: number;
  readonly cents: number;
  /** Wallets to which it goes on, one after the other. */
  readonly on: readonly string[];
  /** It is refused from then on, for so long: by a clock that is far from the sender's not at all. */
  readonly sentAt: number;
  readonly failsMs: number;
  /** Counts something elsewhere in the middle. */
  readonly slow: boolean;
};

export const Wallet = entity("wallet", {
  state: plain<{ cents: number; sent: Record<string, number>; taken: string[] }>(),
  commands: {
    pay: {
      input: plain<{ to: string; cents: number; on: readonly string[]; failsMs: number; slow: boolean }>(),
      errors: { SHORT: plain<{ by: number }>() },
    },
    take: { input: plain<Payment>() },
  },
  queries: { look: { output: plain<{ cents: number; taken: string[] }>(), consistency: "strong" } },
});

type Rung = { readonly id: string; readonly n: number; readonly due: number };
type Alarms = { set: Record<string, { n: number; due: number }>; rung: string[]; wrong: string[] };

export const Alarm = entity("alarm", {
  state: plain<Alarms>(),
  commands: {
    /** Rings after so long, and as many times `again`. A quiet one changes nothing when it rings. */
    set: { input: plain<{ id: string; n: number; ms: number; again: number; quiet: boolean }>() },
    drop: { input: plain<string>() },
    ring: { input: plain<Rung & { ms: number; again: number }>() },
    hush: { input: plain<Rung>() },
  },
  queries: { look: { output: plain<Alarms>(), consistency: "strong" } },
});

export const Desk = service("desk", {
  procedures: {
    /** Moves money in three steps; the same again under the same id. False when there is too little of it. */
    transfer: {
      input: plain<{ id: string; from: string; to: string; cents: number }>(),
      output: plain<boolean>(),
    },
    /** Looks at one note, writes another, and looks at both. */
    copy: {
      input: plain<{ from: string; to: string }>(),
      output: plain<{ first: Noted; written: Noted; again: Noted; other: Noted }>(),
    },
  },
});

/** What every purse holds at first. */
export const purseCents = 100;

const register = Register.implement({
  initial: () => ({ value: 0 }),
  write({ state, input }) {
    state.value = input;
  },
  cas({ state, input }) {
    if (state.value !== input.from) return 0;
    state.value = input.to;
    return 1;
  },
  read: ({ state }) => state.value,
});

const bag = Bag.implement({
  initial: () => ({ ids: [], padding: "" }),
  add({ state, input }) {
    state.ids.push(input);
  },
  async addSlowly({ state, input, call }) {
    const count = state.ids.length;
    await call
      .entity(Tally, "pace")
      .read()
      .catch(() => undefined);
    state.ids[count] = input;
  },
  all: ({ state }) => [...state.ids],
  glance: ({ state }) => [...state.ids],
});

const purse = Purse.implement({
  initial: () => ({ cents: purseCents, outgoing: {}, taken: [] }),
  reserve({ state, input, fail }) {
    const { id, to, cents } = input;
    if (state.cents < cents) return fail("SHORT", { by: cents - state.cents });
    state.cents -= cents;
    state.outgoing[id] = { to, cents };
  },
  take({ state, input }) {
    state.cents += input.cents;
    state.taken.push(input.id);
  },
  settle({ state, input }) {
    delete state.outgoing[input];
  },
  look: ({ state }) => ({ cents: state.cents, outgoing: { ...state.outgoing }, taken: [...state.taken] }),
});

const tally = Tally.implement({
  initial: () => ({ count: 0 }),
  add: ({ state }) => ++state.count,
  async addSlowly({ state, call }) {
    const { count } = state;
    await call
      .entity(Register, "pace")
      .read()
      .catch(() => undefined);
    return (state.count = count + 1);
  },
  read: ({ state }) => state.count,
});

/** Everything that both have seen. */
export const joined = (
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> => {
  const all = { ...a };
  for (const [key, count] of Object.entries(b)) all[key] = Math.max(all[key] ?? 0, count);
  return all;
};

/** What somebody knows who has seen a note. */
export const known = (key: string, { count, causes }: Noted): Record<string, number> =>
  joined(causes, { [key]: count });

const note = Note.implement({
  initial: () => ({ count: 0, causes: {} }),
  post({ state, input }) {
    state.count++;
    state.causes = joined(state.causes, input);
    return { count: state.count, causes: { ...state.causes } };
  },
  async follow({ state, input, call }) {
    const saw = await call.entity(Note, input).look();
    state.count++;
    state.causes = joined(state.causes, known(input, saw));
    return { saw, noted: { count: state.count, causes: { ...state.causes } } };
  },
  async decline({ key, state, input: { write, read }, call, fail }) {
    const own = { count: state.count, causes: { ...state.causes } };
    const written = await call.entity(Note, write).post(known(key, own));
    return fail("DECLINED", { own, written, read: await call.entity(Note, read).look() });
  },
  look: ({ state }) => ({ count: state.count, causes: { ...state.causes } }),
});

const wallet = Wallet.implement({
  initial: () => ({ cents: purseCents, sent: {}, taken: [] }),
  pay({ state, input, key, now, fail, send }) {
    const { to, cents, on, failsMs, slow } = input;
    if (state.cents < cents) return fail("SHORT", { by: cents - state.cents });
    state.cents -= cents;
    const n = (state.sent[to] = (state.sent[to] ?? 0) + 1);
    send.entity(Wallet, to).take({ from: key, n, cents, on, sentAt: now, failsMs, slow });
  },
  async take({ state, input, key, now, call, send }) {
    const { from, n, cents, on, sentAt, failsMs, slow } = input;
    if (slow) await call.entity(Tally, `of-${key}`).add();
    if (now >= sentAt && now < sentAt + failsMs) throw new Error("not yet");
    state.taken.push(`${from} ${n}`);
    const [next, ...rest] = on;
    if (next === undefined) return void (state.cents += cents);
    const at = (state.sent[next] = (state.sent[next] ?? 0) + 1);
    send.entity(Wallet, next).take({ from: key, n: at, cents, on: rest, sentAt, failsMs: 0, slow });
  },
  look: ({ state: { cents, taken } }) => ({ cents, taken: [...taken] }),
});

const alarm = Alarm.implement({
  initial: () => ({ set: {}, rung: [], wrong: [] }),
  set({ state, input: { id, n, ms, again, quiet }, now, after }) {
    const due = Math.ceil(now + ms);
    if (quiet) delete state.set[id];
    else state.set[id] = { n, due };
    if (quiet) after(ms, "hush", { id, n, due }, { id });
    else after(ms, "ring", { id, n, due, ms, again }, { id });
  },
  drop({ state, input, cancel }) {
    delete state.set[input];
    cancel(input);
  },
  ring({ state, input: { id, n, due, ms, again }, now, after }) {
    const set = state.set[id];
    if (set?.n !== n || set.due !== due) state.wrong.push(`${id} ${n} rang though it was not set`);
    if (now < due) state.wrong.push(`${id} ${n} rang ${due - now} ms early`);
    state.rung.push(`${id} ${n} ${again}`);
    delete state.set[id];
    if (again === 0) return;
    const next = Math.ceil(now + ms);
    state.set[id] = { n, due: next };
    after(ms, "ring", { id, n, due: next, ms, again: again - 1 }, { id });
  },
  hush: () => {},
  look: ({ state: { set, rung, wrong } }) => ({ set: { ...set }, rung: [...rung], wrong: [...wrong] }),
});

const desk = Desk.implement({
  async transfer({ input, call }) {
    const { id, from, to, cents } = input;
    const step = (name: string): { idempotencyKey: string } => ({ idempotencyKey: `${id}/${name}` });
    try {
      await call.entity(Purse, from).reserve({ id, to, cents }, step("reserve"));
    } catch (error) {
      if (error instanceof SheafError && error.code === "DECLARED") return false;
      throw error;
    }
    await call.entity(Purse, to).take({ id, cents }, step("take"));
    await call.entity(Purse, from).settle(id, step("settle"));
    return true;
  },
  async copy({ input: { from, to }, call }) {
    const first = await call.entity(Note, from).look();
    const written = await call.entity(Note, to).post(known(from, first));
    const again = await call.entity(Note, to).look();
    const other = await call.entity(Note, from).look();
    return { first, written, again, other };
  },
});

export const gateApp = app("gate", { entities: [register, bag, purse, tally, note, wallet, alarm], services: [desk] });
