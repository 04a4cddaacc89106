// One transfer between two accounts, as a saga: a row of steps on two entities that are not one commit.
//
//   begin    the intent is recorded here                      phase begun
//   move     hold at the sender, receive at the receiver      phase moved, or refused when the sender is short
//   finish   settle at the sender, forget at the receiver     phase done
//
// A crash between any two steps loses nothing: the phase says what was reached, and every step may be repeated, so whoever
// asks for the transfer again (or calls bank/resume) goes on from there. Until then the money is in flight: out of the sender's
// balance, in its holds. `finish` runs only when `moved` is durable, so a mark is never taken away while its step might be
// repeated. That repeats at one account keep their order is what makes this safe; Sheaf keeps it, as one transfer runs one
// command at a time, and one account too.
//
// Where nobody waits for the answer, a command sent in the commit itself (`send`) needs one step at each side and no marks. This
// is the way that also works where the other side is not an entity: a service, or somebody else's bank.

import { isDeclared } from "sheaf";
import { Account, Transfer } from "./contracts.ts";

export const transfer = Transfer.implement({
  initial: () => ({ phase: "new", from: "", to: "", cents: 0, short: 0 }),

  begin({ state, input, fail }) {
    if (state.phase === "new") {
      Object.assign(state, input);
      state.phase = "begun";
      return;
    }
    const same = state.from === input.from && state.to === input.to && state.cents === input.cents;
    if (!same) fail("ANOTHER_TRANSFER", { from: state.from, to: state.to, cents: state.cents });
  },

  async move({ key, state, call }) {
    if (state.phase === "begun") {
      const { from, to, cents } = state;
      const short = await hold(() => call.entity(Account, from).hold({ transfer: key, to, cents }));
      if (short === 0) await call.entity(Account, to).receive({ transfer: key, cents });
      state.short = short;
      state.phase = short === 0 ? "moved" : "refused";
    }
    return { phase: state.phase, short: state.short };
  },

  async finish({ key, state, call }) {
    if (state.phase !== "moved") return;
    await call.entity(Account, state.from).settle({ transfer: key });
    await call.entity(Account, state.to).forget({ transfer: key });
    state.phase = "done";
  },

  show: ({ state: { phase, from, to, cents } }) => ({ phase, from, to, cents }),
});

/** Cents that the sender is short of; 0 when the hold stands. Any other failure goes up: the phase stays, and a repeat is safe. */
async function hold(attempt: () => Promise<void>): Promise<number> {
  try {
    await attempt();
    return 0;
  } catch (error) {
    if (isDeclared(error, Account, "hold", "INSUFFICIENT")) return error.data.short;
    throw error;
  }
}
