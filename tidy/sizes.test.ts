import assert from "node:assert/strict";
import test from "node:test";
import { sizeFindings, spread } from "./sizes.ts";
import { demand, planted, readSources } from "./source.ts";

test("sizes: no file is over 500 lines without a reason, no function over 70", (t) => {
  const sources = readSources();
  const { files, median, p90 } = spread(readSources(["src"]));
  t.diagnostic(`src: ${files} files, median ${median} lines, p90 ${p90}`);
  demand(sizeFindings, sources);
});

const lines = (count: number): string => "a();\n".repeat(count);

test("sizes: a long file is reported unless its header says why", () => {
  assert.deepEqual(planted(sizeFindings, ["src/a.ts", lines(501)]), ["src/a.ts:1 is 501 lines long, over 500"]);
  assert.deepEqual(planted(sizeFindings, ["src/a.test.ts", lines(501)]), [
    "src/a.test.ts:1 is 501 lines long, over 500",
  ]);
  assert.deepEqual(
    planted(sizeFindings, ["src/a.ts", `// One table.\n// Long because: it is data.\n${lines(501)}`]),
    [],
  );
  assert.deepEqual(planted(sizeFindings, ["src/a.ts", lines(500)]), []);
});

test("sizes: a long function is reported in each form, and its inner functions are not charged to it", () => {
  const body = lines(69);
  for (const text of [`function f() {\n${body}}`, `const f = () => {\n${body}};`, `class A {\n  m() {\n${body}}\n}`]) {
    assert.equal(planted(sizeFindings, ["src/a.ts", text]).length, 1, text.slice(0, 20));
    assert.equal(planted(sizeFindings, ["src/a.test.ts", text]).length, 0, text.slice(0, 20));
  }
  const inner = `const g = () => {\n${lines(40)}};\n`;
  assert.deepEqual(planted(sizeFindings, ["src/a.ts", `function f() {\n${inner}${inner}${lines(20)}}`]), []);
});

test("sizes: seeing no files is an error", () => {
  assert.throws(() => demand(sizeFindings, []), /saw no files/);
});
