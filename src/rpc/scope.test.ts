import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { scopedId } from "./scope.ts";

/** Texts that look like the joints of an id. */
const text = fc.string({ unit: fc.constantFrom("a", "b", "/", "\n", "\0", "n", "\\"), maxLength: 6 });
const name = fc.constantFrom("a", "b", "ab");
const parts = fc.tuple(text, name, text, name, text);

test("scope: different operations never have one id", () => {
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      fc.pre(one.some((part, i) => part !== other[i]));
      assert.notEqual(scopedId(...one), scopedId(...other));
    }),
    { numRuns: 20_000, seed: 1 },
  );
  assert.notEqual(scopedId("p", "c", "k", "add", "x\nc/k/add\ny"), scopedId("p\nc/k/add\nx", "c", "k", "add", "y"));
  assert.notEqual(scopedId("p", "c", "k", "add", "x\nc/k/add\ny"), scopedId("p", "c", "k/add\nx\nc/k", "add", "y"));
  assert.notEqual(scopedId("p", "c", "k", "add", "\0n"), scopedId("p", "c", "k", "add", "\n"));
});

test("scope: an ordinary id is as records of version 0.1 hold it", () => {
  assert.equal(scopedId("local", "account", "a/b c", "deposit", "k-1"), "local\naccount/a/b c/deposit\nk-1");
});
