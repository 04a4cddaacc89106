#!/usr/bin/env node
// The `sheaf` command. Runs on any Node from 20 up: when this one is too old, it continues on the Node 24 that the project,
// or else this package, has in its node_modules. The command itself is src/cli/main.ts, in the package src/cli/main.js.

import { existsSync } from "node:fs";
import module from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findNode, holdLifeline, isModern, runInstead } from "./modern-node.mjs";

if (isModern(process.version)) {
  holdLifeline();
  module.enableCompileCache();
  const built = new URL("../src/cli/main.js", import.meta.url);
  const { main } = await import(existsSync(built) ? built.href : new URL("../src/cli/main.ts", import.meta.url).href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  const self = fileURLToPath(import.meta.url);
  const node = findNode([process.cwd(), fileURLToPath(new URL("..", import.meta.url))]);
  if (node === undefined) {
    process.stderr.write(
      `sheaf needs Node 24 or newer. This is ${process.version}, and no newer one is in node_modules here or above.\n` +
        `Add one to this project:\n\n` +
        `  npm pkg set allowScripts.node=true --json\n` +
        `  npm install --save-dev --save-exact node@24\n`,
    );
    process.exit(1);
  }
  runInstead(node, [self, ...process.argv.slice(2)]);
}
