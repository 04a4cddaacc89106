// What the checker promises: it passes a box office that kept its word, and no other; and what the box office promises, in simulated
// clusters whose nodes die, stand still and wait for a slow engine while a crowd is at it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { app, type EntityHandlers, subscription } from "sheaf";
import { simulate, type SimulateOptions } from "sheaf/testing";
import { booking } from "./booking.ts";
import type { Entry } from "./books.ts";
import { Checker } from "./checker.ts";
import { Booking, booking as contract, Mail, Sales, Section } from "./contracts.ts";
import { load } from "./load.ts";
import { confirmations, mail } from "./mail.ts";
import { payments, paymentWith, practiceProvider } from "./payment.ts";
import { countSales, sales, showOf } from "./sales.ts";
import { section } from "./section.ts";

type SectionHandlers = EntityHandlers<typeof Section>;
type MailHandlers = EntityHandlers<typeof Mail>;
type BookingHandlers = EntityHandlers<typeof Booking>;

const sound = {
  section: { initial: section.initial, ...section.handlers } as SectionHandlers,
  mail: { initial: mail.initial, ...mail.handlers } as MailHandlers,
  booking: { initial: booking.initial, ...booking.handlers } as BookingHandlers,
};

type Defects = {
  readonly section?: Partial<SectionHandlers>;
  readonly mail?: Partial<MailHandlers>;
  readonly booking?: Partial<BookingHandlers>;
  readonly subscriptions?: readonly [typeof countSales];
};

const crowd = { people: 30, sections: 2, seats: 6, holdMs: 400, room: 30, run: "test", shows: 1 };

/** A show, sold out to a crowd while the checker looks on; with `impatient` only until it has found something. */
async function soldOut(options: SimulateOptions = {}, defects: Defects = {}, impatient = false) {
  const provider = practiceProvider(2, 600, (ms) => world.sleep(ms));
  const parts = {
    entities: [
      Section.implement({ ...sound.section, ...defects.section }),
      Booking.implement({ ...sound.booking, ...defects.booking }),
      Mail.implement({ ...sound.mail, ...defects.mail }),
      sales,
    ],
    services: [paymentWith(provider)],
    queues: [payments, confirmations],
    subscriptions: defects.subscriptions ?? [countSales],
  } as const;
  const world = await simulate(app(contract, parts), options);
  const { sleep } = world;
  const said: string[] = [];
  const checker = new Checker(world.client({ name: "checker" }), (text) => said.push(text));
  const ends: Record<string, number> = {};
  const note = (entry: Entry): void => {
    checker.take(entry);
    if ("ended" in entry) ends[entry.phase] = (ends[entry.phase] ?? 0) + 1;
  };
  await world.run(async () => {
    let over = false;
    const checking = (async () => {
      for (;;) {
        const all = await checker.round();
        if (over && (all || impatient)) return;
        await sleep(50);
      }
    })();
    const client = world.client({ name: "crowd" });
    const stopped = (): boolean => impatient && said.length > 0;
    await Promise.race([load(client, crowd, { note, sleep, stopped }), checking]);
    over = true;
    await world.heal();
    await checking;
  });
  return { world, checker, said, ends };
}

test("checker: passes a box office that kept its word", async () => {
  const { checker, said, ends } = await soldOut();
  assert.deepEqual(said, []);
  const { line, ok } = checker.summary();
  assert.equal(ok, true);
  assert.match(
    line,
    /^12 confirmed {2}0 sold twice · 0 miscounted · 0 out of order · 0 confirmed wrongly · holds at most \d+ ms late$/,
  );
  assert.ok(ends["expired"]! > 0 && ends["refused"]! > 0, "nobody walked away, or nobody came too late");
});

/** What a planted defect is to be found as, and nothing else. */
async function found(kind: string, defects: Defects, impatient = true): Promise<string> {
  const { checker, said } = await soldOut({}, defects, impatient);
  assert.ok(said.length > 0, "nothing was found");
  assert.deepEqual(
    said.filter((text) => !text.startsWith(kind)),
    [],
  );
  const { line, ok } = checker.summary();
  assert.equal(ok, false);
  return `${said.join("\n")}\n${line}`;
}

