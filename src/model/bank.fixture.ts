// The bank of the documentation, as tests of the model use it.

import { z } from "zod";
import { app, contract, entity, service } from "./index.ts";

const cents = z.number().int();

export const Account = entity("account", {
  state: z.object({ cents, tags: z.array(z.string()).default([]) }),
  commands: {
    deposit: { input: z.object({ cents: cents.positive() }), output: z.object({ cents }) },
    withdraw: {
      input: z.object({ cents: cents.positive(), memo: z.string().default("none") }),
      output: z.object({ cents, at: z.string().transform((text) => text.length) }),
      errors: { INSUFFICIENT: z.object({ short: cents }), FROZEN: z.undefined() },
    },
    close: {},
  },
  queries: {
    balance: { output: cents, consistency: "causal" },
    find: { input: z.string().optional(), output: z.array(z.string()) },
  },
  events: { withdrawn: z.object({ cents }), emptied: z.undefined() },
});

export const Rates = service("rates", {
  procedures: { quote: { input: z.object({ pair: z.string() }), output: z.object({ rate: z.number() }) }, refresh: {} },
});

export const account = Account.implement({
  initial: () => ({ cents: 0 }),
  deposit: ({ state, input }) => ({ cents: (state.cents += input.cents) }),
  withdraw({ state, input, fail, emit }) {
    if (state.cents < input.cents) fail("INSUFFICIENT", { short: input.cents - state.cents });
    state.cents -= input.cents;
    emit("withdrawn", { cents: input.cents });
    return { cents: state.cents, at: "now" };
  },
  close({ state }) {
    state.cents = 0;
  },
  balance: ({ state }) => state.cents,
  find: ({ state, input }) => state.tags.filter((tag) => input === undefined || tag === input),
});

export const rates = Rates.implement({
  quote: async ({ input }) => ({ rate: input.pair.length }),
  refresh: () => undefined,
});

export const bankContract = contract("bank", { entities: [Account], services: [Rates] });
export const bank = app("bank", { entities: [account], services: [rates] });
