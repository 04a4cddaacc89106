// What the ledger promises, each with the crashes that would break a lesser one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { app as define, type Client, type EntityHandlers, SheafError } from "sheaf";
import { simulate, testApp } from "sheaf/testing";
import { account } from "./account.ts";
import app from "./app.ts";
import { bank as counter } from "./bank.ts";
import { Account, Bank, ledger, Transfer } from "./contracts.ts";
import { transfer } from "./transfer.ts";

type Ledger = Client<typeof ledger>;
type Order = { id: string; from: string; to: string; cents: number };

/** What a test's clock is moved by, so that a transfer goes through all its steps. */
const soon = 1000;

const statements = (bank: Ledger, names: readonly string[]) =>
  Promise.all(names.map((name) => bank.entity(Account, name).statement({ consistency: "strong" })));
const sum = (numbers: readonly number[]): number => numbers.reduce((all, n) => all + n, 0);

test("transfer: moves the money once, however often it is asked for", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "a").deposit({ cents: 100 });
  await bank.entity(Account, "b").open({ cents: 0 });
  const ask = (): Promise<unknown> => bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  assert.deepEqual(await ask(), { id: "t1", phase: "begun" });
  await ask();
  await bank.advance(soon);
  assert.deepEqual(await ask(), { id: "t1", phase: "done" });
  await bank.advance(soon);
  assert.equal(await bank.entity(Account, "a").balance(), 70);
  assert.equal(await bank.entity(Account, "b").balance(), 30);
});

test("transfer: an id stands for one transfer only", async () => {
  await using bank = await testApp(app);
  await bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  await assert.rejects(bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 31 }), {
    error: "ANOTHER_TRANSFER",
    data: { from: "a", to: "b", cents: 30 },
  });
});

test("transfer: a sender who is short is refused, and stays refused when money comes later", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "b").open({ cents: 0 });
  const ask = (): Promise<unknown> => bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  await ask();
  await bank.advance(soon);
  await bank.entity(Account, "a").deposit({ cents: 100 });
  assert.deepEqual(await ask(), { id: "t1", phase: "refused" });
  await bank.advance(soon);
  assert.equal(await bank.entity(Account, "b").balance(), 0);
});

test("transfer: to oneself is refused before anything happens", async () => {
  await using bank = await testApp(app);
  await assert.rejects(bank.entity(Transfer, "t1").begin({ from: "a", to: "a", cents: 1 }), { code: "BAD_INPUT" });
  assert.equal((await bank.entity(Transfer, "t1").status()).phase, "new");
});

test("transfer: money for an account that was never opened, or is closed, comes back", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "a").deposit({ cents: 100 });
  await bank.entity(Account, "closed").open({ cents: 0 });
  await bank.entity(Account, "closed").close();
  for (const to of ["nobody", "closed"]) {
    await bank.service(Bank).transfer({ id: to, from: "a", to, cents: 30 });
    await bank.advance(soon);
    assert.equal((await bank.entity(Transfer, to).status()).phase, "returned");
    assert.equal(await bank.entity(Account, to).balance(), 0);
  }
  const { cents, sent } = await bank.entity(Account, "a").statement();
  assert.deepEqual({ cents, sent }, { cents: 100, sent: { transfers: 0, cents: 0 } });
});

test("account: one with money in it is not closed, and one that is closed takes back its own", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "a").deposit({ cents: 30 });
  await assert.rejects(bank.entity(Account, "a").close(), { error: "NOT_EMPTY", data: { cents: 30 } });
  await bank.entity(Account, "a").withdraw({ cents: 30 });
  await bank.entity(Account, "a").close();
  await bank.entity(Account, "a").takeBack({ transfer: "t1", cents: 30 });
  const { open, cents } = await bank.entity(Account, "a").statement();
  assert.deepEqual({ open, cents }, { open: true, cents: 30 });
});

test("transfer: a crash right after it was begun loses nothing, and nobody has to ask again", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "a").deposit({ cents: 100 });
  await bank.entity(Account, "b").open({ cents: 0 });
  await bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  bank.crash();
  const commands = (await bank.journal()).map(({ command }) => command);
  assert.ok(commands.includes("begin") && !commands.includes("credit"), "the crash came too late to show anything");
  await bank.restart();
  await bank.advance(soon);
  assert.equal((await bank.entity(Transfer, "t1").status()).phase, "done");
  assert.deepEqual(
    (await statements(bank, ["a", "b"])).map(({ cents }) => cents),
    [70, 30],
  );
});

