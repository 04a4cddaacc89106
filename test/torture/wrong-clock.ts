// Loaded into a node by `--import` before anything else: its wall clock is what a file says (`settable-clock.ts`).

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { aheadOf, clockFile, seenBeside, type Setting } from "./settable-clock.ts";
import { ticks } from "./timers.ts";

/** How old what is known of the file may be. */
const lookMs = 20;

const file = process.env[clockFile];
if (file === undefined) throw new Error(`${clockFile} names no file`);
const right = Date.now.bind(Date);
let text = "";
let setting: Setting = { offsetMs: 0, rate: 1, since: 0 };
let lookedAt = -Infinity;

function look(): void {
  lookedAt = ticks();
  const found = readFileSync(file!, "utf8");
  if (found === text) return;
  text = found;
  setting = JSON.parse(found) as Setting;
  if (isMainThread) writeFileSync(seenBeside(file!), text);
}

Date.now = () => {
  if (ticks() - lookedAt > lookMs) look();
  return Math.floor(right() + aheadOf(setting));
};
