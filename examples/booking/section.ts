// A section: who holds and has its seats, and who is next. All of it is one entity, so two can never be given the same seat,
// and the order in which people came is kept.
//
// A seat is free, held for somebody until a time, or sold. The timer that ends a hold is set in the same commit as the hold.

import type { CommandContext } from "sheaf";
import type { z } from "zod";
import { Booking, Section } from "./contracts.ts";

type Here = Pick<
  CommandContext<z.infer<typeof Section.state.schema>, object, typeof Section.events, typeof Section.commands>,
  "state" | "now" | "send" | "after"
>;

const timerOf = (seat: number): string => `seat ${seat}`;

/** Gives the seats that are free to those who came first. */
function serve({ state, now, send, after }: Here): void {
  for (;;) {
    const seat = state.seats.findIndex(({ is }) => is === "free");
    const next = seat < 0 ? undefined : state.line.shift();
    if (next === undefined) return;
    const until = now + state.holdMs;
    state.seats[seat] = { is: "held", booking: next.booking, until };
    after(state.holdMs, "expire", { seat }, { id: timerOf(seat) });
    send.entity(Booking, next.booking).held({ seat, until, ticket: next.ticket, turn: ++state.turns });
  }
}

export const section = Section.implement({
  initial: () => ({ seats: [], holdMs: 0, line: [], room: 0, tickets: 0, turns: 0 }),

  open({ state, input: { seats, holdMs, room } }) {
    if (state.seats.length > 0) return;
    state.seats = Array.from({ length: seats }, () => ({ is: "free" }));
    state.holdMs = holdMs;
    state.room = room;
  },

  ask(context) {
    const { state, input, send } = context;
    const refuse = send.entity(Booking, input.booking).refused;
    if (state.seats.every(({ is }) => is === "sold")) return refuse({ why: "sold out" });
    if (state.line.length >= state.room) return refuse({ why: "line full" });
    state.line.push({ booking: input.booking, ticket: ++state.tickets });
    serve(context);
  },

  buy({ state, input: { booking, seat }, now, send, cancel, emit }) {
    const found = state.seats[seat];
    // A hold is good to its last millisecond and no longer. That it is over is told by `expire`, if it was not already.
    if (found?.is !== "held" || found.booking !== booking || now > found.until) return;
    state.seats[seat] = { is: "sold", booking };
    cancel(timerOf(seat));
    send.entity(Booking, booking).sold();
    emit("sold", { booking, seat });
    if (state.seats.some(({ is }) => is !== "sold")) return;
    for (const next of state.line.splice(0)) send.entity(Booking, next.booking).refused({ why: "sold out" });
  },

  release(context) {
    const { state, input, cancel } = context;
    const found = state.seats[input.seat];
    if (found?.is !== "held" || found.booking !== input.booking) return;
    state.seats[input.seat] = { is: "free" };
    cancel(timerOf(input.seat));
    serve(context);
  },

  expire(context) {
    const { state, input, now, send } = context;
    const found = state.seats[input.seat];
    if (found?.is !== "held") return;
    state.seats[input.seat] = { is: "free" };
    send.entity(Booking, found.booking).expired({ at: now });
    serve(context);
  },

  look: ({ state, now }) => ({ now, seats: state.seats.map((seat) => ({ ...seat })), line: state.line.length }),
});
