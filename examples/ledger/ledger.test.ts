// What the ledger promises, each with the crashes that would break a lesser one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Client, SheafError } from "sheaf";
import { simulate, testApp } from "sheaf/testing";
import app from "./app.ts";
import { Account, Bank, type ledger, Transfer } from "./contracts.ts";

type Ledger = Client<typeof ledger>;

/** All money there is: in balances, and set aside for transfers that have not arrived yet. */
async function total(bank: Ledger, names: readonly string[]): Promise<number> {
  const accounts = new Map<string, Awaited<ReturnType<ReturnType<typeof statementOf>>>>();
  for (const name of names) accounts.set(name, await statementOf(bank, name)());
  let sum = 0;
  for (const { cents, holds } of accounts.values()) {
    sum += cents;
    for (const hold of holds) {
      const arrived = accounts.get(hold.to)?.arrived.some(({ transfer }) => transfer === hold.transfer);
      if (arrived !== true) sum += hold.cents;
    }
  }
  return sum;
}

const statementOf = (bank: Ledger, name: string) => () =>
  bank.entity(Account, name).statement({ consistency: "strong" });

test("transfer: moves the money once, however often it is asked for", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "a").deposit({ cents: 100 });
  for (let i = 0; i < 3; i++) await bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  assert.equal(await bank.entity(Account, "a").balance(), 70);
  assert.equal(await bank.entity(Account, "b").balance(), 30);
  assert.deepEqual((await bank.entity(Account, "a").statement()).holds, []);
  assert.deepEqual((await bank.entity(Account, "b").statement()).arrived, []);
});

test("transfer: an id stands for one transfer only", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "a").deposit({ cents: 100 });
  await bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  await assert.rejects(bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 31 }), {
    error: "ANOTHER_TRANSFER",
  });
  assert.equal(await bank.entity(Account, "b").balance(), 30);
});

test("transfer: a sender who is short is refused, and stays refused when money comes later", async () => {
  await using bank = await testApp(app);
  const ask = (): Promise<unknown> => bank.service(Bank).transfer({ id: "t1", from: "a", to: "b", cents: 30 });
  await assert.rejects(ask(), { error: "INSUFFICIENT", data: { short: 30 } });
  await bank.entity(Account, "a").deposit({ cents: 100 });
  await assert.rejects(ask(), { error: "INSUFFICIENT" });
  assert.equal(await bank.entity(Account, "b").balance(), 0);
});

test("transfer: to oneself is refused before anything happens", async () => {
  await using bank = await testApp(app);
  await assert.rejects(bank.entity(Transfer, "t1").begin({ from: "a", to: "a", cents: 1 }), { code: "BAD_INPUT" });
  assert.equal((await bank.entity(Transfer, "t1").show()).phase, "new");
});

test("transfer: resume finishes what a crash left between two steps", async () => {
  await using bank = await testApp(app);
  await bank.entity(Account, "a").deposit({ cents: 100 });
  await bank.entity(Transfer, "t1").begin({ from: "a", to: "b", cents: 30 });
  await bank.entity(Account, "a").hold({ transfer: "t1", to: "b", cents: 30 });
  bank.crash();
  await bank.restart();
  assert.equal(await total(bank, ["a", "b"]), 100, "money in flight is still money");
  assert.deepEqual(await bank.service(Bank).resume({ id: "t1" }), { id: "t1", phase: "done" });
  assert.equal(await bank.entity(Account, "a").balance(), 70);
  assert.equal(await bank.entity(Account, "b").balance(), 30);
});

for (const seed of [1, 2, 3, 4, 5]) {
  test(`ledger: conserves money and applies each transfer once through crashes and lost answers, seed ${seed}`, async () => {
    const world = await simulate(app, { seed, faults: ["crash", "lost-ack"] });
    const names = ["a", "b", "c", "d"];
    const moved = new Map(names.map((name) => [name, 1000]));
    await world.run(async () => {
      const bank = world.client();
      for (const name of names) await insist(() => bank.entity(Account, name).open({ cents: 1000 }), world.sleep);
      const worker = async (w: number): Promise<void> => {
        for (let i = 0; i < 8; i++) {
          const order = {
            id: `t-${w}-${i}`,
            from: names[(w + i) % 4]!,
            to: names[(w + i + 1 + (i % 3)) % 4]!,
            cents: 10 + w + i,
          };
          await insist(() => bank.service(Bank).transfer(order), world.sleep);
          moved.set(order.from, moved.get(order.from)! - order.cents);
          moved.set(order.to, moved.get(order.to)! + order.cents);
        }
      };
      await Promise.all([0, 1, 2].map(worker));
      await world.heal();
      assert.equal(await total(bank, names), 4000);
      for (const name of names)
        assert.equal(await bank.entity(Account, name).balance({ consistency: "strong" }), moved.get(name), name);
    });
    await world.check();
    assert.ok(world.tally.injected.crash > 0, "no crash struck: this test saw nothing");
  });
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
