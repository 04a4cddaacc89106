// What counts as plain data, and what `plain` makes of the rest.

import assert from "node:assert/strict";
import { createContext, runInContext } from "node:vm";
import { test } from "node:test";
import fc from "fast-check";
import { SheafError, type Issue } from "../base/index.ts";
import { plain } from "./index.ts";

fc.configureGlobal({ seed: 17 });

const kept = (value: unknown): unknown => plain(value, "the output", "BAD_OUTPUT");

function issueOf(value: unknown): Issue {
  try {
    kept(value);
  } catch (error) {
    assert(error instanceof SheafError && error.code === "BAD_OUTPUT" && error.issues?.length === 1);
    return error.issues[0] as Issue;
  }
  assert.fail("it was taken for plain data");
}

/** Plain data as it stays, without -0 and undefined. */
const plainValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
    fc.string({ unit: "binary" }),
    fc.uint8Array(),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(
      fc.string().filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 5, noNullPrototype: true },
    ),
  ),
})).value;

const refusedValue = fc.constantFrom<unknown>(
  Number.NaN,
  Infinity,
  -Infinity,
  1n,
  Symbol("s"),
  () => 1,
  new Date(0),
  new Map(),
  new Set(),
  new (class Money {
    cents = 1;
  })(),
  /x/,
  new Float64Array(1),
  new ArrayBuffer(1),
  Promise.resolve(),
  "\ud800",
  Object.create({ inherited: 1 }),
  JSON.parse('{"__proto__": 1}'),
  [undefined],
  [, 1], // oxlint-disable-line no-sparse-arrays
  { "\udfff": 1 },
);

test("plain data: it stays the very same object, and nothing is changed in it", () => {
  fc.assert(
    fc.property(plainValue, (value) => {
      const before = structuredClone(value);
      assert(Object.is(kept(value), value));
      assert.deepEqual(value, before);
    }),
  );
});

test("what is not plain data: it is refused wherever it is, and the path leads to it", () => {
  const way = fc.array(fc.oneof(fc.nat({ max: 3 }), fc.stringMatching(/^[a-z]{1,3}$/)), { maxLength: 8 });
  fc.assert(
    fc.property(refusedValue, way, plainValue, (bad, path, beside) => {
      const value = path.reduceRight<unknown>(
        (inner, step) =>
          typeof step === "number" ? [...Array(step).fill(beside), inner] : { z0: beside, [step]: inner },
        bad,
      );
      const issue = issueOf(value);
      assert.deepEqual(issue.path.slice(0, path.length), path);
      const found = issue.path.reduce<unknown>((at, step) => (at as Record<string | number, unknown>)[step], value);
      const named = issue.path.length === path.length;
      assert(named ? Object.is(found, bad) : issue.path.length === path.length + 1);
    }),
    { numRuns: 500 },
  );
});

test("a copy: undefined properties are left out, -0 is 0, and the original is as it was", () => {
  const shared = { a: 1 };
  const value = { first: shared, gone: undefined, zero: -0, deep: [{ x: [-0], y: undefined }], same: shared };
  const copy = kept(value);
  assert.deepEqual(copy, { first: { a: 1 }, zero: 0, deep: [{ x: [0] }], same: { a: 1 } });
  assert(!Object.hasOwn(copy, "gone") && "gone" in value);
  assert.equal((copy as typeof value).first, shared);
  assert(Object.is(value.zero, -0) && Object.is((copy as typeof value).zero, 0));
  assert.equal(kept(undefined), undefined);
  assert.deepEqual(kept({ a: undefined }), {});
});

test("normalising: what is refused, and what a copy looks like, do not depend on what stands beside it", () => {
  const raw = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(-0, 0, null, "a", undefined),
      fc.array(
        tie("value").map((item) => item ?? null),
        { maxLength: 4 },
      ),
      fc.dictionary(fc.constantFrom("a", "b", "c", "1"), tie("value")),
    ),
  })).value;
  fc.assert(
    fc.property(raw, (value) => {
      // JSON treats all of these alike, so it is an oracle.
      const expected: unknown = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
      const once = kept(value);
      assert.deepEqual(strip(once), strip(expected));
      assert(Object.is(kept(once), once));
    }),
  );
});

/** Without prototypes, so that only contents are compared. */
const strip = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

test("bytes: Uint8Array stays, and Buffer becomes one over the same bytes", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  assert.equal(kept(bytes), bytes);
  const buffer = Buffer.from([0, 1, 2, 3]).subarray(1);
  const result = kept({ buffer }) as { buffer: Uint8Array };
  assert.equal(Object.getPrototypeOf(result.buffer), Uint8Array.prototype);
  assert.deepEqual([...result.buffer], [1, 2, 3]);
});

test("an object literal of another realm: it is plain data", () => {
  const foreign: unknown = runInContext("({ a: [1, { b: null }], c: new Uint8Array([7]) })", createContext({}));
  assert.deepEqual(JSON.stringify(kept(foreign)), JSON.stringify({ a: [1, { b: null }], c: { 0: 7 } }));
  assert.match(issueOf(runInContext("new (class Money {})()", createContext({}))).message, /is a Money/);
});

test("depth: 64 levels pass, one more and a cycle are refused", () => {
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
  assert.doesNotThrow(() => kept(nested(64)));
  assert.match(issueOf(nested(65)).message, /deeper than 64/);
  const deep: unknown = JSON.parse("[".repeat(5000) + "]".repeat(5000));
  assert.match(issueOf(deep).message, /deeper than 64/);
  const cycle: { list: unknown[] } = { list: [] };
  cycle.list.push(1, cycle);
  assert.deepEqual(issueOf(cycle), { path: ["list", 1], message: "refers back to an object around it" });
});

test("shared substructure: what would unfold beyond any size limit is refused at once", () => {
  let node: unknown = [1];
  for (let i = 0; i < 50; i++) node = { left: node, right: node };
  assert.match(issueOf(node).message, /more than \d+ items/);
  let list: unknown = [1];
  for (let i = 0; i < 21; i++) list = [list, list];
  assert.match(issueOf(list).message, /more than \d+ items/);
  const sparse: unknown[] = [];
  sparse.length = 2 ** 31;
  assert.match(issueOf(sparse).message, /more than \d+ items/);
});

test("a message: it says what is wrong, where, and what to use instead", () => {
  const said = (value: unknown): string => {
    try {
      kept(value);
      return "nothing";
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(
    said({ a: [new Date(0)] }),
    "the output does not fit: /a/0: is a Date, use a number or an ISO string; only plain data can be kept",
  );
  assert.equal(said({ "a/b": 1n }), "the output does not fit: /a~1b: is a bigint; use a string");
  assert.equal(said(Number.NaN), "the output does not fit: is NaN; numbers must be finite");
});

test("hostile keys: __proto__ is refused and no prototype changes", () => {
  const hostile: unknown = JSON.parse('{"a": -0, "b": {"__proto__": {"polluted": true}}}');
  assert.deepEqual(issueOf(hostile).path, ["b", "__proto__"]);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  const copy = kept({ constructor: 1, hasOwnProperty: 2, toString: -0 }) as object;
  assert.deepEqual(Object.keys(copy), ["constructor", "hasOwnProperty", "toString"]);
});
