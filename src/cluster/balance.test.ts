// Where calls of a service go: away from who is slow, fails, is full or far, and never to nobody.

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { SheafError } from "../base/index.ts";
import { type Behaviour, dice, play } from "./balance.fixture.ts";
import { Balance, type Endpoint, type Verdict, verdictOf } from "./balance.ts";
import { closed, ended, firstPauseMs, longestPauseMs, permits, probed } from "./balance-breaker.ts";
import { RetryBudget } from "./balance-budget.ts";
import { Load } from "./balance-load.ts";

const takes =
  (ms: number): Behaviour =>
  () => ({ ms });
const fails: Behaviour = () => ({ ms: 1, how: { kind: "failed" } });
const at = (id: string, does: Behaviour, zone = ""): Endpoint & { does: Behaviour } => ({ id, zone, does });
const balanceFor = (self = "elsewhere", zone = ""): Balance => new Balance({ random: dice(), self, zone });
const nobody: ReadonlySet<string> = new Set();

test("balance: endpoints that do equally well get equal shares (L1)", () => {
  const endpoints = ["a", "b", "c", "d"].map((id) => at(id, takes(20)));
  const { sent } = play({ balance: balanceFor(), endpoints, calls: 4000, everyMs: 5 });
  for (const [id, count] of Object.entries(sent)) assert.ok(count > 700 && count < 1300, `${id} got ${count}`);
});

test("balance: a slow endpoint gets a small share, though nothing fails (L1)", () => {
  const endpoints = [at("a", takes(10)), at("b", takes(10)), at("slow", takes(500))];
  const { sent, most } = play({ balance: balanceFor(), endpoints, calls: 3000, everyMs: 5 });
  assert.ok((sent["slow"] ?? 0) < 60, `the slow one got ${sent["slow"]}`);
  assert.ok((most["slow"] ?? 0) <= 3, `it had ${most["slow"]} at once`);
});

test("balance: whoever was slow gets its share again once it is quick", () => {
  const balance = balanceFor();
  const endpoints = ["a", "b"].map((id) => at(id, takes(10)));
  const was = (now: number) => ({ ms: now < 10_000 ? 400 : 10 });
  const both = [...endpoints, at("c", was)];
  play({ balance, endpoints: both, calls: 2000, everyMs: 5 });
  play({ balance, endpoints: both, calls: 12_000, everyMs: 5, from: 10_000 });
  const { sent } = play({ balance, endpoints: both, calls: 3000, everyMs: 5, from: 70_000 });
  assert.ok((sent["c"] ?? 0) > 500, `it got ${sent["c"]}`);
});

test("balance: whoever lets callers wait until they give up gets few calls, as a slow one does (L1)", () => {
  const hangs: Behaviour = () => ({ ms: 500, how: { kind: "late" } });
  const endpoints = [at("a", takes(10)), at("b", takes(10)), at("hung", hangs)];
  const { sent } = play({ balance: balanceFor(), endpoints, calls: 3000, everyMs: 50 });
  assert.ok((sent["hung"] ?? 0) < 60, `it got ${sent["hung"]}`);
});

test("balance: a probe is sent as soon as it is due, however badly off the endpoint seems (K2)", () => {
  const balance = balanceFor("me");
  const endpoints = [at("me", fails), at("a", takes(5)), at("b", takes(5))];
  for (let i = 0; i < 5; i++) balance.begin("s", "a", 0)({ kind: "failed" }, 4_000);
  for (const id of ["me", "b"]) balance.begin("s", id, 0)({ kind: "well" }, 5);
  assert.notEqual(balance.pick("s", endpoints, nobody, 4_000 + firstPauseMs - 1), "a");
  assert.equal(balance.pick("s", endpoints, nobody, 4_000 + firstPauseMs), "a");
});

test("balance: an endpoint that fails gets only probes, however fast it fails (L3)", () => {
  const endpoints = [at("a", takes(20)), at("b", takes(20)), at("bad", fails)];
  const { sent } = play({ balance: balanceFor(), endpoints, calls: 4000, everyMs: 5 });
  assert.ok((sent["bad"] ?? 0) < 15, `it got ${sent["bad"]} of 4000`);
});

