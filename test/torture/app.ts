// The application that is tortured: that of the simulation's gate, so that its checkers fit, pouches that send each other
// money and set timers, and boxes that events and jobs are for. Their handlers trust Sheaf to run each operation once, so that
// running one twice shows.

import { z } from "zod";
import { app, entity, queue, subscription, topic } from "../../src/model/index.ts";
import { gateApp } from "../../src/sim/gate-app.ts";
import { ticks } from "./timers.ts";

const Money = z.object({ from: z.string(), n: z.number().int(), cents: z.number().int() });
const Counts = z.record(z.string(), z.number().int());

const Due = z.object({ earliest: z.number(), due: z.number() });
const Rang = Due.extend({ at: z.number() });

export const pouchCents = 1000;

export const Pouch = entity("pouch", {
  state: z.object({
    cents: z.number().int(),
    /** Payments ever made and received, by the other's key. */
    paid: Counts,
    got: Counts,
    /** Timers ever set; those that went off, and when each of these did. */
    timers: z.number().int(),
    gone: z.array(z.number().int()),
    rings: z.array(Rang),
    /** What must never happen. */
    wrong: z.array(z.string()),
  }),
  commands: {
    /** Takes the money and sends it, and sets a timer, in one commit. */
    pay: {
      input: z.object({ to: z.string(), cents: z.number().int(), inMs: z.number().int(), calledAt: z.number() }),
    },
    take: { input: Money },
    /** `byItsTime`: when it is due by the shard's own time. */
    ring: { input: Due.extend({ n: z.number().int(), byItsTime: z.number() }) },
  },
  queries: {
    look: {
      output: z.object({
        cents: z.number(),
        paid: Counts,
        got: Counts,
        timers: z.number(),
        rings: z.array(Rang),
        wrong: z.array(z.string()),
      }),
    },
  },
});

const pouch = Pouch.implement({
  initial: () => ({ cents: pouchCents, paid: {}, got: {}, timers: 0, gone: [], rings: [], wrong: [] }),
  pay({ state, input: { to, cents, inMs, calledAt }, key, now, send, after }) {
    const n = (state.paid[to] ?? 0) + 1;
    state.paid[to] = n;
    state.cents -= cents;
    send.entity(Pouch, to).take({ from: key, n, cents });
    state.timers += 1;
    const times = { earliest: calledAt + inMs, due: ticks() + inMs, byItsTime: now + inMs };
    after(inMs, "ring", { n: state.timers, ...times });
  },
  take({ state, input: { from, n, cents } }) {
    const last = state.got[from] ?? 0;
    if (n !== last + 1) state.wrong.push(`payment ${n} of ${from} came behind ${last}`);
    state.got[from] = n;
    state.cents += cents;
  },
  ring({ state, input: { n, earliest, due, byItsTime }, now }) {
    if (state.gone.includes(n)) state.wrong.push(`timer ${n} went off twice`);
    if (now < byItsTime) state.wrong.push(`timer ${n} went off ${byItsTime - now} ms early`);
    state.gone.push(n);
    state.rings.push({ earliest, due, at: ticks() });
  },
  look: ({ state: { cents, paid, got, timers, rings, wrong } }) => ({
    cents,
    paid: { ...paid },
    got: { ...got },
    timers,
    rings: [...rings],
    wrong: [...wrong],
  }),
});

const Ground = z.object({ mill: z.string(), n: z.number().int() });
const Sent = z.object({ box: z.string(), id: z.string(), isPoison: z.boolean() });
const Post = z.object({ id: z.string(), what: z.enum(["letter", "parcel", "poison"]) });

/** Counts how often it ground, tells it by an event of its own and by one that it publishes. */
export const Mill = entity("mill", {
  state: z.object({ n: z.number().int() }),
  commands: { grind: { output: z.number() } },
  queries: { count: { output: z.number() } },
  events: { ground: Ground },
});
/** What has come, of a mill of the same key and by post. */
export const Box = entity("box", {
  state: z.object({
    flour: z.number().int(),
    ground: z.number().int(),
    /** How often each letter and parcel came, and the order in which letters did first. */
    post: Counts,
    letters: z.array(z.string()),
    wrong: z.array(z.string()),
  }),
  commands: {
    flour: { input: Ground },
    ground: { input: Ground },
    put: { input: Post, errors: { POISON: z.object({}) } },
  },
  queries: {
    look: {
      output: z.object({
        flour: z.number(),
        ground: z.number(),
        post: Counts,
        letters: z.array(z.string()),
        wrong: z.array(z.string()),
      }),
    },
  },
});
export const Flour = topic("flour", { event: Ground, key: ({ mill }) => mill });
export const Letters = topic("letters", { event: Sent, key: ({ box }) => box });
/** An attempt that meets a fault takes up to five seconds: twelve of them outlast any. Poison's are over in three. */
export const Parcels = queue("parcels", {
  input: Sent,
  attempts: 12,
  visibilityMs: 5_000,
  retry: { firstMs: 50, longestMs: 200 },
});
/** Where poison for a box goes, and how a job is named: so that a dead letter tells what it was. */
export const poisonKey = (box: string, id: string): string => `${box}!${id}`;

const mill = Mill.implement({
  initial: () => ({ n: 0 }),
  grind({ state, key, emit, publish }) {
    const made = { mill: key, n: ++state.n };
    emit("ground", made);
    publish(Flour, made);
    return state.n;
  },
  count: ({ state }) => state.n,
});
const box = Box.implement({
  initial: () => ({ flour: 0, ground: 0, post: {}, letters: [], wrong: [] }),
  flour({ state, input: { n } }) {
    if (n !== state.flour + 1) state.wrong.push(`flour ${n} came behind ${state.flour}`);
    state.flour = n;
  },
  ground({ state, input: { n } }) {
    if (n !== state.ground + 1) state.wrong.push(`event ${n} came behind ${state.ground}`);
    state.ground = n;
  },
  put({ state, input: { id, what }, fail }) {
    if (what === "poison") fail("POISON", {});
    state.post[id] = (state.post[id] ?? 0) + 1;
    if (what === "letter" && state.post[id] === 1) state.letters.push(id);
  },
  look: ({ state: { flour, ground, post, letters, wrong } }) => ({
    flour,
    ground,
    post: { ...post },
    letters: [...letters],
    wrong: [...wrong],
  }),
});
const parcels = Parcels.work(async ({ input, call, random }) => {
  if (input.isPoison || random() < 0.1) throw new Error("dropped on the way");
  await call.entity(Box, input.box).put({ id: input.id, what: "parcel" });
});
const subscriptions = [
  subscription("flour", Flour).into(Box, "flour", ({ key, value }) => ({ key, input: value })),
  subscription("ground", Mill.topic("ground")).into(Box, "ground", ({ key, value }) => ({ key, input: value })),
  subscription("letters", Letters).into(Box, "put", ({ key, value: { id, isPoison } }) =>
    isPoison
      ? { key: poisonKey(key, id), input: { id, what: "poison" as const } }
      : { key, input: { id, what: "letter" as const } },
  ),
];

const tortureApp = app("torture", {
  entities: [...gateApp.entities, pouch, mill, box],
  services: gateApp.services,
  topics: [Flour, Letters],
  subscriptions,
  queues: [parcels],
});
export default tortureApp;
