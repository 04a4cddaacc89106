// What the checker promises: it passes a ledger that kept its word, and no other.

import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { app, type EntityHandlers } from "sheaf";
import { type TestApp, testApp } from "sheaf/testing";
import { account } from "./account.ts";
import type bankApp from "./app.ts";
import { bank as counter } from "./bank.ts";
import { accountName, booksPath, orderOf, type Plan, Reader, stepOf } from "./books.ts";
import { checkAll, Checker, compare } from "./checker.ts";
import { Account, Bank, ledger, Transfer } from "./contracts.ts";
import { freshTally, load } from "./load.ts";
import { transfer } from "./transfer.ts";

type Bench = { readonly bank: TestApp<typeof bankApp>; readonly path: string; readonly plan: Plan };

type Handlers = EntityHandlers<typeof Account>;

const sound = { initial: account.initial, ...account.handlers } as Handlers;
const never = new AbortController().signal;
const plan = { run: "test", branches: 3, accounts: 4, cents: 10_000, perVisit: 5 };

/** The test's clock moves while the load waits for its transfers. */
async function whileMoving({ advance }: { advance(ms: number): Promise<void> }, loading: Promise<void>): Promise<void> {
  let over = false;
  const ended = loading.finally(() => (over = true));
  while (!over) {
    await advance(1);
    await turn();
  }
  await ended;
}

/** A ledger after sixty transfers, and the books of them. Its accounts may have a defect. */
async function loaded(t: TestContext, defect: Partial<Handlers> = {}): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), "ledger-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const defective = Account.implement({ ...sound, ...defect });
  const bank = await testApp(app(ledger, { entities: [defective, transfer], services: [counter] }));
  const path = booksPath(dir);
  await whileMoving(bank, load(bank, freshTally(), { path, workers: 3, rate: 0, signal: never, most: 60, plan }));
  return { bank, path, plan };
}

async function verdict({ bank, path }: Bench): Promise<{ line: string; ok: boolean; said: string[] }> {
  const checker = new Checker(bank, path);
  const said: string[] = [];
  assert.equal(await checkAll(checker, never, (text) => said.push(text)), 0);
  checker.close();
  return { ...checker.summary(), said };
}

test("checker: passes a ledger that kept its word", async (t) => {
  const { line, ok } = await verdict(await loaded(t));
  assert.equal(line, "total money = 1,200.00  0 lost · 0 duplicated");
  assert.equal(ok, true);
});

test("checker: one cent too much is found", async (t) => {
  const bench = await loaded(t);
  await bench.bank.entity(Account, accountName(bench.plan, 1, 2)).deposit({ cents: 1 });
  const { line, ok, said } = await verdict(bench);
  assert.equal(ok, false);
  assert.match(line, /total money = 1,200\.01 .* 1 accounts do not match/);
  assert.match(said.join("\n"), /load-test-1-2 shows/);
});

test("checker: an acknowledged transfer that is not there is lost", async (t) => {
  const bench = await loaded(t);
  const reader = new Reader(bench.path);
  reader.read();
  const visit = reader.visits;
  reader.close();
  const numbers = Array.from({ length: plan.perVisit }, (_, i) => visit * plan.perVisit + i);
  appendFileSync(
    bench.path,
    `R ${visit}\nA ${numbers[0]}\n${numbers
      .slice(1)
      .map((n) => `S ${n}\n`)
      .join("")}`,
  );
  const { line, ok } = await verdict(bench);
  assert.equal(ok, false);
  assert.match(line, /1 lost · 0 duplicated/);
});

test("checker: a transfer that nobody asked for is duplicated", async (t) => {
  const bench = await loaded(t);
  const { from, to, cents } = orderOf(bench.plan, 0);
  await bench.bank.service(Bank).transfer({ id: "again", from, to, cents });
  await bench.bank.advance(1000);
  const { line, ok } = await verdict(bench);
  assert.equal(ok, false);
  assert.match(line, /total money = 1,200\.00  0 lost · 1 duplicated/);
});

test("checker: a refused transfer that was made all the same is duplicated", async (t) => {
  const bench = await loaded(t);
  const reader = new Reader(bench.path);
  reader.read();
  const first = reader.visits * plan.perVisit;
  reader.close();
  const refused = Array.from({ length: plan.perVisit }, (_, i) => `X ${first + i}\n`).join("");
  appendFileSync(bench.path, `R ${first / plan.perVisit}\n${refused}`);
  assert.equal((await verdict(bench)).ok, true, "refused and not made: as it must be");
  await bench.bank.service(Bank).transfer(orderOf(bench.plan, first));
  await bench.bank.advance(1000);
  const { line, ok } = await verdict(bench);
  assert.equal(ok, false);
  assert.match(line, /0 lost · 1 duplicated/);
});

/** The transfer of the load that a planted defect strikes. */
const struck = "load-test-7";
const checked = async (t: TestContext, defect: Partial<Handlers>): Promise<string> => {
  const { line, ok } = await verdict(await loaded(t, defect));
  assert.equal(ok, false, line);
  return line;
};

test("defect: a credit that is lost is found", async (t) => {
  const line = await checked(t, {
    credit(context) {
      if (context.input.transfer === struck) context.send.entity(Transfer, struck).credited();
      else void sound.credit(context);
    },
  });
  assert.match(line, /\(.* in flight\)  1 lost · 0 duplicated  1 accounts/);
});

test("defect: a credit made twice is found", async (t) => {
  const line = await checked(t, {
    credit(context) {
      void sound.credit(context);
      if (context.input.transfer === struck) void sound.credit(context);
    },
  });
  assert.match(line, /0 lost · 1 duplicated/);
});

