// Payments. The provider is outside: what it did and what is kept of that are two things. When a call fails, or the node dies in the
// middle, the job is done again, and the provider, who knows the booking's id, charges once.
//
// It is handed in, so that a test can have one that is slow or fails whenever the test wants. The one for practice has a seed, and what
// it does to a booking follows from that and the booking's id.

import { setTimeout as sleep } from "node:timers/promises";
import { Booking, Payment, Payments } from "./contracts.ts";

export type Provider = {
  readonly charge: (booking: string) => Promise<"paid" | "declined" | "busy">;
  readonly refund: (booking: string) => Promise<void>;
};

export const paymentWith = ({ charge, refund }: Provider) =>
  Payment.implement({
    charge: ({ input }) => charge(input.booking),
    refund: ({ input }) => refund(input.booking),
  });

export const payments = Payments.work(
  async ({ input: { booking, ask }, call }) => {
    if (ask === "refund") return call.service(Payment).refund({ booking });
    const answer = await call.service(Payment).charge({ booking });
    await call.entity(Booking, booking).charged({ answer });
  },
  { concurrency: 64 },
);

/** Of ten charges one is declined, one finds the provider busy when it is first asked for, and one takes `slowMs`. */
export function practiceProvider(
  seed: number,
  slowMs = 3_000,
  wait: (ms: number) => Promise<unknown> = sleep,
): Provider {
  const turnedAway = new Set<string>();
  return {
    async charge(booking) {
      const dice = draw(`${seed} ${booking}`);
      if (dice < 10) return "declined";
      if (dice < 20 && !turnedAway.delete(booking)) {
        turnedAway.add(booking);
        return "busy";
      }
      await wait(dice < 30 ? slowMs : 50 + dice);
      return "paid";
    },
    refund: async () => {},
  };
}

/** 0 to 99, the same for the same text (FNV-1a). */
export function draw(text: string): number {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 12)) >>> 0) % 100;
}
