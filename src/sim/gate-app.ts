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

export const gateApp = app("gate", { entities: [register, bag, purse, tally, note], services: [desk] });
