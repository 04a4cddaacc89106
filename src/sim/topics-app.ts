// The application that the gate drives for topics, in two releases: a pipeline of three stages across shards, letters from callers, and
// scraps of which little is kept. Its handlers trust Sheaf to make one command of each event, so that making two shows.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { app, type AppShape, entity, service, subscription, type SubscriptionShape, topic } from "../model/index.ts";
import type { Setup } from "./machine.ts";
import { worldStart } from "./sim-host.ts";

const plain = <T>(): StandardSchemaV1<T, T> => ({
  "~standard": { version: 1, vendor: "sheaf-sim", validate: (value) => ({ value: value as T }) },
});

/** The n-th of what one sends another. */
export type Load = {
  readonly from: string;
  readonly to: string;
  readonly n: number;
  /** It is refused from then on, for so long. */
  readonly sentAt: number;
  readonly failsMs: number;
  /** Waits for another entity in the middle. */
  readonly slow: boolean;
  /** The first release of `grumble` makes nothing of it. */
  readonly bad: boolean;
};
export type Letter = { readonly id: string; readonly to: string };

export const Sacks = topic("sacks", { event: plain<Load>(), key: ({ from }) => from });
export const Loaves = topic("loaves", { event: plain<Load>(), key: ({ from }) => from });
export const Letters = topic("letters", { event: plain<Letter>(), key: ({ to }) => to });
/** Of these about five are kept. */
export const Scraps = topic("scraps", {
  event: plain<Letter>(),
  key: ({ to }) => to,
  retain: { megabytes: 400 / 2 ** 20 },
});

/** Nobody subscribes to these. */
export const Notices = topic("notices", { event: plain<Letter>(), key: ({ to }) => to });

type Given = { to: string; failsMs: number; slow: boolean; bad: boolean };

export const Mill = entity("mill", {
  state: plain<{ sent: Record<string, number> }>(),
  commands: { grind: { input: plain<Given>() } },
  queries: { look: { output: plain<Record<string, number>>(), consistency: "strong" } },
  events: { ground: plain<Load>() },
});

export const Oven = entity("oven", {
  state: plain<{ baked: string[]; sent: Record<string, number> }>(),
  commands: { bake: { input: plain<Load>() } },
  queries: { look: { output: plain<string[]>(), consistency: "strong" } },
});

export const Shop = entity("shop", {
  state: plain<{ got: Record<string, string[]> }>(),
  commands: {
    take: { input: plain<{ by: string; what: string; load?: Load }>() },
    pile: { input: plain<{ by: string; what: string }[]>() },
  },
  queries: { look: { output: plain<Record<string, readonly string[]>>(), consistency: "strong" } },
});

export const Press = service("press", {
  procedures: {
    all: { input: plain<{ to: string; what: string }[]>() },
    one: { input: plain<{ to: string; what: string }>() },
  },
});

const mill = Mill.implement({
  initial: () => ({ sent: {} }),
  grind({ state, input: { to, ...given }, key, now, emit, publish }) {
    const n = (state.sent[to] = (state.sent[to] ?? 0) + 1);
    const load = { from: key, to, n, sentAt: now, ...given };
    emit("ground", load);
    publish(Sacks, load);
  },
  look: ({ state }) => ({ ...state.sent }),
});

const refuses = ({ sentAt, failsMs }: Load, now: number): void => {
  if (now >= sentAt && now < sentAt + failsMs) throw new Error("not yet");
};

const oven = Oven.implement({
  initial: () => ({ baked: [], sent: {} }),
  async bake({ state, input, key, now, call, publish }) {
    if (input.slow) await call.entity(Shop, `of-${key}`).look();
    refuses(input, now);
    state.baked.push(`${input.from} ${input.n}`);
    const n = (state.sent[input.from] = (state.sent[input.from] ?? 0) + 1);
    publish(Loaves, { ...input, from: key, to: input.from, n });
  },
  look: ({ state }) => [...state.baked],
});

