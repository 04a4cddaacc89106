// Validation, state upgrades and JSON Schema: what a caller, a handler and a stored record may get wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { SheafError, type ErrorCode, type Issue } from "../base/index.ts";
import { checker, jsonSchema, pointer, upgrade, validate, versioned, type Schema, type StateShape } from "./index.ts";

fc.configureGlobal({ seed: 17 });

/** Runs `act` and returns what it refused with. */
function refusedWith(code: ErrorCode, act: () => unknown): SheafError {
  try {
    act();
  } catch (error) {
    assert(error instanceof SheafError, String(error));
    assert.equal(error.code, code, error.message);
    return error;
  }
  assert.fail("it was not refused");
}

/** A schema written by hand, as a library's own would be. */
const handmade = (validate: (value: unknown) => unknown): Schema =>
  ({ "~standard": { version: 1, vendor: "handmade", validate } }) as Schema;

test("validation: a value that fits comes out as the schema makes it", () => {
  const schema = z.object({
    cents: z.number(),
    memo: z.string().default("none"),
    at: z.string().transform((s) => s.length),
  });
  assert.deepEqual(validate(schema, { cents: 1, at: "now", extra: 1 }, "the input", "BAD_INPUT"), {
    cents: 1,
    memo: "none",
    at: 3,
  });
});

test("validation: the message names the first three problems with their paths, the issues name all", () => {
  const schema = z.object({
    a: z.number(),
    items: z.array(z.object({ "x/y~": z.string() })),
    b: z.number(),
    c: z.number(),
  });
  const error = refusedWith("BAD_INPUT", () =>
    validate(schema, { a: "1", items: [{}] }, "the input of account.add", "BAD_INPUT"),
  );
  assert.match(
    error.message,
    /^the input of account\.add does not fit: \/a: .*; \/items\/0\/x~1y~0: .*; \/b: .*; and 1 more$/,
  );
  assert.deepEqual(
    error.issues?.map((issue) => issue.path),
    [["a"], ["items", 0, "x/y~"], ["b"], ["c"]],
  );
  assert.equal(error.outcome, "not-applied");
});

test("validation: paths of every shape that the standard allows become keys and indexes", () => {
  const schema = handmade(() => ({
    issues: [{ message: "m", path: ["a", { key: 0 }, { key: Symbol("s") }] }, { message: "root" }],
  }));
  const { issues } = refusedWith("BAD_STATE", () => validate(schema, 1, "the state", "BAD_STATE"));
  assert.deepEqual(issues, [
    { path: ["a", 0, "Symbol(s)"], message: "m" },
    { path: [], message: "root" },
  ] satisfies Issue[]);
});

test("validation: a refusal stays small however much is wrong", () => {
  const error = refusedWith("BAD_INPUT", () =>
    validate(z.array(z.string()), Array(10_000).fill(1), "the input", "BAD_INPUT"),
  );
  assert.equal(error.issues?.length, 100);
  assert.match(error.message, /; and 9997 more$/);
});

test("validation without a schema: the only value is undefined", () => {
  const check = checker(undefined, "the output of account.close", "BAD_OUTPUT");
  assert.equal(check(undefined), undefined);
  for (const value of [null, 0, "", {}]) refusedWith("BAD_OUTPUT", () => check(value));
});

test("an asynchronous schema: it is refused with USAGE, and its own failure is swallowed", async () => {
  const slow = checker(
    z.string().refine(async () => true),
    "the input of a.b",
    "BAD_INPUT",
  );
  assert.match(
    refusedWith("USAGE", () => slow("x")).message,
    /the input of a\.b answered with a promise: it is asynchronous/,
  );
  const failing = handmade(() => Promise.reject(new Error("boom")));
  refusedWith("USAGE", () => validate(failing, 1, "the input", "BAD_INPUT"));
  await new Promise(setImmediate); // an unhandled rejection would fail this test
});

test("a schema that throws: it is HANDLER_FAILED, not the caller's fault", () => {
  const boom = (): never => {
    throw new TypeError("boom");
  };
  assert.match(
    refusedWith("HANDLER_FAILED", () => validate(handmade(boom), "x", "the input", "BAD_INPUT")).message,
    /boom/,
  );
});

