// Makes a fresh clone runnable with nothing but git, npm and any Node from 20 up: installs what package-lock.json names when
// node_modules does not hold it, and finds the Node 24 that comes with it. Old syntax on purpose: Node 20 runs this file.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { findNode, holdLifeline, isModern, runInstead } from "../bin/modern-node.mjs";

/** The folder of the repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

const packagesOf = (file) => JSON.parse(readFileSync(file, "utf8")).packages;

/**
 * Why `node_modules` does not hold what the lock file names; undefined when it does. npm leaves a record of what it
 * installed in `node_modules/.package-lock.json`; packages for other platforms are rightly absent from it.
 */
export function whyStale(folder) {
  const record = join(folder, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return "nothing is installed yet";
  const wanted = packagesOf(join(folder, "package-lock.json"));
  const present = packagesOf(record);
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "" || entry.link) continue;
    const found = present[path];
    if (found === undefined ? !entry.optional : found.version !== entry.version) {
      return `${path} ${found === undefined ? "is missing" : `is ${found.version}, not ${entry.version}`}`;
    }
    if (found !== undefined && !existsSync(join(folder, path, "package.json"))) return `${path} was removed`;
  }
  return undefined;
}

/** Installs what is missing; ends the process with a plain message when npm cannot. */
export function ensureInstalled() {
  const why = whyStale(root);
  if (why === undefined) return;
  process.stderr.write(`Installing dependencies (${why}) …\n`);
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  // Before Node 24 is there, npm would warn about every package that wants it.
  const args = ["ci", "--include=dev", "--engine-strict=false", "--no-audit", "--no-fund", "--loglevel=error"];
  const done = spawnSync(npm, args, { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (done.status === 0) return;
  process.stderr.write(`npm could not install the dependencies. To see why, run:\n\n  cd ${root} && npm ci\n`);
  process.exit(1);
}

/** A Node of 24 or newer: this one, or the one in node_modules; ends the process with what to run when there is neither. */
export function modernNode() {
  const node = isModern(process.version) ? process.execPath : findNode([root]);
  if (node !== undefined) return node;
  process.stderr.write(
    `Sheaf needs Node 24 or newer; this is ${process.version}, and the one that comes as a dev dependency did not install.\n` +
      `Its install script was probably blocked. Allow it once:\n\n` +
      `  cd ${root} && npm rebuild node --ignore-scripts=false --foreground-scripts\n`,
  );
  process.exit(1);
}

/** Goes on with a script of the repository on a Node that can run it, in this process when it is new enough itself. */
export async function goOnWith(script, args) {
  const node = modernNode();
  const path = join(root, script);
  if (node !== process.execPath) return runInstead(node, [path, ...args]);
  holdLifeline();
  process.argv = [process.execPath, path, ...args];
  await import(pathToFileURL(path).href);
}
