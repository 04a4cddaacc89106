// An account: money that may be spent, and money on its way out or in.
//
// The four steps of a transfer can each be repeated: `hold` and `receive` leave a mark with the transfer's id, and do nothing
// while the mark is there; `settle` and `forget` take the mark away, and do nothing when it is gone. The transfer makes sure
// that a mark is taken away only after it has noted, durably, that the step before is never needed again.

import { Account } from "./contracts.ts";

export const account = Account.implement({
  initial: () => ({ cents: 0, holds: [], arrived: [], sent: 0, got: 0, opened: false }),

  open({ state, input }) {
    if (state.opened) return;
    state.opened = true;
    state.cents += input.cents;
  },

  deposit({ state, input }) {
    state.cents += input.cents;
    return { cents: state.cents };
  },

  withdraw({ state, input, fail }) {
    if (state.cents < input.cents) return fail("INSUFFICIENT", { short: input.cents - state.cents });
    state.cents -= input.cents;
    return { cents: state.cents };
  },

  hold({ state, input, fail }) {
    if (state.holds.some((hold) => hold.transfer === input.transfer)) return;
    if (state.cents < input.cents) return fail("INSUFFICIENT", { short: input.cents - state.cents });
    state.cents -= input.cents;
    state.sent += 1;
    state.holds.push(input);
  },

  receive({ state, input }) {
    if (state.arrived.some((arrival) => arrival.transfer === input.transfer)) return;
    state.cents += input.cents;
    state.got += 1;
    state.arrived.push(input);
  },

  settle({ state, input }) {
    state.holds = state.holds.filter((hold) => hold.transfer !== input.transfer);
  },

  forget({ state, input }) {
    state.arrived = state.arrived.filter((arrival) => arrival.transfer !== input.transfer);
  },

  balance: ({ state }) => state.cents,
  statement: ({ state }) => ({ ...state, holds: [...state.holds], arrived: [...state.arrived] }),
});
