// What the box office promises, step by step.

import assert from "node:assert/strict";
import { test } from "node:test";
import { testApp } from "sheaf/testing";
import { boxOffice } from "./app.ts";
import { Booking, Mail, Sales, Section } from "./contracts.ts";
import type { Provider } from "./payment.ts";

const stalls = "hamlet.stalls";
const holdMs = 60_000;
/** What a test's clock is moved by, so that what was sent arrives. */
const soon = 1000;

const paying: Provider = { charge: async () => "paid", refund: async () => {} };

async function opened(seats: number, provider: Provider = paying, room = 10) {
  const office = await testApp(boxOffice(provider));
  await office.entity(Section, stalls).open({ seats, holdMs, room });
  return {
    ...office,
    [Symbol.asyncDispose]: office[Symbol.asyncDispose],
    async begin(...bookings: string[]): Promise<void> {
      for (const booking of bookings) {
        await office.entity(Booking, booking).begin({ section: stalls });
        await office.advance(soon);
      }
    },
    async pay(booking: string): Promise<void> {
      await office.entity(Booking, booking).pay();
      await office.advance(soon);
    },
    phases: (...bookings: string[]) =>
      Promise.all(bookings.map(async (booking) => (await office.entity(Booking, booking).status()).phase)),
    seats: async () => (await office.entity(Section, stalls).look()).seats.map(({ is }) => is),
    posted: (booking: string) => office.entity(Mail, booking).posted(),
  };
}

test("booking: a seat is held, paid and confirmed, once, however often it is asked for", async () => {
  await using office = await opened(2);
  await office.begin("ann", "ann");
  assert.deepEqual(await office.phases("ann"), ["held"]);
  await office.pay("ann");
  await office.pay("ann");
  assert.deepEqual(await office.phases("ann"), ["confirmed"]);
  assert.deepEqual(await office.seats(), ["sold", "free"]);
  assert.equal(await office.posted("ann"), 1);
  assert.equal(await office.entity(Sales, "hamlet").sold(), 1);
});

test("booking: a hold ends at its deadline, and the seat goes to who is first in line", async () => {
  await using office = await opened(1);
  await office.begin("ann", "bob", "cyd");
  assert.deepEqual(await office.phases("ann", "bob", "cyd"), ["held", "waiting", "waiting"]);
  const { hold } = await office.entity(Booking, "ann").status();
  await office.advance(hold!.until - office.now() - 1);
  assert.deepEqual(await office.phases("ann", "bob", "cyd"), ["held", "waiting", "waiting"]);
  await office.advance(soon);
  assert.deepEqual(await office.phases("ann", "bob", "cyd"), ["expired", "held", "waiting"]);
  await office.pay("ann");
  assert.deepEqual(await office.phases("ann"), ["expired"]);
});

test("booking: who is left in line when the last seat is sold is told so, and so is who comes later", async () => {
  await using office = await opened(1);
  await office.begin("ann", "bob");
  await office.pay("ann");
  await office.begin("cyd");
  for (const booking of ["bob", "cyd"]) assert.equal((await office.entity(Booking, booking).status()).why, "sold out");
});

test("booking: a line that is full takes nobody in", async () => {
  await using office = await opened(1, paying, 1);
  await office.begin("ann", "bob", "cyd");
  assert.deepEqual(await office.phases("ann", "bob", "cyd"), ["held", "waiting", "refused"]);
  assert.equal((await office.entity(Booking, "cyd").status()).why, "line full");
});

test("payment: a seat whose payment is declined goes to the next at once", async () => {
  await using office = await opened(1, { ...paying, charge: async (id) => (id === "ann" ? "declined" : "paid") });
  await office.begin("ann", "bob");
  await office.pay("ann");
  assert.deepEqual(await office.phases("ann", "bob"), ["refused", "held"]);
  assert.equal(await office.posted("ann"), 0);
});

test("payment: a provider that is busy or fails is asked again", async () => {
  let asked = 0;
  const charge = async () => {
    if (++asked === 2) throw new Error("out of order");
    return asked === 1 ? "busy" : "paid";
  };
  await using office = await opened(1, { ...paying, charge });
  await office.begin("ann");
  await office.pay("ann");
  await office.advance(10_000);
  assert.deepEqual(await office.phases("ann"), ["confirmed"]);
  assert.equal(asked, 3);
});

test("payment: one that comes after the hold has ended buys nothing, and is given back", async () => {
  const answer = Promise.withResolvers<"paid">();
  const refunded: string[] = [];
  const refund = async (id: string) => void refunded.push(id);
  await using office = await opened(1, { charge: () => answer.promise, refund });
  await office.begin("ann", "bob");
  const { hold } = await office.entity(Booking, "ann").status();
  await office.advance(hold!.until - office.now() - 5 * soon);
  await office.pay("ann");
  await office.advance(6 * soon);
  assert.deepEqual(await office.phases("ann", "bob"), ["expired", "held"]);
  assert.deepEqual(refunded, []);
  answer.resolve("paid");
  await office.advance(soon);
  assert.deepEqual(await office.phases("ann", "bob"), ["expired", "held"]);
  assert.deepEqual(await office.seats(), ["held"]);
  assert.deepEqual(refunded, ["ann"]);
});

test("payment: what is to be given back is given back, however often the provider fails", async () => {
  const answer = Promise.withResolvers<"paid">();
  let asked = 0;
  const refund = async (): Promise<void> => {
    if (++asked <= 8) throw new Error("out of order");
  };
  await using office = await opened(1, { charge: () => answer.promise, refund });
  await office.begin("ann");
  const { hold } = await office.entity(Booking, "ann").status();
  await office.advance(hold!.until - office.now() - 2 * soon);
  await office.pay("ann");
  await office.advance(3 * soon);
  answer.resolve("paid");
  await office.advance(60_000);
  assert.equal(asked, 9);
});

test("booking: what was begun goes on by itself after a crash", async () => {
  await using office = await opened(1);
  await office.begin("ann", "bob");
  await office.entity(Booking, "ann").pay();
  office.crash();
  await office.restart();
  await office.advance(soon);
  assert.deepEqual(await office.phases("ann", "bob"), ["confirmed", "refused"]);
  await office.begin("cyd");
  assert.deepEqual(await office.phases("cyd"), ["refused"]);
});
