import assert from "node:assert/strict";
import test from "node:test";
import { leftoverFindings, lockFindings } from "./leftovers.ts";
import { demand, planted, readFiles } from "./source.ts";

const everything = [
  "*.{md,json,jsonc}",
  ".ci/*",
  ".oxlintrc.json",
  "{src,tidy,test,bench,examples,scripts,bin,docs}/**/*.{ts,mjs,md,json,txt}",
];

test("leftovers: nothing of one machine and nothing unfinished is in the repository", () => {
  demand(leftoverFindings, readFiles(everything));
});

test("leftovers: the lock file names every package that npm would look for", () => {
  demand(lockFindings, readFiles(["package-lock.json", "bench/package-lock.json"]));
});

test("leftovers: each thing that must not be committed is reported", () => {
  for (const text of [
    "/work/main",
    "/root/.npmrc",
    "/tmp/x",
    "https://registry.example.org/x",
    "http://deb.example.org",
    "// TODO: later",
    "// FIXME",
    "throw new Error('Not implemented')",
    "test.skip('a: b')",
    "test.only('a: b')",
    "describe.todo('a: b')",
  ]) {
    assert.equal(planted(leftoverFindings, ["src/base/a.ts", `\n${text}`]).length, 1, text);
  }
});

test("leftovers: ordinary words are no finding", () => {
  const text =
    "what works/most of the time, a registry of nodes, todo lists, tests that skip, ../work/index.ts, src/work/a.ts, framework/x";
  assert.deepEqual(planted(leftoverFindings, ["docs/a.md", text]), []);
});

test("leftovers: an optional package without an entry is reported", () => {
  const lock = { packages: { "node_modules/a": { optionalDependencies: { b: "1", c: "1" } }, "node_modules/b": {} } };
  assert.deepEqual(planted(lockFindings, ["package-lock.json", JSON.stringify(lock)]), [
    "package-lock.json:1 lacks c: run node scripts/complete-lock.mjs",
  ]);
});

test("leftovers: seeing no files is an error", () => {
  assert.throws(() => demand(leftoverFindings, []), /saw no files/);
  assert.throws(() => demand(lockFindings, []), /saw no files/);
});
