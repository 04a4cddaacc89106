// What `sheaf doctor` makes of what nodes tell of subscriptions, messages and dead letters.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Backlog, GroupView } from "../admin/index.ts";
import { backlogFindings, groupFindings } from "./doctor-node.ts";
import type { Finding } from "./findings.ts";

const group = (facts: Partial<GroupView> = {}): GroupView => ({
  group: "ship",
  topic: "orders",
  kind: "subscription",
  lag: 0,
  atLeast: false,
  lagMs: 0,
  batch: null,
  consumers: [],
  concurrency: null,
  state: "open",
  stuck: [],
  ...facts,
});
const still = { shard: 3, event: "orders/3/7", since: 0, cause: "HANDLER_FAILED: boom" };
const shard = (facts: Partial<Backlog> = {}): Backlog => ({
  shard: 0,
  tasks: 1,
  deadLetters: 0,
  outgoing: 0,
  outgoingMs: 0,
  lateMs: 0,
  ...facts,
});

/** As `state check: found`. What is not well says why, and what to do. */
function says(findings: readonly Finding[]): string[] {
  for (const one of findings)
    assert.equal(one.state === "ok", one.fix === null && one.why === null, `${one.check}: says why and what to do`);
  return findings.map(({ state, check, found }) => `${state} ${check}: ${found}`);
}

test("doctor: each subscription that stands still is named, with the event and why; one that is behind or paused is not", () => {
  assert.deepEqual(says(groupFindings([])), []);
  const well = [group(), group({ lag: 5000, lagMs: 3_600_000 }), group({ state: "paused", lag: 9 })];
  assert.deepEqual(says(groupFindings(well)), ["ok subscriptions: none stands still"]);
  const elsewhere = { ...still, shard: 9, event: "" };
  const stuck = [...well, group({ stuck: [still, elsewhere] }), group({ group: "count", stuck: [elsewhere] })];
  assert.deepEqual(says(groupFindings(stuck)), [
    "warn subscriptions: ship stands still at orders/3/7: HANDLER_FAILED: boom",
    "warn subscriptions: count stands still at shard 9: HANDLER_FAILED: boom",
  ]);
});

test("doctor: dead letters, messages that wait for long and tasks that are late are found", () => {
  assert.deepEqual(says(backlogFindings([shard({ outgoingMs: 59_000, lateMs: 59_000 })])), [
    "ok dead letters: none",
    "ok messages: none waits for long",
  ]);
  const odd = [shard({ deadLetters: 2 }), shard({ deadLetters: 1, outgoingMs: 61_000 }), shard({ lateMs: 90_000 })];
  assert.deepEqual(says(backlogFindings(odd)), [
    "warn dead letters: 3",
    "warn messages: one has been on its way for 61 s",
    "warn messages: one was due 90 s ago",
  ]);
});
