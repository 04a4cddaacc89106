// One visitor's way to a seat. Each step is one commit, and what it `send`s is part of that commit: whatever dies when, the next
// step comes, once, and nobody has to ask again.
//
//   waiting    in the section's line
//   held       a seat is held, until a time
//   paying     the visitor wants to pay, and the payment provider is asked
//   paid       it has the money, and the section is asked to sell the seat
//   sold       the seat is the visitor's, and the confirmation is on its way
//   confirmed  it is posted
//
//   expired    the hold ran out first; what was paid is given back
//   refused    sold out, too many in line, or no money

import { Booking, Confirmations, Payments, Section } from "./contracts.ts";

export const booking = Booking.implement({
  initial: () => ({ phase: "new", section: "" }),

  begin({ key, state, input, send }) {
    if (state.phase === "new") {
      state.phase = "waiting";
      state.section = input.section;
      send.entity(Section, state.section).ask({ booking: key });
    }
    return { phase: state.phase };
  },

  pay({ key, state, send }) {
    if (state.phase === "held") {
      state.phase = "paying";
      send.queue(Payments).add({ booking: key, ask: "charge" });
    }
    return { phase: state.phase };
  },

  held({ state, input }) {
    state.phase = "held";
    state.hold = input;
  },

  charged({ key, state, input, send }) {
    if (state.phase !== "paying") {
      // The hold ran out meanwhile.
      if (input.answer === "paid") send.queue(Payments).add({ booking: key, ask: "refund" });
      return;
    }
    const ours = { booking: key, seat: state.hold!.seat };
    switch (input.answer) {
      case "paid":
        state.phase = "paid";
        return send.entity(Section, state.section).buy(ours);
      case "declined":
        Object.assign(state, { phase: "refused", why: "declined" });
        return send.entity(Section, state.section).release(ours);
      case "busy":
        send.queue(Payments).add({ booking: key, ask: "charge" }, { delayMs: 250 });
    }
  },

  sold({ key, state, send }) {
    state.phase = "sold";
    send.queue(Confirmations).add({ booking: key });
  },

  confirmed({ state }) {
    state.phase = "confirmed";
  },

  expired({ key, state, input, send }) {
    if (state.phase === "refused") return;
    if (state.phase === "paid") send.queue(Payments).add({ booking: key, ask: "refund" });
    state.phase = "expired";
    state.expiredAt = input.at;
  },

  refused({ state, input }) {
    state.phase = "refused";
    state.why = input.why;
  },

  status: ({ state }) => ({ ...state, ...(state.hold && { hold: { ...state.hold } }) }),
});
