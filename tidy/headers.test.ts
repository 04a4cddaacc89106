import assert from "node:assert/strict";
import test from "node:test";
import { headerFindings, limitFindings } from "./headers.ts";
import { demand, planted, readFiles, readSources } from "./source.ts";

test("headers: every file opens with what it is for", () => {
  demand(headerFindings, [...readSources(), ...readFiles(["scripts/*.mjs", "bin/*.mjs"])]);
});

test("headers: every limit has a reason", () => {
  demand(limitFindings, readFiles(["src/base/limits.ts"]));
});

test("headers: a file that opens with code or a long story is reported", () => {
  assert.equal(planted(headerFindings, ["src/base/a.ts", "const a = 1;\n"]).length, 1);
  assert.equal(planted(headerFindings, ["src/base/a.ts", 'import { b } from "./b.ts";\n// late\n']).length, 1);
  assert.equal(planted(headerFindings, ["src/base/index.ts", 'export * from "./a.ts";\nconst b = 1;\n']).length, 1);
  assert.equal(planted(headerFindings, ["src/base/a.ts", `${"// words\n".repeat(11)}const a = 1;\n`]).length, 1);
});

test("headers: a short header, numbered invariants, an index and a test are no findings", () => {
  assert.deepEqual(
    planted(
      headerFindings,
      ["src/base/a.ts", "// What it is for.\nconst a = 1;\n"],
      ["bin/a.mjs", "#!/usr/bin/env node\n// What it is for.\nconst a = 1;\n"],
      ["src/base/b.ts", `// What it is for.\n//\n${"// T1. A rule.\n".repeat(12)}const a = 1;\n`],
      ["src/base/index.ts", 'export * from "./a.ts";\nexport { b } from "./b.ts";\n'],
      ["src/base/a.test.ts", "const a = 1;\n"],
    ),
    [],
  );
});

test("headers: a limit without a reason is reported", () => {
  const page = (rows: string): string[] =>
    planted(limitFindings, ["a.ts", `export const defaultLimits = {\n${rows}\n} as const;\n`]);
  assert.deepEqual(page("/** Why. */\nmaxA: 1,\nmaxB: 2,\n// Why.\nmaxC: 3,"), []);
  assert.deepEqual(page("maxA: 1,"), ["a.ts:2 a limit without a reason"]);
  assert.deepEqual(page("// Why.\nmaxA: 1,\nmaxB: 1,\nmaxC: 1,"), ["a.ts:5 a limit without a reason"]);
  assert.deepEqual(planted(limitFindings, ["a.ts", "const a = 1;"]), ["a.ts:1 has no limits"]);
});

test("headers: seeing no files is an error", () => {
  assert.throws(() => demand(headerFindings, []), /saw no files/);
  assert.throws(() => demand(limitFindings, []), /saw no files/);
});
