// What the checker promises: it passes a ledger that kept its word, and no other.

import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type TestApp, testApp } from "sheaf/testing";
import app from "./app.ts";
import { accountName, booksPath, orderOf, type Plan, Reader, stepOf } from "./books.ts";
import { checkAll, Checker, compare } from "./checker.ts";
import { Account, Bank } from "./contracts.ts";
import { load } from "./load.ts";

type Bench = { readonly bank: TestApp<typeof app>; readonly path: string; readonly plan: Plan };

const never = new AbortController().signal;
const plan = { run: "test", branches: 3, accounts: 4, cents: 10_000, perVisit: 5 };

/** A ledger after sixty transfers, and the books of them. */
async function loaded(t: TestContext): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), "ledger-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const bank = await testApp(app);
  const path = booksPath(dir);
  await load(bank, { times: [], retries: 0 }, { path, workers: 3, rate: 0, signal: never, most: 60, plan });
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

test("checker: a transfer made twice is duplicated", async (t) => {
  const bench = await loaded(t);
  const { from, to, cents } = orderOf(bench.plan, 0);
  for (const [step, account] of [
    ["hold", from],
    ["receive", to],
  ] as const) {
    if (step === "hold") await bench.bank.entity(Account, account).hold({ transfer: "again", to, cents });
    else await bench.bank.entity(Account, account).receive({ transfer: "again", cents });
  }
  await bench.bank.entity(Account, from).settle({ transfer: "again" });
  await bench.bank.entity(Account, to).forget({ transfer: "again" });
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
  const { line, ok } = await verdict(bench);
  assert.equal(ok, false);
  assert.match(line, /0 lost · 1 duplicated/);
});

test("checker: a tally of transfers, a hold or an arrival that is off is found, though the cents are right", () => {
  const expected = { cents: 500, sent: 2, got: 1 };
  const shown = { ...expected, holds: [], arrived: [] };
  assert.equal(compare("a", expected, shown), undefined);
  const odd = [
    [{ sent: 1 }, 1, 0],
    [{ sent: 3 }, 0, 1],
    [{ got: 0 }, 1, 0],
    [{ got: 2 }, 0, 1],
    [{ sent: 3, got: 0 }, 1, 1],
    [{ holds: [{}] }, 0, 0],
    [{ arrived: [{}] }, 0, 0],
    [{ cents: 499 }, 0, 0],
  ] as const;
  for (const [change, lost, duplicated] of odd) {
    const found = compare("a", expected, { ...shown, ...change });
    assert.deepEqual([found?.lost, found?.duplicated], [lost, duplicated], JSON.stringify(change));
  }
});

test("checker: a branch with a transfer under way is not judged", async (t) => {
  const bench = await loaded(t);
  const reader = new Reader(bench.path);
  reader.read();
  appendFileSync(bench.path, `R ${reader.visits}\n`);
  const checker = new Checker(bench.bank, bench.path);
  assert.equal(checker.branches, 3);
  assert.deepEqual(await checker.check(reader.visits % plan.branches), { kind: "busy" });
  reader.close();
  checker.close();
});

test("books: half a line at the end, left by a crash, is cut off before anything is added", async (t) => {
  const bench = await loaded(t);
  const before = readFileSync(bench.path, "utf8");
  appendFileSync(bench.path, "A 12");
  await load(bench.bank, { times: [], retries: 0 }, { path: bench.path, workers: 1, rate: 0, signal: never, most: 0 });
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