test("balance: an endpoint that fails no more is back within its pause (K2, K3)", () => {
  const balance = balanceFor();
  const mended: Behaviour = (now) => (now < 3_000 ? fails(now) : { ms: 20 });
  const endpoints = [at("a", takes(20)), at("b", takes(20)), at("c", mended)];
  play({ balance, endpoints, calls: 1400, everyMs: 5 });
  assert.deepEqual(balance.broken("s"), []);
  const { sent } = play({ balance, endpoints, calls: 1000, everyMs: 5, from: 7_000 });
  assert.ok((sent["c"] ?? 0) > 200, `it got ${sent["c"]}`);
});

test("balance: errors that say nothing of the endpoint open no breaker", () => {
  const declared: Behaviour = () => ({ ms: 5, how: verdictOf(new SheafError("DECLARED")) });
  const endpoints = [at("a", declared), at("b", takes(5))];
  const balance = balanceFor();
  const { sent } = play({ balance, endpoints, calls: 500, everyMs: 5 });
  assert.deepEqual(balance.broken("s"), []);
  assert.ok((sent["a"] ?? 0) > 150);
});

test("balance: when all fail, all go on being called (L4)", () => {
  const endpoints = ["a", "b", "c"].map((id) => at(id, fails));
  const { sent } = play({ balance: balanceFor(), endpoints, calls: 900, everyMs: 5 });
  for (const [id, count] of Object.entries(sent)) assert.ok(count > 150, `${id} got ${count}`);
});

test("balance: an only endpoint is called whatever it did (L4)", () => {
  const { sent } = play({ balance: balanceFor(), endpoints: [at("a", fails)], calls: 100, everyMs: 5 });
  assert.equal(sent["a"], 100);
});

test("balance: one that is full rests as long as it asked for, unless nobody else is left (L3)", () => {
  const balance = balanceFor();
  const endpoints = [at("a", takes(1)), at("b", takes(1))];
  // Though it would be the better one.
  balance.begin("s", "b", 0)({ kind: "well" }, 500);
  balance.begin("s", "a", 0)({ kind: "full", restMs: 100 }, 1);
  for (let now = 2; now < 101; now++) assert.equal(balance.pick("s", endpoints, nobody, now), "b");
  assert.equal(balance.pick("s", endpoints, new Set(["b"]), 50), "a");
  assert.equal(balance.pick("s", endpoints, new Set(["a", "b"]), 50), undefined);
});

test("balance: the node here comes first, then its zone, as long as they are no worse off (L2)", () => {
  const endpoints = [at("me", takes(5), "z1"), at("near", takes(5), "z1"), at("far", takes(5), "z2")];
  const here = play({ balance: balanceFor("me", "z1"), endpoints, calls: 500, everyMs: 5 });
  assert.deepEqual(here.sent, { me: 500, near: 0, far: 0 });
  const zone = play({ balance: balanceFor("gate", "z1"), endpoints, calls: 500, everyMs: 5 });
  assert.equal(zone.sent["far"], 0);
});

test("balance: a near endpoint that is slow or has too much to do shares with farther ones (L2)", () => {
  const slow = [at("me", takes(2000), "z1"), at("far", takes(5), "z2")];
  const one = play({ balance: balanceFor("me", "z1"), endpoints: slow, calls: 1000, everyMs: 50 });
  assert.ok((one.sent["far"] ?? 0) > 900, `slow: ${one.sent["far"]} went away`);
  const full = [at("me", takes(1000), "z1"), at("far", takes(1000), "z2")];
  const two = play({ balance: balanceFor("me", "z1"), endpoints: full, calls: 3000, everyMs: 10 });
  assert.ok((two.sent["far"] ?? 0) > 600, `full: ${two.sent["far"]} went away`);
});

