// Runs one group of the test files under node:test, on the Node that runs this file. The groups:
//
//   tidy   the house rules
//   unit   tests of the pure floors: they touch no process, file or socket, so all of them share one process
//   node   everything else: a process per file, two at a time
//
// A test beside the pure floors that imports a `node:` module other than node:test and node:assert belongs to `node`.

import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { modernNode, root } from "./bootstrap.mjs";

const pureFolders =
  /^src\/(base|host|wire|security|model|journal|rpc|cluster|shards|entities|topics|work|control|http|gateway|admin|node)\//;
const touchesTheWorld = /from "node:(?!test"|assert"|assert\/strict")/;

const groups = {
  tidy: { folders: ["tidy"], has: () => true, isolation: "none" },
  unit: { folders: ["src"], has: isPure, isolation: "none" },
  node: { folders: ["src", "test", "examples"], has: (path) => !isPure(path), isolation: "process" },
};

function isPure(path) {
  return pureFolders.test(path) && !touchesTheWorld.test(readFileSync(join(root, path), "utf8"));
}

const name = process.argv[2] ?? "";
const group = groups[name];
if (group === undefined) {
  process.stderr.write(`Which tests? One of: ${Object.keys(groups).join(", ")}\n`);
  process.exit(2);
}

const files = group.folders
  .flatMap((folder) => globSync(`${folder}/**/*.test.ts`, { cwd: root }))
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => group.has(path))
  .toSorted();
if (files.length === 0) {
  process.stderr.write(`No test files in group ${name}: a gate that sees nothing is red.\n`);
  process.exit(1);
}

// A test that hangs is reported by name after this long, instead of stopping everything behind it.
const patienceMs = 300_000;
const flags = [`--test-isolation=${group.isolation}`, `--test-timeout=${patienceMs}`, "--test-reporter=spec"];
if (group.isolation === "process") flags.push("--test-concurrency=2");
const run = spawnSync(modernNode(), ["--test", ...flags, ...process.argv.slice(3), ...files], {
  cwd: root,
  stdio: "inherit",
});
process.exit(run.status ?? 1);
