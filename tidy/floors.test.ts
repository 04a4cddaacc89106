import assert from "node:assert/strict";
import test from "node:test";
import { cycleFindings, floorFindings } from "./floors.ts";
import { demand, planted, readSources } from "./source.ts";

test("floors: every import of the sources goes down, by the front door", () => {
  demand(floorFindings, readSources(["src"]));
});

test("floors: the sources have no cycle, types included", () => {
  demand(cycleFindings, readSources(["src"]));
});

const says = (pattern: RegExp, path: string, text: string): void => {
  const found = planted(floorFindings, [path, text]);
  assert.equal(found.length, 1, `${path}: ${text} gave ${JSON.stringify(found)}`);
  assert.match(found[0] ?? "", pattern);
};

test("floors: an upward import is reported in every form an import takes", () => {
  for (const text of [
    'import { x } from "../shards/index.ts";',
    'import type { X } from "../shards/index.ts";',
    'import "../shards/index.ts";',
    'export * from "../shards/index.ts";',
    'export type { X } from "../shards/index.ts";',
    'type X = import("../shards/index.ts").X;',
    'const x = await import("../shards/index.ts");',
  ]) {
    says(/journal may not import shards/, "src/journal/planted.ts", text);
  }
});

test("floors: neighbours on one floor do not import each other", () => {
  says(/rpc may not import cluster/, "src/rpc/planted.ts", 'import { x } from "../cluster/index.ts";');
  says(/gateway may not import admin/, "src/gateway/planted.ts", 'import { x } from "../admin/index.ts";');
  says(/may not import \./, "src/client.ts", 'export { x } from "./index.ts";');
});

test("floors: a folder is entered by its index", () => {
  says(/by units.ts instead/, "src/host/planted.ts", 'import { x } from "../base/units.ts";');
});

test("floors: a folder without a floor, a way out of src and an import of the package itself are reported", () => {
  says(/src\/attic has no floor/, "src/attic/planted.ts", 'import { x } from "../base/index.ts";');
  says(/src\/attic has no floor/, "src/cli/planted.ts", 'import { x } from "../attic/index.ts";');
  says(/reaches out of src/, "src/base/planted.ts", 'import { x } from "../../tidy/source.ts";');
  says(/the package it is part of/, "src/base/planted.ts", 'import { x } from "sheaf/client";');
});

test("floors: imports that go down, stay at home or belong to a test are no findings", () => {
  assert.deepEqual(
    planted(
      floorFindings,
      ["src/gateway/a.ts", 'import { x } from "../http/index.ts"; import "./b.ts"; // from "../cli/index.ts"'],
      ["src/base/a.test.ts", 'import { x } from "../cli/main.ts";'],
      ["src/testing.ts", 'export { kit } from "./journal/contract.ts"; export const s = `import "./cli/main.ts"`;'],
    ),
    [],
  );
});

test("floors: a cycle of three files is reported, also when only types go round", () => {
  const found = planted(
    cycleFindings,
    ["src/rpc/a.ts", 'import { b } from "./b.ts";'],
    ["src/rpc/b.ts", 'export * from "./c.ts";'],
    ["src/rpc/c.ts", 'import type { A } from "./a.ts";'],
  );
  assert.deepEqual(found, ["src/rpc/c.ts:1 closes a cycle: src/rpc/a.ts > src/rpc/b.ts > src/rpc/c.ts > src/rpc/a.ts"]);
});

test("floors: seeing no files is an error", () => {
  assert.throws(() => demand(floorFindings, []), /saw no files/);
  assert.throws(() => demand(cycleFindings, []), /saw no files/);
});
