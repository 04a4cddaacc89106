import assert from "node:assert/strict";
import test from "node:test";
import { nameFindings, whyNot } from "./names.ts";
import { demand, nodesOf, planted, readSources } from "./source.ts";

test("names: the sources use the words of the house and the parts of the language that erase", () => {
  demand(nameFindings, readSources());
});

test("names: each forbidden part of the language is reported", () => {
  for (const text of [
    "enum Colour { red }",
    "const enum Colour { red }",
    "namespace N { export const a = 1; }",
    "class A { constructor(private readonly a: number) {} }",
    "const a: any = 1;",
    "type A = Array<any>;",
    "function f(a: Record<string, any>): void {}",
    "export default 1;",
    "class A extends B {}",
    "const a = class extends B {};",
  ]) {
    assert.equal(planted(nameFindings, ["src/base/a.ts", text]).length, 1, text);
  }
});

test("names: what is allowed is no finding", () => {
  const text = `
    class A extends Error { readonly data: unknown; }
    declare global { const b: number }
    declare module "x" { const c: number }
    type Basement = { info: string }; // any
    const anyone = "any"; const iterate = 1; type Database = 1; type If = 2; type IO = 3;
  `;
  assert.deepEqual(planted(nameFindings, ["src/base/a.ts", text], ["examples/bank/app.ts", "export default 1;"]), []);
});

test("names: words that say nothing are reported wherever a name is declared", () => {
  for (const name of [
    "ShardManager",
    "ManagerOfShards",
    "NodeHelper",
    "StringUtils",
    "EngineImpl",
    "BaseEngine",
    "UserData",
    "NodeInfo",
    "IEngine",
  ]) {
    assert.notEqual(whyNot(name), undefined, name);
    for (const text of [
      `type ${name} = 1;`,
      `interface ${name} {}`,
      `export class ${name} {}`,
      `function ${name}() {}`,
      `export const ${name} = 1;`,
    ]) {
      assert.equal(planted(nameFindings, ["src/base/a.ts", text]).length, 1, text);
    }
  }
});

test("names: files are in kebab-case, at most two folders deep, and say something", () => {
  for (const path of [
    "src/base/someFile.ts",
    "src/base/Some.ts",
    "src/base/some_file.ts",
    "src/base/string-utils.ts",
    "src/utils/a.ts",
    "src/a/b/c/d.ts",
    "src/base/shard-manager.ts",
  ]) {
    assert.equal(planted(nameFindings, [path, ""]).length, 1, path);
  }
  assert.deepEqual(planted(nameFindings, ["src/base/some-file.test.ts", ""], ["src/engines/sqlite/writer.ts", ""]), []);
});

test("names: a test says what always holds, of what", () => {
  const found = (title: string): number =>
    planted(nameFindings, ["src/base/a.test.ts", `test("${title}", () => {});`]).length;
  assert.equal(found("codec: should round-trip"), 1);
  assert.equal(found("round-trips"), 1);
  assert.equal(found("codec: what is packed unpacks to itself"), 0);
});

test("names: every node of a tree is looked at", () => {
  const node = {
    type: "A",
    start: 0,
    end: 1,
    parts: [{ type: "B", start: 0, end: 1, part: { type: "C", start: 0, end: 1 } }],
  };
  assert.deepEqual(
    [...nodesOf(node)].map(({ type }) => type),
    ["A", "B", "C"],
  );
});

test("names: seeing no files is an error", () => {
  assert.throws(() => demand(nameFindings, []), /saw no files/);
});
