// The box office: `sheaf dev` and `sheaf start` run what this file exports by default.

import { app } from "sheaf";
import { booking } from "./booking.ts";
import { booking as contract } from "./contracts.ts";
import { confirmations, mail } from "./mail.ts";
import { payments, paymentWith, practiceProvider, type Provider } from "./payment.ts";
import { countSales, sales } from "./sales.ts";
import { section } from "./section.ts";

export const boxOffice = (provider: Provider) =>
  app(contract, {
    entities: [section, booking, mail, sales],
    services: [paymentWith(provider)],
    queues: [payments, confirmations],
    subscriptions: [countSales],
  });

export default boxOffice(practiceProvider(1));
