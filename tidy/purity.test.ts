import assert from "node:assert/strict";
import test from "node:test";
import { purityFindings } from "./purity.ts";
import { demand, planted, readSources } from "./source.ts";

test("purity: the pure floors touch no clock, no dice and no module of Node", () => {
  demand(purityFindings, readSources(["src"]));
});

const count = (text: string): number => planted(purityFindings, ["src/shards/planted.ts", text]).length;

test("purity: each way to the outside world is reported once", () => {
  for (const text of [
    'import { readFileSync } from "node:fs";',
    'import type { Socket } from "node:net";',
    'import { readFileSync } from "fs";',
    'import ws from "ws";',
    'const fs = await import("node:fs");',
    "const a = Date.now();",
    'const a = Date["now"]();',
    "const now = Date.now;",
    "const a = new Date();",
    "const a = Date();",
    "const a = Math.random();",
    "const a = performance.now();",
    "setTimeout(() => {}, 1);",
    "const later = setTimeout;",
    "const f = { setInterval };",
    "setImmediate(f);",
    "const a = process.env.HOME;",
    "const a = crypto.randomUUID();",
    "const a = globalThis.crypto;",
    "const a = globalThis.Date.now();",
    "const a = globalThis[name];",
    "const a = AbortSignal.timeout(5);",
    "const b = Buffer.from(a);",
    "console.log(1);",
    "function f(crypto: Crypto) { return crypto.seal(); } const b = crypto.subtle;",
  ]) {
    assert.equal(count(text), 1, text);
  }
});

test("purity: what only looks like the outside world is no finding", () => {
  for (const text of [
    "const a = new Date(0); const b = Date.parse(c); const d = Math.max(1, 2);",
    "function f({ crypto, clock }: Host) { return crypto.seal(clock.now()); }",
    "const f = (process: Process) => () => process.step();",
    "const { crypto } = host; const g = () => crypto.hash(a);",
    "type Host = { process: string; setTimeout(): void; crypto: Crypto }; const a = host.process; const b = { crypto: 1 };",
    'const a = "Date.now()"; // Math.random()',
    'import type { S } from "@standard-schema/spec";',
    "queueMicrotask(f);",
  ]) {
    assert.equal(count(text), 0, text);
  }
});

test("purity: tests and the floors above are free", () => {
  const text = "const a = Date.now();";
  assert.deepEqual(planted(purityFindings, ["src/shards/a.test.ts", text], ["src/platform/clock.ts", text]), []);
});

test("purity: a file that says that it runs in the browser may reach for the browser, and only such a file", () => {
  const text = "const a = window.navigator;";
  assert.deepEqual(planted(purityFindings, ["src/gateway/page.ts", `// A button. Runs in the browser.\n${text}`]), []);
  assert.equal(
    planted(purityFindings, ["src/gateway/page.ts", `// A button.\n${text} // Runs in the browser.`]).length,
    1,
  );
});

test("purity: seeing no files is an error", () => {
  assert.throws(() => demand(purityFindings, []), /saw no files/);
});
