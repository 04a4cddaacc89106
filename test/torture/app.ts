// The application that is tortured: that of the simulation's gate, so that its checkers fit, pouches that send each other
// money and set timers, and boxes that events and jobs are for. Their handlers trust Sheaf to run each operation once, so that
// running one twice shows.

import { z } from "zod";
import { app, entity, queue, subscription, topic } from "../../src/model/index.ts";
import { gateApp } from "../../src/sim/gate-app.ts";

const Money = z.object({ from: z.string(), n: z.number().int(), cents: z.number().int() });
const Counts = z.record(z.string(), z.number().int());

export const pouchCents = 1000;

export const Pouch = entity("pouch", {
  state: z.object({
    cents: z.number().int(),
    /** Payments ever made and received, by the other's key. */
    paid: Counts,
    got: Counts,
    /** Timers ever set; those that went off, and how late each of these was. */
    timers: z.number().int(),
    gone: z.array(z.number().int()),
    late: z.array(z.number()),
    /** What must never happen. */
    wrong: z.array(z.string()),
  }),
  commands: {
    /** Takes the money and sends it, and sets a timer, in one commit. */
    pay: { input: z.object({ to: z.string(), cents: z.number().int(), inMs: z.number().int() }) },
    take: { input: Money },
    ring: { input: z.object({ n: z.number().int(), due: z.number() }) },
  },
  queries: {
    look: {
      output: z.object({
        cents: z.number(),
        paid: Counts,
        got: Counts,
        timers: z.number(),
        gone: z.number(),
        late: z.array(z.number()),
        wrong: z.array(z.string()),
      }),
    },
  },
});

const pouch = Pouch.implement({
  initial: () => ({ cents: pouchCents, paid: {}, got: {}, timers: 0, gone: [], late: [], wrong: [] }),
  pay({ state, input: { to, cents, inMs }, key, now, send, after }) {
    const n = (state.paid[to] ?? 0) + 1;
    state.paid[to] = n;
    state.cents -= cents;
    send.entity(Pouch, to).take({ from: key, n, cents });
    state.timers += 1;
    after(inMs, "ring", { n: state.timers, due: now + inMs });
  },
  take({ state, input: { from, n, cents } }) {
    const last = state.got[from] ?? 0;
    if (n !== last + 1) state.wrong.push(`payment ${n} of ${from} came behind ${last}`);
    state.got[from] = n;
    state.cents += cents;
  },
  ring({ state, input: { n, due }, now }) {
    if (state.gone.includes(n)) state.wrong.push(`timer ${n} went off twice`);
    if (now < due) state.wrong.push(`timer ${n} went off ${due - now} ms early`);
    state.gone.push(n);
    state.late.push(now - due);
  },
  look: ({ state: { cents, paid, got, timers, gone, late, wrong } }) => ({
    cents,
    paid: { ...paid },
    got: { ...got },
    timers,
    gone: gone.length,
    late: [...late],
    wrong: [...wrong],
  }),
});

const Ground = z.object({ mill: z.string(), n: z.number().int() });
const Sent = z.object({ box: z.string(), id: z.string() });

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
    /** How often each letter and parcel came. */
    post: Counts,
    wrong: z.array(z.string()),
  }),
  commands: { flour: { input: Ground }, ground: { input: Ground }, put: { input: z.string() } },
  queries: {
    look: { output: z.object({ flour: z.number(), ground: z.number(), post: Counts, wrong: z.array(z.string()) }) },
  },
});
export const Flour = topic("flour", { event: Ground, key: ({ mill }) => mill });
export const Letters = topic("letters", { event: Sent, key: ({ box }) => box });
export const Parcels = queue("parcels", { input: Sent, attempts: 100, visibilityMs: 2_000 });

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
  initial: () => ({ flour: 0, ground: 0, post: {}, wrong: [] }),
  flour({ state, input: { n } }) {
    if (n !== state.flour + 1) state.wrong.push(`flour ${n} came behind ${state.flour}`);
    state.flour = n;
  },
  ground({ state, input: { n } }) {
    if (n !== state.ground + 1) state.wrong.push(`event ${n} came behind ${state.ground}`);
    state.ground = n;
  },
  put({ state, input: id }) {
    state.post[id] = (state.post[id] ?? 0) + 1;
  },
  look: ({ state: { flour, ground, post, wrong } }) => ({ flour, ground, post: { ...post }, wrong: [...wrong] }),
});
const parcels = Parcels.work(async ({ input, call, random }) => {
  if (random() < 0.1) throw new Error("dropped on the way");
  await call.entity(Box, input.box).put(input.id);
});
const subscriptions = [
  subscription("flour", Flour).into(Box, "flour", ({ key, value }) => ({ key, input: value })),
  subscription("ground", Mill.topic("ground")).into(Box, "ground", ({ key, value }) => ({ key, input: value })),
  subscription("letters", Letters).into(Box, "put", ({ key, value }) => ({ key, input: value.id })),
];

const tortureApp = app("torture", {
  entities: [...gateApp.entities, pouch, mill, box],
  services: gateApp.services,
  topics: [Flour, Letters],
  subscriptions,
  queues: [parcels],
});
export default tortureApp;
