// The box office, with a defect that its checker must find under torture, and that does not show while no shard moves: a node counts
// tickets by what it remembers.

import { app, type EntityHandlers } from "sheaf";
import { booking } from "../../../../examples/booking/booking.ts";
import { booking as contract, Section } from "../../../../examples/booking/contracts.ts";
import { confirmations, mail } from "../../../../examples/booking/mail.ts";
import { payments, paymentWith, practiceProvider } from "../../../../examples/booking/payment.ts";
import { countSales, sales } from "../../../../examples/booking/sales.ts";
import { section } from "../../../../examples/booking/section.ts";

const sound = { initial: section.initial, ...section.handlers } as EntityHandlers<typeof Section>;

const tickets = new Map<string, number>();

const forgetful = Section.implement({
  ...sound,
  ask(context) {
    const { state, key } = context;
    state.tickets = tickets.get(key) ?? 0;
    void sound.ask(context);
    tickets.set(key, state.tickets);
  },
});

export default app(contract, {
  entities: [forgetful, booking, mail, sales],
  services: [paymentWith(practiceProvider(1))],
  queues: [payments, confirmations],
  subscriptions: [countSales],
});