test("B1: a seat that is sold twice is found", async () => {
  const says = await found(
    "sold twice",
    {
      section: {
        buy(context) {
          void sound.section.buy(context);
          const { state, input } = context;
          if (input.seat === 0 && state.turns < 10) state.seats[0] = { is: "free" };
        },
      },
    },
    false,
  );
  assert.match(says, /seat 0 is sold to load-test-\d\.part-\d\.\d+ and to load-test/);
});

test("B2: a seat that is lost is found", async () => {
  const says = await found("miscounted", {
    section: {
      ask(context) {
        void sound.section.ask(context);
        if (context.state.tickets === 8) context.state.seats.pop();
      },
    },
  });
  assert.match(says, /\d sold, \d held, \d free, of 6 seats/);
});

test("B2: a booking that has two seats is found", async () => {
  const says = await found("miscounted", {
    section: {
      expire(context) {
        const { state, input } = context;
        const other = state.seats.find((seat) => seat.is === "held" && seat !== state.seats[input.seat]);
        void sound.section.expire(context);
        const next = state.seats[input.seat];
        if (next?.is === "held" && other?.is === "held") next.booking = other.booking;
      },
    },
  });
  assert.match(says, /has two seats/);
});

test("B3: a hold that outlives its deadline by more than a second is found, and one by less is not", async () => {
  const lateBy = (ms: number): Defects => ({
    section: {
      expire(context) {
        const { state, input, now, after } = context;
        const found = state.seats[input.seat];
        if (found?.is === "held" && now < found.until + ms) after(found.until + ms - now, "expire", input);
        else void sound.section.expire(context);
      },
    },
  });
  assert.match(await found("late", lateBy(1100), false), /had seat \d, 11\d\d ms too long/);
  const { checker, said } = await soldOut({}, lateBy(900));
  assert.deepEqual(said, []);
  assert.match(checker.summary().line, /holds at most 9\d\d ms late/);
});

test("B3: a hold that never ends is found while it lasts", async () => {
  const says = await found("late", {
    section: {
      expire(context) {
        if (context.input.seat !== 3) void sound.section.expire(context);
      },
    },
  });
  assert.match(says, /still has seat 3, 1\d\d\d ms too long/);
});

test("B4: somebody who pushes in is found", async () => {
  const says = await found("out of order", {
    section: {
      ask(context) {
        void sound.section.ask(context);
        const { line } = context.state;
        if (line.length > 1 && line.at(-1)?.booking === context.input.booking) line.unshift(line.pop()!);
      },
    },
  });
  assert.match(says, /who came as number \d+ was served as number \d+, past others/);
});

test("B5: a confirmation that goes out twice is found", async () => {
  const says = await found("confirmed wrongly", {
    mail: {
      post(context) {
        void sound.mail.post(context);
        if (context.key.endsWith("3")) context.state.posted++;
      },
    },
  });
  assert.match(says, /is confirmed and has 2 confirmations/);
});

test("B5: a confirmation that never goes out is found", async () => {
  const says = await found("confirmed wrongly", {
    booking: {
      sold(context) {
        if (context.key.endsWith("3")) context.state.phase = "confirmed";
        else void sound.booking.sold(context);
      },
    },
  });
  assert.match(says, /is confirmed and has 0 confirmations/);
});

test("B6: a sale that is not counted is found", async () => {
  const forgetful = subscription("count-sales", Section.topic("sold")).into(Sales, "count", ({ key, value }) =>
    value.seat === 0 ? undefined : { key: showOf(key) },
  );
  assert.match(
    await found("miscounted", { subscriptions: [forgetful] }, false),
    /12 seats are confirmed, and 10 counted as sold/,
  );
});

for (const seed of [1, 2]) {
  test(`box office: keeps its word while nodes die and stand still and the engine is slow, seed ${seed}`, async () => {
    const faults = ["crash", "pause", "slow-engine", "lost-ack"] as const;
    const { world, checker, said, ends } = await soldOut({ seed, nodes: 2, faults, faultEveryMs: 150 });
    await world.check();
    assert.deepEqual(said, []);
    assert.equal(checker.summary().ok, true);
    assert.equal(ends["confirmed"], crowd.shows * crowd.sections * crowd.seats);
    for (const fault of faults) assert.ok(world.tally.injected[fault] > 0, `no ${fault} struck`);
    assert.ok(ends["expired"]! > 0 && ends["refused"]! > 0, "nobody walked away, or nobody came too late");
  });
}
