// The common flags: taken from anywhere before a bare `--`, and from nowhere after it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { splitFlags } from "./flags.ts";
import { parseCount, parseSpan } from "./context.ts";

test("flags: found anywhere, and taken out of what the parser sees", () => {
  const { flags, rest } = splitFlags(["-q", "call", "--json=a,b", "x/y", "--color=never", "--debug"]);
  assert.deepEqual(rest, ["call", "x/y"]);
  assert.deepEqual(flags, { json: true, fields: ["a", "b"], quiet: true, debug: true, color: "never" });
});

test("flags: what follows a bare -- is left alone", () => {
  const { flags, rest } = splitFlags(["__complete", "--", "--json", "-q"]);
  assert.deepEqual(rest, ["__complete", "--", "--json", "-q"]);
  assert.equal(flags.json, false);
});

test("flags: a bad one is reported, and the others still hold", () => {
  const { flags, problem } = splitFlags(["--color=pink", "--json"]);
  assert.equal(problem?.code, "USAGE");
  assert.equal(flags.json, true);
});

test("spans and counts: read exactly, and refused with the option's name", () => {
  assert.deepEqual(
    ["500ms", "1.5s", "2m", "12h", "90d"].map((text) => parseSpan(text, "--x")),
    [500, 1500, 120_000, 43_200_000, 7_776_000_000],
  );
  for (const text of ["", "5", "s", "-1s", "1 s", "1e3s"]) assert.throws(() => parseSpan(text, "--x"), /--x/);
  assert.equal(parseCount("7", "--n", 1, 9), 7);
  for (const text of ["", "0", "10", "1.5", "-1", "0x5", "x"])
    assert.throws(() => parseCount(text, "--n", 1, 9), /--n/);
});
