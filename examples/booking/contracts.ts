// What the box office offers: data only, so that a browser or another service can import it.

import { contract, entity, queue, service } from "sheaf";
import { z } from "zod";

const Count = z.number().int().nonnegative();
/** Milliseconds since the Unix epoch, by the cluster's clock. */
const Time = z.number().int();
/** Names a booking. Whoever wants a seat chooses it, and may ask again with the same one. */
const BookingId = z.string().min(1).max(128);
/** The show, a dot, the part of the house: "hamlet.stalls". */
export const SectionId = z.string().regex(/^[\w-]+\.[\w-]+$/, "a section is named as in hamlet.stalls");

export const Seat = z.discriminatedUnion("is", [
  z.object({ is: z.literal("free") }),
  z.object({ is: z.literal("held"), booking: BookingId, until: Time }),
  z.object({ is: z.literal("sold"), booking: BookingId }),
]);

/** Where the booking came in line, and as which one it was given a seat. Both are counted from 1. */
const Turn = z.object({ ticket: Count, turn: Count });
const Ours = z.object({ booking: BookingId, seat: Count });
const Why = z.enum(["sold out", "line full", "declined"]);

/** The seats of one part of the house, and the people who wait for one. */
export const Section = entity("section", {
  state: z.object({
    seats: z.array(Seat),
    holdMs: Count,
    line: z.array(z.object({ booking: BookingId, ticket: Count })),
    /** How many may stand in line. */
    room: Count,
    tickets: Count,
    turns: Count,
  }),
  commands: {
    /** Once; later calls change nothing. */
    open: { input: z.object({ seats: Count.max(1000), holdMs: Count, room: Count.max(10_000) }) },
    // What bookings send.
    ask: { input: z.object({ booking: BookingId }) },
    buy: { input: Ours },
    release: { input: Ours },
    // What its timers do.
    expire: { input: z.object({ seat: Count }) },
  },
  queries: { look: { output: z.object({ now: Time, seats: z.array(Seat), line: Count }) } },
  events: { sold: Ours },
});

/** What the payment provider says. "busy": nothing was done, ask again later. */
const Answer = z.enum(["paid", "declined", "busy"]);

/** In this order; "expired" and "refused" are ends, too. */
export const Phase = z.enum(["new", "waiting", "held", "paying", "paid", "sold", "confirmed", "expired", "refused"]);
export const Status = z.object({
  phase: Phase,
  section: z.string(),
  /** From "held" on. */
  hold: Turn.extend({ seat: Count, until: Time }).optional(),
  /** When the hold ran out, of one that did. */
  expiredAt: Time.optional(),
  why: Why.optional(),
});

/** One visitor's way to one seat. */
export const Booking = entity("booking", {
  state: Status,
  commands: {
    /** Stands in line. Asking again changes nothing. */
    begin: { input: z.object({ section: SectionId }), output: z.object({ phase: Phase }) },
    /** The visitor pays for the seat that is held. */
    pay: { output: z.object({ phase: Phase }) },
    // What the section sends.
    held: { input: Turn.extend({ seat: Count, until: Time }) },
    expired: { input: z.object({ at: Time }) },
    sold: {},
    refused: { input: z.object({ why: Why }) },
    // What jobs call when they are done.
    charged: { input: z.object({ answer: Answer }) },
    confirmed: {},
  },
  queries: { status: { output: Status, consistency: "causal" } },
});

/** Whoever moves the money. It may be slow, and it may fail. */
export const Payment = service("payment", {
  procedures: {
    /** Takes the money for a booking, once, however often it is asked. */
    charge: { input: z.object({ booking: BookingId }), output: Answer },
    /** Gives back what was taken, if anything was. */
    refund: { input: z.object({ booking: BookingId }) },
  },
});

/** A job takes less than this. One whose node died is begun again after it. */
const visibilityMs = 5_000;
/** Done again until it is done: nobody is to wait for an operator. */
const insistent = { visibilityMs, attempts: 1_000, retry: { firstMs: 250, longestMs: 5_000 } };

/** Payments to be made: jobs, so that no booking stands still while the provider is slow. */
export const Payments = queue("payments", {
  input: z.object({ booking: BookingId, ask: z.enum(["charge", "refund"]) }),
  ...insistent,
});

/** Confirmations to be posted. */
export const Confirmations = queue("confirmations", { input: z.object({ booking: BookingId }), ...insistent });

/** The post, as far as one booking goes. It stands for whoever sends mails. */
export const Mail = entity("mail", {
  state: z.object({ posted: Count }),
  commands: { post: {} },
  queries: { posted: { output: Count } },
});

/** How many seats of a show are sold: made of what its sections tell. */
export const Sales = entity("sales", {
  state: z.object({ sold: Count }),
  commands: { count: {} },
  queries: { sold: { output: Count, consistency: "causal" } },
});

export const booking = contract("booking", {
  entities: [Section, Booking, Mail, Sales],
  services: [Payment],
  queues: [Payments, Confirmations],
});
