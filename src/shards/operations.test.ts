import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLimits, type SheafError } from "../base/index.ts";
import { issuedId, Operations } from "./operations.ts";
import type { SavedOp } from "./store.ts";

const limits = checkLimits({ maxIdempotencyKeys: 3, maxIssuedOperations: 4, idempotencyWindowMs: 1000 });
const op = (id: string, at: number, issuedAt?: number): SavedOp => ({
  id,
  seq: at,
  at,
  issuedAt,
  fingerprint: new Uint8Array(),
  reply: new Uint8Array([at]),
  version: at,
});
const tooOld = (error: SheafError): boolean => error.code === "TOO_OLD" && error.outcome === "unknown";

test("operations: issued ids name their client and number, whatever is made inside them", () => {
  assert.deepEqual(issuedId("abc.1z"), { client: "abc", n: 71 });
  assert.deepEqual(issuedId("abc.1z/0/2"), { client: "abc", n: 71 });
  assert.deepEqual(issuedId("odd"), { client: "odd", n: 0 });
});

test("operations: a chosen key is remembered for its window, then new again", () => {
  const operations = new Operations(limits);
  operations.remember(op("k", 100), undefined);
  operations.expire(1100);
  assert.equal(operations.find("k", undefined)?.version, 100);
  operations.expire(1101);
  assert.equal(operations.find("k", undefined), undefined);
});

test("operations: O1 a full memory refuses new keys and forgets none", () => {
  const operations = new Operations(limits);
  for (const id of ["a", "b", "c"]) operations.remember(op(id, 1), undefined);
  assert.throws(
    () => operations.find("d", undefined),
    (error: SheafError) =>
      error.code === "IDEMPOTENCY_FULL" &&
      error.retry === "later" &&
      /--limit maxIdempotencyKeys/.test(error.hint ?? ""),
  );
  assert.ok(operations.find("a", undefined));
});

test("operations: O2 a slow operation is not too old, nor does it keep those after it remembered", () => {
  let operations = new Operations(limits);
  for (const n of [2, 3, 4]) operations.remember(op(`c.${n}`, n, 1), 1);
  operations.remember(op("c.5", 5, 1), 5, [1, 3]);
  assert.equal(operations.find("c.1/inner", 1), undefined);
  assert.equal(operations.find("c.3", 1)?.version, 3);
  for (const id of ["c.2", "c.4"]) assert.throws(() => operations.find(id, 1), tooOld, id);
  const restored = new Operations(limits);
  restored.restore(operations.memo(), [op("c.3", 3, 1), op("c.5", 5, 1)]);
  operations = restored;
  assert.equal(operations.find("c.1", 1), undefined);
  operations.remember(op("c.6", 6, 1), 5, [1]);
  assert.throws(() => operations.find("c.3", 1), tooOld);
  // One that was on its way for long says what was so when it left.
  operations.remember(op("c.7", 7, 1), 6, [1, 2, 3, 5]);
  for (const id of ["c.2", "c.3"]) assert.throws(() => operations.find(id, 1), tooOld, id);
  assert.equal(operations.find("c.1", 1), undefined);
  assert.equal(operations.find("c.5", 1)?.version, 5);
});

test("operations: O2 what a client is done with is forgotten, and never run again", () => {
  const operations = new Operations(limits);
  operations.remember(op("c.1", 1, 1), undefined);
  operations.remember(op("c.2", 2, 1), undefined);
  assert.ok(operations.find("c.1", 1));
  operations.remember(op("c.3", 3, 1), 3);
  assert.throws(() => operations.find("c.1", 1), tooOld);
  assert.throws(() => operations.find("c.2", 1), tooOld);
  assert.ok(operations.find("c.3", 1));
  assert.equal(operations.find("c.4", 1), undefined);
});

test("operations: O2 over the bound the silent client loses its older half, as TOO_OLD", () => {
  const operations = new Operations(limits);
  for (let n = 1; n <= 4; n++) operations.remember(op(`gone.${n}`, n, 1), undefined);
  operations.remember(op("here.1", 9, 1), undefined);
  assert.throws(() => operations.find("gone.1", 1), tooOld);
  assert.ok(operations.find("gone.4", 1));
  assert.ok(operations.find("here.1", 1));
  assert.ok(operations.size <= 4);
});

test("operations: what is drained and restored finds and refuses the same", () => {
  const operations = new Operations(limits);
  operations.remember(op("k", 1), undefined);
  operations.remember(op("c.1", 2, 1), undefined);
  operations.remember(op("c.2", 3, 1), 2);
  const { fresh, gone } = operations.drain();
  const restored = new Operations(limits);
  restored.restore(
    operations.memo(),
    fresh.filter((saved) => !gone.includes(saved.id)),
  );
  assert.ok(restored.find("k", undefined));
  assert.ok(restored.find("c.2", 1));
  assert.throws(() => restored.find("c.1", 1), tooOld);
});

test("operations: a save that failed is handed over again, with what came since", () => {
  const operations = new Operations(limits);
  operations.remember(op("c.1", 1, 1), undefined);
  const first = operations.drain();
  operations.remember(op("c.2", 2, 1), 2);
  operations.undrain(first.fresh, first.gone);
  const again = operations.drain();
  assert.deepEqual(
    again.fresh.map((saved) => saved.id),
    ["c.2"],
  );
});

test("operations: S1 an id that is used again is saved, and never also forgotten", () => {
  const operations = new Operations(limits);
  operations.remember(op("k", 1), undefined);
  operations.drain();
  operations.expire(5000);
  operations.remember(op("k", 5000), undefined);
  const first = operations.drain();
  assert.deepEqual([first.fresh.map((saved) => saved.at), first.gone], [[5000], []]);
  operations.expire(9000);
  const gone = operations.drain();
  operations.remember(op("k", 9000), undefined);
  operations.undrain(gone.fresh, gone.gone);
  const again = operations.drain();
  assert.deepEqual([again.fresh.map((saved) => saved.at), again.gone], [[9000], []]);
});

test("operations: a time of issue that a caller made up keeps nothing longer and bars nobody but itself", () => {
  const operations = new Operations(limits);
  const far = Number.MAX_SAFE_INTEGER;
  operations.remember(op("liar.1", 1, far), undefined);
  for (let i = 2; i <= 5; i++) operations.remember(op(`c.${i}`, i, i), undefined);
  assert.throws(() => operations.find("liar.1", far), tooOld, "it went first, being heard of longest ago");
  for (let i = 2; i <= 5; i++) assert.ok(operations.find(`c.${i}`, i));
  for (let i = 0; i < 1025; i++) operations.remember(op(`x${i}.1`, 10 + i, far), 1);
  assert.equal(
    operations.find("new.1", 2000),
    undefined,
    "a caller that nobody knows is judged by what others did, not said",
  );
});
