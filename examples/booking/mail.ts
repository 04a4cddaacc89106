// The confirmation of a booking: a job. When it fails, or its node dies, it is begun again, and a call that it has made before takes
// effect once. So one confirmation goes out, which the post counts here, and then the booking is told.

import { Booking, Confirmations, Mail } from "./contracts.ts";

export const mail = Mail.implement({
  initial: () => ({ posted: 0 }),
  post({ state }) {
    state.posted++;
  },
  posted: ({ state }) => state.posted,
});

export const confirmations = Confirmations.work(async ({ input: { booking }, call }) => {
  await call.entity(Mail, booking).post();
  await call.entity(Booking, booking).confirmed();
});
