// The application that is tortured: that of the simulation's gate, so that its checkers fit, and pouches that send each other
// money and set timers. Their handlers trust Sheaf to run each operation once, so that running one twice shows.

import { z } from "zod";
import { app, entity } from "../../src/model/index.ts";
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
    /** Timers ever set; those that went off, and how late the latest one was. */
    timers: z.number().int(),
    gone: z.array(z.number().int()),
    lateMs: z.number(),
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
        lateMs: z.number(),
        wrong: z.array(z.string()),
      }),
    },
  },
});

const pouch = Pouch.implement({
  initial: () => ({ cents: pouchCents, paid: {}, got: {}, timers: 0, gone: [], lateMs: 0, wrong: [] }),
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
    state.lateMs = Math.max(state.lateMs, now - due);
  },
  look: ({ state: { cents, paid, got, timers, gone, lateMs, wrong } }) => ({
    cents,
    paid: { ...paid },
    got: { ...got },
    timers,
    gone: gone.length,
    lateMs,
    wrong: [...wrong],
  }),
});

const tortureApp = app("torture", { entities: [...gateApp.entities, pouch], services: gateApp.services });
export default tortureApp;
