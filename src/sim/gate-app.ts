// The small application that the gate drives: a register, a set, purses and a counter. Its handlers trust Sheaf to run each
// operation once, so that running one twice shows.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { app, entity } from "../model/index.ts";

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
  queries: { all: { output: plain<string[]>(), consistency: "strong" } },
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

export const gateApp = app("gate", { entities: [register, bag, purse, tally] });