const shop = Shop.implement({
  initial: () => ({ got: {} }),
  take({ state, input: { by, what, load }, now }) {
    if (load) refuses(load, now);
    (state.got[by] ??= []).push(what);
  },
  pile({ state, input }) {
    for (const { by, what } of input) (state.got[by] ??= []).push(what);
  },
  look: ({ state }) => ({ ...state.got }),
});

const press = Press.implement({
  async all({ input, call }) {
    for (const { to, what } of input) await call.entity(Shop, to).take({ by: "print", what });
  },
  one: ({ input: { to, what }, call }) => call.entity(Shop, to).take({ by: "copy", what }),
});

const carry = subscription("carry", Mill.topic("ground")).into(Oven, "bake", ({ value }) => ({
  key: value.to,
  input: value,
}));
const store = subscription("store", Sacks).into(Shop, "take", ({ value }) => ({
  key: value.to,
  input: { by: "store", what: `${value.from} ${value.n}`, load: value },
}));
const sell = subscription("sell", Loaves).into(Shop, "take", ({ value }) => ({
  key: value.to,
  input: { by: "sell", what: `${value.from} ${value.n}` },
}));
/** Every third is passed over. */
const grumble = (says: (load: Load) => void): SubscriptionShape =>
  subscription("grumble", Sacks).into(Shop, "take", ({ value }) => {
    says(value);
    if (value.bad || value.n % 3 === 0) return undefined;
    return { key: value.to, input: { by: "grumble", what: `${value.from} ${value.n}` } };
  });

const letters = (
  name: string,
  from: "beginning" | "now" | Date = "beginning",
  of: typeof Letters | typeof Scraps = Letters,
): SubscriptionShape =>
  subscription(name, of, { from }).into(Shop, "take", ({ value }) => ({
    key: value.to,
    input: { by: name, what: value.id },
  }));

const heap = subscription("heap", Letters, { batch: { events: 3, waitMs: 12 } }).into(Shop, "pile", ({ value }) => ({
  key: value.to,
  input: { by: "heap", what: value.id },
}));
const print = subscription("print", Letters, { batch: { events: 2 }, concurrency: 2 }).call(
  Press,
  "all",
  ({ value }) => ({ input: { to: value.to, what: value.id } }),
);
const copy = subscription("copy", Letters, { concurrency: 1 }).call(Press, "one", ({ value }) => ({
  input: { to: value.to, what: value.id },
}));

/** Moved to and fro, paused and resumed by an operator. */
export const moved = "again";
/** Begins at a time when callers are at work, as a rule. */
const sinceMs = 60;

const parts = {
  entities: [mill, oven, shop],
  services: [press],
  topics: [Sacks, Loaves, Letters, Scraps, Notices],
};
const both = [
  carry,
  store,
  sell,
  heap,
  print,
  copy,
  letters("post"),
  letters("sweep", "beginning", Scraps),
  letters(moved),
  letters("since", new Date(worldStart + sinceMs)),
];
const stubborn = grumble(({ bad }) => {
  if (bad) throw new Error("I make nothing of this");
});

const first: AppShape = app("topics", { ...parts, subscriptions: [...both, stubborn, letters("old")] });
/** Without `old`, and with two that are new: one for all that there is, and one for what comes from then on. */
const second: AppShape = app("topics", {
  ...parts,
  subscriptions: [...both, grumble(() => {}), letters("late"), letters("fresh", "now")],
});

/** All that there ever are, as they are in the last release that has them. */
export const subscriptionsEver = [...second.subscriptions!, letters("old")];

/** What machines run that start from now on. */
export type Releases = ((name: string) => Setup) & { app: AppShape };

export const releases = (): Releases => {
  const each: Releases = Object.assign(() => ({ app: each.app }), { app: first });
  return each;
};
export const topicsApp = first;
export const nextTopicsApp = second;
