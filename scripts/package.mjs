// Whether the package is what it says: every door resolves, with types, for those who import it as a module.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { modernNode, root } from "./bootstrap.mjs";

const steps = [
  ["scripts/build.mjs"],
  ["node_modules/publint/src/cli.js", "dist", "--strict", "--pack", "npm"],
  ["node_modules/@arethetypeswrong/cli/dist/index.js", "--pack", "dist", "--profile", "esm-only", "--no-emoji"],
];
for (const step of steps) {
  const done = spawnSync(modernNode(), step, { cwd: root, stdio: "inherit" });
  if (done.status !== 0) process.exit(done.status ?? 1);
}
const { exports } = JSON.parse(readFileSync(join(root, "dist", "package.json"), "utf8"));
process.stdout.write(`package has ${Object.keys(exports).length - 1} doors\n`);
