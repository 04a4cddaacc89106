// An account. What a transfer wants of it is one commit: the money moves, and the answer is sent, or neither. No step asks
// whether it was done before, since what is sent takes effect exactly once.

import { Account, Transfer } from "./contracts.ts";

export const account = Account.implement({
  initial: () => ({ cents: 0, sent: { transfers: 0, cents: 0 }, got: { transfers: 0, cents: 0 }, open: false }),

  open({ state, input }) {
    if (state.open) return;
    state.open = true;
    state.cents += input.cents;
  },

  deposit({ state, input }) {
    state.open = true;
    state.cents += input.cents;
    return { cents: state.cents };
  },

  withdraw({ state, input, fail }) {
    if (state.cents < input.cents) return fail("INSUFFICIENT", { short: input.cents - state.cents });
    state.cents -= input.cents;
    return { cents: state.cents };
  },

  close({ state, fail }) {
    if (state.cents > 0) fail("NOT_EMPTY", { cents: state.cents });
    state.open = false;
  },

  pay({ state, input: { transfer, cents }, send }) {
    if (state.cents < cents) return send.entity(Transfer, transfer).refused();
    state.cents -= cents;
    state.sent.cents += cents;
    state.sent.transfers++;
    send.entity(Transfer, transfer).paid();
  },

  credit({ state, input: { transfer, cents }, send }) {
    if (!state.open) return send.entity(Transfer, transfer).unwanted();
    state.cents += cents;
    state.got.cents += cents;
    state.got.transfers++;
    send.entity(Transfer, transfer).credited();
  },

  // Money that comes back is taken in any case. An account that was closed meanwhile is open again.
  takeBack({ state, input: { transfer, cents }, send }) {
    state.open = true;
    state.cents += cents;
    state.sent.cents -= cents;
    state.sent.transfers--;
    send.entity(Transfer, transfer).returned();
  },

  balance: ({ state }) => state.cents,
  statement: ({ state }) => ({ ...state, sent: { ...state.sent }, got: { ...state.got } }),
});