test("balance: a zone that is lost loses no more calls than it takes to notice", () => {
  const balance = balanceFor("gate", "z1");
  const lost: Behaviour = (now) => (now < 1_000 ? { ms: 5 } : { ms: 1, how: { kind: "failed" } });
  const endpoints = [at("a", lost, "z1"), at("b", lost, "z1"), at("c", takes(5), "z2"), at("d", takes(5), "z2")];
  play({ balance, endpoints, calls: 200, everyMs: 5 });
  const { sent } = play({ balance, endpoints, calls: 2000, everyMs: 5, from: 1_000 });
  assert.ok((sent["a"] ?? 0) + (sent["b"] ?? 0) < 25, JSON.stringify(sent));
});

const verdicts: readonly Verdict[] = [
  { kind: "well" },
  { kind: "failed" },
  { kind: "late" },
  { kind: "full", restMs: 300 },
];

test("balance: whatever happened before, some untried endpoint is picked, and none that was tried", () => {
  const step = fc.record({
    tried: fc.subarray(["a", "b", "c", "d"]),
    verdict: fc.constantFrom(...verdicts),
    ms: fc.nat(3000),
    waits: fc.boolean(),
  });
  const endpoints = ["a", "b", "c", "d"].map((id, i): Endpoint => ({ id, zone: i % 2 === 0 ? "z1" : "z2" }));
  const property = fc.property(fc.array(step, { maxLength: 200 }), fc.nat(), (steps, seed) => {
    const balance = new Balance({ random: dice(seed), self: "a", zone: "z1" });
    const open: (() => void)[] = [];
    let now = 0;
    for (const { tried, verdict, ms, waits } of steps) {
      const id = balance.pick("s", endpoints, new Set(tried), now);
      assert.equal(id === undefined, tried.length === endpoints.length);
      assert.ok(id === undefined || !tried.includes(id));
      if (id === undefined) continue;
      const told = balance.begin("s", id, now);
      now += ms;
      const then = now;
      if (waits) open.push(() => told(verdict, then));
      else told(verdict, now);
    }
    for (const end of open) end();
    assert.ok(balance.broken("s").every((id) => endpoints.some((one) => one.id === id)));
  });
  fc.assert(property, { numRuns: 200, seed: 1 });
});

test("balance: endpoints that are gone are not remembered for ever", () => {
  const balance = balanceFor();
  for (let i = 0; i < 1000; i++) {
    balance.pick("s", [{ id: `n${i}`, zone: "" }], nobody, i);
    const told = balance.begin("s", `n${i}`, i);
    for (let j = 0; j < 5; j++) balance.begin("s", `n${i}`, i)({ kind: "failed" }, i);
    told({ kind: "failed" }, i);
  }
  assert.ok(balance.broken("s").length < 30, String(balance.broken("s").length));
});

test("breaker: it opens after failures in a row, and an answer in between starts the row again (K1)", () => {
  const after = (...how: ("well" | "failed" | "unsaid")[]): string =>
    how.reduce((breaker, one) => ended(breaker, one, undefined, 0), closed).kind;
  assert.equal(after("failed", "failed", "failed", "failed"), "closed");
  assert.equal(after("failed", "failed", "failed", "failed", "failed"), "open");
  assert.equal(after("failed", "failed", "unsaid", "failed", "failed", "failed"), "open");
  assert.equal(after("failed", "failed", "failed", "failed", "well", "failed", "failed"), "closed");
});

test("breaker: it opens when half of many calls fail, and old failures do not count (K1)", () => {
  let breaker = closed;
  for (let i = 0; i < 40 && breaker.kind === "closed"; i++)
    breaker = ended(breaker, i % 2 === 0 ? "failed" : "well", undefined, i);
  assert.equal(breaker.kind, "open");
  breaker = closed;
  for (let i = 0; i < 400; i++) breaker = ended(breaker, i % 2 === 0 ? "failed" : "well", undefined, i * 600);
  assert.equal(breaker.kind, "closed");
});

