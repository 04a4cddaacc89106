// Guarantees of the small checkers: each accepts what is right and names what is wrong, on histories made by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkBank, type BankAccount } from "./bank.ts";
import { checkSet, type SetAttempt } from "./durability.ts";
import { checkCounter, type Count } from "./idempotent-counter.ts";
import { checkSessions, type SessionStep, type Sight } from "./sessions.ts";
import { checkGlances } from "./staleness.ts";

const add = (id: string, outcome: SetAttempt["outcome"], start = 0, end = 1): SetAttempt => ({
  id,
  outcome,
  start,
  end,
});

test("set: acknowledged ids must be there, unknown ones may be", () => {
  const attempts = [add("a", "applied"), add("b", "unknown"), add("c", "not-applied")];
  for (const ids of [["a"], ["a", "b"]]) assert.deepEqual(checkSet(attempts, [{ ids, start: 5, end: 6 }]), []);
  assert.match(checkSet(attempts, [{ ids: ["b"], start: 5, end: 6 }]).join(), /a was acknowledged but is missing/);
});

test("set: doubles, strangers, and ids whose caller was told no are found", () => {
  const attempts = [add("a", "applied"), add("c", "not-applied")];
  const found = checkSet(attempts, [{ ids: ["a", "a", "c", "x"], start: 5, end: 6 }]).join("; ");
  assert.match(found, /a is in the set twice/);
  assert.match(found, /c is in the set though/);
  assert.match(found, /x was never added/);
});

test("set: a read during an addition may miss it; what one read saw a later one must see", () => {
  const attempts = [add("a", "applied", 0, 10)];
  assert.deepEqual(
    checkSet(attempts, [
      { ids: [], start: 1, end: 2 },
      { ids: ["a"], start: 20, end: 21 },
    ]),
    [],
  );
  const unknown = [add("b", "unknown", 0, 1)];
  const reads = [
    { ids: ["b"], start: 2, end: 3 },
    { ids: [], start: 4, end: 5 },
  ];
  assert.match(checkSet(unknown, reads).join(), /b was read and then vanished/);
  assert.match(
    checkSet([add("c", "unknown", 9, 10)], [{ ids: ["c"], start: 2, end: 3 }]).join(),
    /before it was added/,
  );
});

const account = (key: string, cents: number, more: Partial<BankAccount> = {}): BankAccount => ({
  key,
  cents,
  outgoing: {},
  taken: [],
  ...more,
});

test("bank: money under way counts once, whether or not it has arrived", () => {
  const outgoing = { t1: { to: "b", cents: 30 } };
  assert.deepEqual(checkBank([account("a", 70, { outgoing }), account("b", 100)], 200), []);
  assert.deepEqual(checkBank([account("a", 70, { outgoing }), account("b", 130, { taken: ["t1"] })], 200), []);
});

test("bank: lost, doubled and overdrawn money is found", () => {
  assert.match(checkBank([account("a", 70), account("b", 100)], 200).join(), /holds 170 and not 200/);
  assert.match(checkBank([account("a", 100), account("b", 130, { taken: ["t1"] })], 200).join(), /holds 230/);
  assert.match(checkBank([account("a", -5), account("b", 205)], 200).join(), /overdrawn by 5/);
  assert.match(checkBank([account("a", 100, { taken: ["t", "t"] })], 100).join(), /twice/);
});

const count = (op: string, outcome: Count["outcome"], ...answers: number[]): Count => ({ op, outcome, answers });

test("counter: the final value lies between what is known and what is possible", () => {
  const counts = [count("a", "applied", 1, 1), count("b", "unknown"), count("c", "not-applied")];
  assert.deepEqual(checkCounter(counts, 1), []);
  assert.deepEqual(checkCounter(counts, 2), []);
  assert.match(checkCounter(counts, 0).join(), /is 0 but 1 additions/);
  assert.match(checkCounter(counts, 3).join(), /at most 2/);
});

test("counter: repeats of one operation answer the same, and no two operations count to the same", () => {
  assert.match(checkCounter([count("a", "applied", 1, 2)], 1).join(), /answered differently/);
  assert.match(checkCounter([count("a", "applied", 1), count("b", "applied", 1)], 2).join(), /both counted to 1/);
});

const sight = (key: string, count: number, more: Partial<Sight> = {}): Sight => ({
  key,
  count,
  causes: {},
  wrote: false,
  ...more,
});
const saw = (session: string, ...sights: Sight[]): SessionStep => ({ kind: "saw", session, sights });

test("sessions: a session that never sees less than before is right, whatever others see", () => {
  const steps = [
    saw("s", sight("a", 1, { wrote: true })),
    saw("t", sight("a", 0)),
    saw("s", sight("a", 1), sight("b", 0)),
  ];
  assert.deepEqual(checkSessions(steps, true), []);
});

test("sessions: a lost own write, a read that goes back, and a write behind what was seen are found", () => {
  const wrote = saw("s", sight("a", 3, { wrote: true }));
  assert.match(checkSessions([wrote, saw("s", sight("a", 2))], false).join(), /s saw a at 2 after it had seen it at 3/);
  assert.match(
    checkSessions([saw("s", sight("a", 2), sight("a", 1))], false).join(),
    /s saw a at 1 after it had seen it at 2/,
  );
  assert.match(checkSessions([wrote, wrote], false).join(), /s wrote a to 3 after/);
});

test("sessions: who goes on with another's session sees no less than that one", () => {
  const took: SessionStep = { kind: "took", session: "t", from: "s" };
  const steps = [saw("s", sight("a", 2)), took, saw("t", sight("a", 1))];
  assert.match(checkSessions(steps, false).join(), /t saw a at 1 after it had seen it at 2/);
  assert.deepEqual(checkSessions([took, ...steps.slice(0, 1), saw("t", sight("a", 1))], false), []);
});

test("sessions: who saw an effect and then not its cause is found, where that is promised", () => {
  const steps = [saw("s", sight("y", 1, { causes: { x: 4 } }), sight("x", 3))];
  assert.deepEqual(checkSessions(steps, false), []);
  assert.match(checkSessions(steps, true).join(), /s saw x at 3 after it had seen it at 4/);
});

test("copies: a beginning of the journal as old as it says is right", () => {
  const added = [{ id: "a", acknowledgedAt: 10 }];
  assert.deepEqual(checkGlances(["a", "b"], added, [{ ids: [], askedAt: 15, staleMs: 5 }]), []);
  assert.deepEqual(checkGlances(["a", "b"], added, [{ ids: ["a"], askedAt: 99, staleMs: 0 }]), []);
  assert.deepEqual(checkGlances(["a", "b"], added, [{ ids: [], askedAt: 99, staleMs: undefined }]), []);
});

test("copies: what was never journaled, a gap, and a copy older than it says are found", () => {
  assert.match(checkGlances(["a"], [], [{ ids: ["x"], askedAt: 1, staleMs: 0 }]).join(), /showed x at place 0/);
  assert.match(checkGlances(["a", "b"], [], [{ ids: ["b"], askedAt: 1, staleMs: 0 }]).join(), /showed b at place 0/);
  const added = [{ id: "a", acknowledgedAt: 10 }];
  assert.match(checkGlances(["a"], added, [{ ids: [], askedAt: 15, staleMs: 4 }]).join(), /and missed a of 10/);
});
