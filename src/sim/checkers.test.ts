// Guarantees of the small checkers: each accepts what is right and names what is wrong, on histories made by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkBank, type BankAccount } from "./bank.ts";
import { checkSet, type SetAttempt } from "./durability.ts";
import { checkCounter, type Count } from "./idempotent-counter.ts";

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