test("defect: a debit made twice is found", async (t) => {
  const line = await checked(t, {
    pay(context) {
      void sound.pay(context);
      const { state, input } = context;
      if (input.transfer !== struck) return;
      state.cents -= input.cents;
      state.sent.cents += input.cents;
      state.sent.transfers++;
    },
  });
  assert.match(line, /0 lost · 1 duplicated/);
});

test("defect: a debit that is sent and not made is found", async (t) => {
  const line = await checked(t, {
    pay(context) {
      if (context.input.transfer === struck) context.send.entity(Transfer, struck).paid();
      else void sound.pay(context);
    },
  });
  assert.match(line, /1 lost · 0 duplicated/);
});

test("defect: money that changes by another amount than was counted is found", async (t) => {
  const line = await checked(t, {
    pay(context) {
      void sound.pay(context);
      if (context.input.transfer === struck) context.state.cents -= 1;
    },
  });
  assert.match(line, /total money = 1,199\.99  0 lost · 0 duplicated  1 accounts do not match/);
});

test("checker: C1, C2: an account is held to what has ended, and to what is under way", () => {
  const least = { sent: { transfers: 2, cents: 300 }, got: { transfers: 1, cents: 50 } };
  const most = { sent: { transfers: 3, cents: 400 }, got: { transfers: 1, cents: 50 } };
  const shown = (sent: [number, number], got: [number, number], cents = 1000 - sent[1] + got[1]) => ({
    sent: { transfers: sent[0], cents: sent[1] },
    got: { transfers: got[0], cents: got[1] },
    cents,
  });
  for (const good of [shown([2, 300], [1, 50]), shown([3, 400], [1, 50])])
    assert.equal(compare("a", 1000, least, most, good), undefined);
  const odd = [
    [shown([1, 300], [1, 50]), 1, 0],
    [shown([4, 400], [1, 50]), 0, 1],
    [shown([2, 300], [0, 50]), 1, 0],
    [shown([2, 300], [2, 50]), 0, 1],
    [shown([4, 400], [0, 50]), 1, 1],
    [shown([2, 299], [1, 50]), 0, 0],
    [shown([3, 401], [1, 50]), 0, 0],
    [shown([2, 300], [1, 49]), 0, 0],
    [shown([2, 300], [1, 51]), 0, 0],
    [shown([2, 300], [1, 50], 751), 0, 0],
  ] as const;
  for (const [each, lost, duplicated] of odd) {
    const found = compare("a", 1000, least, most, each);
    assert.deepEqual([found?.lost, found?.duplicated], [lost, duplicated], JSON.stringify(each));
  }
});

/** Books in which a visit to branch 0 may be under way. */
async function busy(t: TestContext, defect: Partial<Handlers> = {}): Promise<Bench> {
  const bench = await loaded(t, defect);
  const reader = new Reader(bench.path);
  reader.read();
  assert.equal(reader.visits % plan.branches, 0);
  reader.close();
  appendFileSync(bench.path, `R ${reader.visits}\n`);
  return bench;
}

const look = async ({ bank, path }: Bench) => {
  const checker = new Checker(bank, path);
  assert.equal(checker.branches, 3);
  const verdict = await checker.check(0);
  checker.close();
  return verdict;
};

test("checker: C3: money that never arrives stays in flight and its branch is never quiet", async (t) => {
  const n = 12 * plan.perVisit;
  const { id, cents } = orderOf(plan, n);
  const bench = await busy(t, { credit: (context) => void (context.input.transfer === id || sound.credit(context)) });
  const before = await look(bench);
  assert.deepEqual(before, { quiet: false, inFlight: 0, cents: 40_000, findings: [] });
  await bench.bank.service(Bank).transfer(orderOf(plan, n));
  await bench.bank.advance(11_000);
  assert.equal((await bench.bank.entity(Transfer, id).status()).late, true);
  assert.deepEqual(await look(bench), { ...before, inFlight: cents });
  const checker = new Checker(bench.bank, bench.path);
  assert.equal(await checkAll(checker, AbortSignal.timeout(200), () => {}), 1);
  checker.close();
});

test("checker: C3: money that arrives and never left is found while transfers are under way", async (t) => {
  const bench = await busy(t);
  const { to, cents } = orderOf(plan, 12 * plan.perVisit);
  await bench.bank.entity(Account, to).credit({ transfer: "made-up", cents });
  const { quiet, findings } = await look(bench);
  assert.equal(quiet, false);
  assert.match(findings.map(({ says }) => says).join("\n"), /branch 0 has got .* that nobody sent/);
});

test("checker: C2: what was acknowledged is missed while other transfers are under way", async (t) => {
  const bench = await busy(t);
  appendFileSync(bench.path, `A ${12 * plan.perVisit}\n`);
  const { quiet, findings } = await look(bench);
  assert.equal(quiet, false);
  assert.equal(
    findings.reduce((sum, { lost }) => sum + lost, 0),
    2,
    "at both ends",
  );
});

test("books: half a line at the end, left by a crash, is cut off before anything is added", async (t) => {
  const bench = await loaded(t);
  const before = readFileSync(bench.path, "utf8");
  appendFileSync(bench.path, "A 12");
  await load(bench.bank, freshTally(), { path: bench.path, workers: 1, rate: 0, signal: never, most: 0 });
  assert.equal(readFileSync(bench.path, "utf8"), `${before}opened\n`);
});

test("plan: every transfer is between two accounts of one branch, for at least a cent", () => {
  for (let n = 0; n < 10_000; n++) {
    const { branch, from, to, cents } = stepOf(plan, n);
    assert.ok(
      branch >= 0 &&
        branch < plan.branches &&
        from !== to &&
        from < plan.accounts &&
        to < plan.accounts &&
        cents > 0 &&
        cents <= 5000,
    );
  }
});