test("a zod schema whose code throws: it looks asynchronous, and the message names both", () => {
  const broken = z.string().refine(() => {
    throw new TypeError("boom");
  });
  assert.match(
    refusedWith("USAGE", () => validate(broken, "x", "the input", "BAD_INPUT")).message,
    /or its own code threw/,
  );
});

test("a JSON Pointer: it leads back to the path it was made of", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.nat())), (path) => {
      const back = pointer(path)
        .split("/")
        .slice(1)
        .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
      assert.deepEqual(back, path.map(String));
    }),
  );
});

test("an upgrade: a state of any older version runs through every step from there on, in order", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(), (version, older) => {
      const stored = 1 + (older % version);
      const steps = Object.fromEntries(
        Array.from({ length: version - 1 }, (_, i) => [i + 1, (old: number[]) => [...old, i + 1]]),
      );
      const state = versioned(version, z.array(z.number()), steps);
      assert.deepEqual(
        upgrade(state, stored, []),
        Array.from({ length: version - stored }, (_, i) => stored + i),
      );
    }),
  );
});

test("an upgrade: a newer state, a hole in the versions and a step that throws are told apart", () => {
  const state = versioned(2, z.object({ cents: z.number() }), {
    1: (old: { euros: { whole: number } }) => ({ cents: old.euros.whole * 100 }),
  });
  assert.match(
    refusedWith("STATE_TOO_NEW", () => upgrade(state, 3, {}, "the state of account")).message,
    /of account .* version 3; .* up to 2/,
  );
  assert.match(refusedWith("BAD_STATE", () => upgrade(state, 1, {})).message, /from version 1 to 2 threw: TypeError/);
  refusedWith("BAD_STATE", () => upgrade(state, 0, {}));
});

test("versions: a missing, extra or misnumbered upgrade is refused where it is defined", () => {
  const loose = versioned as (version: number, schema: Schema, upgrades: object) => StateShape;
  const schema = z.object({});
  const step = (): object => ({});
  for (const [version, upgrades] of [
    [0, {}],
    [1.5, { 1: step }],
    [Number.NaN, {}],
    [2, {}],
    [3, { 1: step }],
    [2, { 1: "step" }],
    [1, { 1: step }],
    [2, { 1: step, 2: step }],
    [2, { 1: step, "01": step }],
    [2, { 1: step, latest: step }],
  ] as const) {
    refusedWith("USAGE", () => loose(version, schema, upgrades));
  }
  assert.equal(loose(2, schema, { 1: step }).version, 2);
});

test("JSON Schema: both sides of a schema, and anything for what cannot be said", () => {
  const schema = z.object({ cents: z.number().int().positive(), memo: z.string().default("none") });
  assert.deepEqual(jsonSchema(schema, "input")["required"], ["cents"]);
  assert.deepEqual(jsonSchema(schema, "output")["required"], ["cents", "memo"]);
  assert.equal("$schema" in jsonSchema(schema, "input"), false);
  assert.deepEqual(jsonSchema(z.object({ when: z.date(), n: z.number() }), "input")["properties"], {
    when: {},
    n: { type: "number" },
  });
  assert.deepEqual(
    jsonSchema(
      handmade((value) => ({ value })),
      "input",
    ),
    {},
  );
  assert.deepEqual(jsonSchema(undefined, "output"), {});
  const throwing = {
    "~standard": { ...handmade(String)["~standard"], jsonSchema: { input: () => assert.fail("cannot") } },
  } as Schema;
  assert.deepEqual(jsonSchema(throwing, "input"), {});
});

test("JSON Schema: references inside a schema follow it to where it stands in a document", () => {
  const tree = z.object({
    value: z.string().default("$ref"),
    get children() {
      return z.array(tree);
    },
  });
  const text = JSON.stringify(jsonSchema(tree, "input", "#/components/schemas/Tree"));
  const refs = [...text.matchAll(/"\$ref":"([^"]*)"/g)].map((match) => match[1]);
  assert(refs.length > 0 && refs.every((ref) => ref?.startsWith("#/components/schemas/Tree")), text);
  const inert = z.object({ a: z.literal("#"), b: z.any().default({ $ref: "#x" }) });
  assert.match(JSON.stringify(jsonSchema(inert, "input", "#/at")), /"default":\{"\$ref":"#x"\}/);
});
