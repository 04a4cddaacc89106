// What stands between a fresh clone and the first line of the program: the install check, the search for a Node, and the
// process that steps aside for it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test, { after } from "node:test";
import { fileURLToPath } from "node:url";
import { findNode, isModern } from "../bin/modern-node.mjs";
import { whyStale } from "../scripts/bootstrap.mjs";

const home = realpathSync(mkdtempSync(join(tmpdir(), "sheaf-bootstrap-")));
after(() => rmSync(home, { recursive: true, force: true }));

function place(path: string, text: string): string {
  const whole = join(home, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, text);
  return whole;
}

const lockOf = (packages: object): string => JSON.stringify({ packages: { "": {}, ...packages } });
const a = { "node_modules/a": { version: "1.0.0" } };

test("install check: node_modules that hold what the lock names are current, without packages of other platforms", () => {
  place("whole/package-lock.json", lockOf({ ...a, "node_modules/b": { version: "2.0.0", optional: true } }));
  place("whole/node_modules/.package-lock.json", lockOf(a));
  place("whole/node_modules/a/package.json", "{}");
  assert.equal(whyStale(join(home, "whole")), undefined);
});

test("install check: nothing, too little, another version or a removed folder is told apart and called stale", () => {
  place("stale/package-lock.json", lockOf(a));
  const why = (): string | undefined => whyStale(join(home, "stale"));
  assert.equal(why(), "nothing is installed yet");
  place("stale/node_modules/.package-lock.json", lockOf({}));
  assert.equal(why(), "node_modules/a is missing");
  place("stale/node_modules/.package-lock.json", lockOf({ "node_modules/a": { version: "0.9.0" } }));
  assert.equal(why(), "node_modules/a is 0.9.0, not 1.0.0");
  place("stale/node_modules/.package-lock.json", lockOf(a));
  assert.equal(why(), "node_modules/a was removed");
});

test("Node search: versions from 24 up are new enough, whatever else is said", () => {
  assert.deepEqual(["v24.0.0", "v26.1.2", "24.0.0", "v100.0.0"].map(isModern), [true, true, true, true]);
  assert.deepEqual(["v20.20.2", "v23.9.9", "v2.4.0", "", "24"].map(isModern), [false, false, false, false, false]);
});

function placeNode(folder: string, script: string): string {
  const path = place(`${folder}/node_modules/.bin/node`, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test("Node search: the nearest that is new enough is found, past one that is too old or does not run", () => {
  const far = placeNode("search", "echo v24.3.0");
  placeNode("search/old", "echo v20.0.0");
  placeNode("search/old/broken", "exit 1");
  const near = placeNode("search/near", "echo v25.0.0");
  assert.equal(findNode([join(home, "search/old/broken/deep/er")]), far);
  assert.equal(findNode([join(home, "search/near")]), near);
  assert.equal(findNode([join(home, "search/old/broken"), join(home, "search/near")]), far);
  assert.equal(findNode([home]), undefined);
});

const shim = fileURLToPath(new URL("../bin/modern-node.mjs", import.meta.url));
const outer = `import { runInstead } from ${JSON.stringify(shim)}; runInstead(process.execPath, ["inner.mjs", process.argv[2]]);`;
const inner = `
import { holdLifeline } from ${JSON.stringify(shim)};
holdLifeline();
process.on("SIGTERM", () => { console.log("drained"); process.exit(6); });
if (process.argv[2] === "exit") process.exit(7);
if (process.argv[2] === "die") process.kill(process.pid, "SIGKILL");
console.log("ready", process.env.SHEAF_LIFELINE);
setInterval(() => {}, 1000);
`;

async function stepAside(what: string, signal?: NodeJS.Signals): Promise<{ end: unknown[]; said: string }> {
  place("aside/outer.mjs", outer);
  place("aside/inner.mjs", inner);
  const child = spawn(process.execPath, ["outer.mjs", what], {
    cwd: join(home, "aside"),
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (signal !== undefined && text.includes("ready")) child.kill(signal);
  });
  // The inner process holds the pipe too, so "close" comes only when both are gone.
  const end = (await once(child, "close")) as unknown[];
  return { end, said };
}

test("stepping aside: the exit code of the Node that took over is the exit code", async () => {
  assert.deepEqual((await stepAside("exit")).end, [7, null]);
});

test("stepping aside: a signal reaches the Node that took over, which may end in good order", async () => {
  assert.deepEqual(await stepAside("wait", "SIGTERM"), { end: [6, null], said: "ready undefined\ndrained\n" });
});

test("stepping aside: death by a signal is passed on as death by that signal", async () => {
  assert.deepEqual((await stepAside("die")).end, [null, "SIGKILL"]);
});

test("stepping aside: when the first process is killed without warning, the second ends in good order", async () => {
  assert.deepEqual(await stepAside("wait", "SIGKILL"), { end: [null, "SIGKILL"], said: "ready undefined\ndrained\n" });
});
