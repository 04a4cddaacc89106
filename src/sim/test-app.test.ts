// Guarantees of testApp, as a user's test would use it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity, service } from "../model/index.ts";
import { testApp } from "./test-app.ts";

const Account = entity("account", {
  state: z.object({ cents: z.number().int(), since: z.number() }),
  commands: {
    deposit: { input: z.object({ cents: z.number().int().positive() }), output: z.object({ cents: z.number().int() }) },
    withdraw: {
      input: z.object({ cents: z.number().int() }),
      errors: { INSUFFICIENT: z.object({ short: z.number() }) },
    },
    stall: {},
    fetchSlowly: { output: z.number() },
  },
  queries: { balance: { output: z.number(), consistency: "strong" } },
  events: { deposited: z.object({ cents: z.number() }) },
});
const Clock = service("clock", { procedures: { now: { output: z.number() } } });

const account = Account.implement({
  initial: () => ({ cents: 0, since: 0 }),
  deposit({ state, input, now, emit }) {
    state.cents += input.cents;
    state.since = now;
    emit("deposited", input);
    return { cents: state.cents };
  },
  withdraw({ state, input, fail }) {
    if (state.cents < input.cents) return fail("INSUFFICIENT", { short: input.cents - state.cents });
    state.cents -= input.cents;
  },
  stall: () => new Promise<undefined>(() => undefined),
  fetchSlowly: async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return 7;
  },
  balance: ({ state }) => state.cents,
});
const bank = app("bank", { entities: [account], services: [Clock.implement({ now: ({ now }) => now })] });

test("testApp: commands, queries and procedures answer, typed", async () => {
  await using bench = await testApp(bank);
  assert.deepEqual(await bench.entity(Account, "a").deposit({ cents: 5 }), { cents: 5 });
  assert.equal(await bench.entity(Account, "a").balance(), 5);
  assert.equal(await bench.service(Clock).now(), bench.now());
  await assert.rejects(bench.entity(Account, "a").withdraw({ cents: 9 }), {
    code: "DECLARED",
    error: "INSUFFICIENT",
    data: { short: 4 },
  });
});

test("testApp: calls made at once all answer", async () => {
  await using bench = await testApp(bank);
  await Promise.all(Array.from({ length: 50 }, (_, i) => bench.entity(Account, `k${i % 3}`).deposit({ cents: 1 })));
  const totals = await Promise.all(["k0", "k1", "k2"].map((key) => bench.entity(Account, key).balance()));
  assert.deepEqual(totals, [17, 17, 16]);
});

test("testApp: what was acknowledged survives a crash and a restart, and calls in between are refused", async () => {
  await using bench = await testApp(bank);
  await bench.entity(Account, "a").deposit({ cents: 5 });
  bench.crash();
  await assert.rejects(bench.entity(Account, "a").balance(), { code: "UNREACHABLE", outcome: "not-applied" });
  await bench.restart();
  assert.equal(await bench.entity(Account, "a").balance(), 5);
  await bench.restart();
  assert.equal(await bench.entity(Account, "a").balance(), 5);
});

test("testApp: time stands still until it is advanced", async () => {
  await using bench = await testApp(bank);
  const before = bench.now();
  await bench.entity(Account, "a").deposit({ cents: 1 });
  assert.equal(bench.now(), before);
  await bench.advance(60_000);
  assert.equal(bench.now(), before + 60_000);
  assert.equal(await bench.service(Clock).now(), before + 60_000);
});

test("testApp: a call whose handler never returns ends at its deadline, when time gets there", async () => {
  await using bench = await testApp(bank);
  const stalled = bench.entity(Account, "a").stall({ deadlineMs: 800 });
  const ended = assert.rejects(stalled, { code: "DEADLINE" });
  await bench.advance(2_000);
  await ended;
  assert.deepEqual(await bench.entity(Account, "a").deposit({ cents: 1 }), { cents: 1 });
});

test("testApp: handlers may wait for real things; with `strict` they are told what to use instead", async () => {
  await using bench = await testApp(bank);
  assert.equal(await bench.entity(Account, "a").fetchSlowly(), 7);
  await using strict = await testApp(bank, { strict: true });
  await assert.rejects(strict.entity(Account, "a").fetchSlowly(), { code: "HANDLER_FAILED" });
});

test("testApp: the journal shows each commit with its state and events", async () => {
  await using bench = await testApp(bank, { shards: 1 });
  await bench.entity(Account, "a").deposit({ cents: 5 });
  await bench.entity(Account, "a").deposit({ cents: 6 });
  const journal = await bench.journal();
  assert.deepEqual(
    journal.map(({ entity, key, version, command, state, events }) => ({
      entity,
      key,
      version,
      command,
      state,
      events,
    })),
    [5, 6].map((cents, index) => ({
      entity: "account",
      key: "a",
      version: index + 1,
      command: "deposit",
      state: { cents: index === 0 ? 5 : 11, since: bench.now() },
      events: [{ name: "deposited", value: { cents } }],
    })),
  );
});
