// The box office, with a defect that its checker must find under torture, and that does not show while no shard moves: a node counts
// turns by what it remembers.

import { app, type EntityHandlers } from "sheaf";
import { booking } from "../../../../examples/booking/booking.ts";
import { booking as contract, Section } from "../../../../examples/booking/contracts.ts";
import { confirmations, mail } from "../../../../examples/booking/mail.ts";
import { payments, paymentWith, practiceProvider } from "../../../../examples/booking/payment.ts";
import { countSales, sales } from "../../../../examples/booking/sales.ts";
import { section } from "../../../../examples/booking/section.ts";

const sound = { initial: section.initial, ...section.handlers } as EntityHandlers<typeof Section>;

const turns = new Map<string, number>();

/** The handler, with turns as this node remembers them. */
const remembered =
  <C extends { readonly state: { turns: number }; readonly key: string }>(handler: (context: C) => unknown) =>
  (context: C): void => {
    const { state, key } = context;
    state.turns = turns.get(key) ?? 0;
    void handler(context);
    turns.set(key, state.turns);
  };

const forgetful = Section.implement({
  ...sound,
  ask: remembered(sound.ask),
  release: remembered(sound.release),
  expire: remembered(sound.expire),
});

export default app(contract, {
  entities: [forgetful, booking, mail, sales],
  services: [paymentWith(practiceProvider(1))],
  queues: [payments, confirmations],
  subscriptions: [countSales],
});