test("breaker: pauses double while probes fail, up to the longest (K2)", () => {
  let breaker = Array.from({ length: 5 }).reduce<typeof closed>((b) => ended(b, "failed", undefined, 0), closed);
  let now = 0;
  for (let pause = firstPauseMs; pause <= 2 * longestPauseMs; pause *= 2) {
    const wait = Math.min(pause, longestPauseMs);
    assert.equal(permits(breaker, now + wait - 1), "no");
    now += wait;
    assert.equal(permits(breaker, now), "probe");
    breaker = probed(breaker, now);
    assert.equal(permits(breaker, now), "no", "one at a time");
    breaker = ended(breaker, "failed", now, now);
  }
});

test("breaker: a probe that never ends blocks nobody for ever, and its late answer changes nothing (K3)", () => {
  let breaker = Array.from({ length: 5 }).reduce<typeof closed>((b) => ended(b, "failed", undefined, 0), closed);
  breaker = probed(breaker, 1_000);
  assert.equal(permits(breaker, 60_000), "probe");
  const later = probed(breaker, 60_000);
  assert.deepEqual(ended(later, "failed", 1_000, 60_001), later);
  assert.deepEqual(ended(later, "well", undefined, 60_001), later);
  assert.equal(permits(ended(later, "unsaid", 60_000, 60_001), 60_002), "probe");
});

test("load: a peak counts at once, fades, and time never makes it negative or infinite", () => {
  const load = new Load();
  assert.equal(load.cost(0), 0, "who is unknown is tried");
  load.inFlight = 1;
  assert.ok(load.cost(0) > 100, "by one call at a time");
  load.inFlight = 0;
  load.observe(10, 0);
  load.observe(1000, 1);
  assert.equal(load.latency(1), 1000);
  load.observe(10, 2);
  assert.ok(load.latency(2) > 900);
  assert.ok(load.latency(120_000) < 1);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(60_000), fc.nat(100_000)), { maxLength: 50 }), (samples) => {
      const one = new Load();
      for (const [ms, now] of samples) {
        one.observe(ms, now);
        assert.ok(one.latency(now) >= 0 && one.latency(now) <= Math.max(...samples.map(([each]) => each)));
      }
    }),
    { seed: 1 },
  );
});

test("retry budget: repeats are a share of the calls, with a few for the quiet", () => {
  const busy = new RetryBudget();
  let granted = 0;
  for (let i = 0; i < 10_000; i++) {
    busy.called();
    if (busy.take(i / 10)) granted++;
  }
  assert.ok(granted > 1900 && granted < 2200, `${granted} of 10,000`);
  const quiet = new RetryBudget();
  while (quiet.take(0)) granted++;
  assert.equal(quiet.take(99), false);
  assert.equal(quiet.take(200), true);
});

test("verdicts: only what the endpoint itself did counts against it", () => {
  const kind = (...given: ConstructorParameters<typeof SheafError>): string => verdictOf(new SheafError(...given)).kind;
  assert.equal(verdictOf(undefined).kind, "well");
  for (const code of ["DECLARED", "BAD_INPUT", "FORBIDDEN", "UNKNOWN_TARGET", "REENTRANT"] as const)
    assert.equal(kind(code), "well", code);
  for (const code of ["HANDLER_FAILED", "CALL_LOST", "UNREACHABLE", "INTERNAL"] as const)
    assert.equal(kind(code), "failed", code);
  assert.deepEqual(verdictOf(new SheafError("OVERLOADED", undefined, { retryAfterMs: 70 })), {
    kind: "full",
    restMs: 70,
  });
  assert.equal(kind("EXTERNAL_FAILED"), "failed");
  assert.equal(kind("EXTERNAL_FAILED", "HTTP 400", { outcome: "not-applied", retry: "never" }), "well");
  assert.equal(kind("EXTERNAL_FAILED", "HTTP 429", { outcome: "not-applied" }), "full");
  assert.equal(kind("OVERLOADED", "met further on", { outcome: "unknown" }), "well");
  assert.equal(kind("STOPPING"), "full");
  assert.equal(kind("DEADLINE", "came too late", { outcome: "not-applied" }), "late");
  assert.equal(kind("CANCELLED"), "late");
});