test("transfer: one transfer that cannot arrive is late and in flight, and arrives once it can", async () => {
  let broken = true;
  const sound = { initial: account.initial, ...account.handlers } as EntityHandlers<typeof Account>;
  const defective = Account.implement({
    ...sound,
    credit(context) {
      if (broken) throw new Error("this step has a defect");
      void sound.credit(context);
    },
  });
  await using bank = await testApp(define(ledger, { entities: [defective, transfer], services: [counter] }));
  const seen = async (): Promise<unknown> => {
    const { phase, late } = await bank.entity(Transfer, "t1").status();
    const [a, b] = await Promise.all(["a", "b"].map((name) => bank.entity(Account, name).statement()));
    return { phase, late, balances: [a!.cents, b!.cents], inFlight: a!.sent.cents - b!.got.cents };
  };
  await bank.entity(Account, "a").deposit({ cents: 100 });
  await bank.entity(Account, "b").open({ cents: 0 });
  await bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  await bank.advance(9_000);
  assert.deepEqual(await seen(), { phase: "paid", late: false, balances: [70, 0], inFlight: 30 });
  await bank.advance(2_000);
  assert.deepEqual(await seen(), { phase: "paid", late: true, balances: [70, 0], inFlight: 30 });
  broken = false;
  await bank.advance(60_000);
  assert.deepEqual(await seen(), { phase: "done", late: true, balances: [70, 30], inFlight: 0 });
});

const names = ["a", "b", "c", "d"];
for (const seed of [1, 2, 3, 4, 5]) {
  test(`ledger: all money is there at every instant, through crashes, lost answers and changes of owner, seed ${seed}`, async () => {
    const world = await simulate(app, { seed, nodes: 2, faults: ["crash", "lost-ack", "contend"], faultEveryMs: 8 });
    let over = false;
    let seen = 0;
    const asked: Order[] = [];
    const ended = new Map<Order, string>();
    /** Accounts are read at different moments, while money moves. See what the checker rests on. */
    const watch = async (): Promise<void> => {
      const bank = world.client();
      while (!over) {
        const before = new Set(ended.keys());
        const first = await insist(() => statements(bank, names), world.sleep);
        const second = await insist(() => statements(bank, names), world.sleep);
        for (const { cents, sent, got } of second) assert.equal(cents, 1000 - sent.cents + got.cents);
        const inFlight = sum(second.map(({ sent }) => sent.cents)) - sum(first.map(({ got }) => got.cents));
        const underWay = sum(asked.filter((order) => !before.has(order)).map(({ cents }) => cents));
        assert.ok(inFlight >= 0 && inFlight <= underWay, `${inFlight} in flight, of ${underWay} under way`);
        if (inFlight > 0) seen++;
        await world.sleep(3);
      }
    };
    const moved = new Map(names.map((name) => [name, 1000]));
    const work = async (w: number): Promise<void> => {
      const bank = world.client();
      for (let i = 0; i < 24; i++) {
        const order: Order = {
          id: `t-${w}-${i}`,
          from: names[(w + i) % 4]!,
          to: i % 8 === 5 ? "nobody" : names[(w + i + 1 + (i % 3)) % 4]!,
          cents: i % 8 === 6 ? 5000 : 10 + w + (i % 8),
        };
        asked.push(order);
        const end = await follow(bank, order, world.sleep);
        ended.set(order, end);
        if (end !== "done") continue;
        moved.set(order.from, moved.get(order.from)! - order.cents);
        moved.set(order.to, moved.get(order.to)! + order.cents);
      }
    };
    await world.run(async () => {
      const bank = world.client();
      for (const name of names) await insist(() => bank.entity(Account, name).open({ cents: 1000 }), world.sleep);
      const watching = watch();
      await Promise.race([watching, Promise.all([0, 1, 2].map(work))]);
      over = true;
      await watching;
      await world.heal();
      const shown = await statements(bank, names);
      assert.deepEqual(
        shown.map(({ cents }) => cents),
        names.map((name) => moved.get(name)),
      );
      assert.equal(sum(shown.map(({ sent, got }) => sent.cents - got.cents)), 0, "nothing is in flight");
    });
    await world.check();
    const counted = ["done", "refused", "returned"].map(
      (end) => [...ended.values()].filter((each) => each === end).length,
    );
    assert.deepEqual(counted, [54, 9, 9]);
    assert.ok(world.tally.injected.crash > 0, "no crash struck: this test saw nothing");
    assert.ok(seen > 0, "money was never seen in flight: this test saw nothing");
  });
}

/** Asks for a transfer until that is certain, and follows it to its end. */
async function follow(bank: Ledger, order: Order, sleep: (ms: number) => Promise<void>): Promise<string> {
  await insist(() => bank.service(Bank).transfer(order), sleep);
  for (;;) {
    const { phase, late } = await insist(() => bank.entity(Transfer, order.id).status(), sleep);
    assert.equal(late, false, `${order.id} stays ${phase}`);
    if (phase === "done" || phase === "refused" || phase === "returned") return phase;
    await sleep(2);
  }
}

/** Asks until the answer is certain. */
async function insist<T>(attempt: () => Promise<T>, sleep: (ms: number) => Promise<void>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof SheafError) || error.retry === "never") throw error;
      await sleep(5);
    }
  }
}
