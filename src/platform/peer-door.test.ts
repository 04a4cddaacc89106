// What a listener says of those whom it refuses.

import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import type { Log } from "../host/index.ts";
import { Door } from "./peer-door.ts";

test("peer door: refusals while a cluster forms are no warnings; those that go on are, with how many there were", () => {
  let now = 5_000;
  const said: string[] = [];
  const note =
    (level: string): Log["warn"] =>
    (message, fields) =>
      void said.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const log: Log = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
  const clock = { now: () => now, tick: () => now, after: () => ({ cancel() {} }), turn() {} };
  const door = new Door({ maxStrangers: 1, maxPeers: 1, strangerMs: 1_000, world: { clock, log } });
  const refuse = (at: number): string[] => {
    now = at;
    door.refused(new Socket(), "no certificate was shown");
    return said.splice(0);
  };
  assert.match(refuse(5_100).join(), /^debug peer refused .*no certificate was shown/);
  assert.match(refuse(14_999).join(), /^debug/);
  assert.match(refuse(15_000).join(), /^warn peer refused .*"count":3/);
  assert.deepEqual(refuse(15_100), [], "once a second at most");
  assert.match(refuse(16_100).join(), /^warn peer refused .*"count":2/);
});
