// Guarantees of the audit of messages and timers: each thing that may be wrong with them is found in journals made by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Commit, Decoded, Message, Note, Work } from "../journal/index.ts";
import { checkLanes, WorkAudit } from "./work-audit.ts";

const first = 2 ** 20 + 1;
const message = (key: string, n = 0): Message => ({
  type: "t",
  key,
  command: "do",
  input: new Uint8Array([n]),
  by: [],
});
const commit = (work: Partial<Work>): Commit => ({
  type: "t",
  key: "k",
  version: 1,
  state: new Uint8Array([1]),
  schema: 1,
  command: "do",
  principal: "p",
  events: [],
  op: undefined,
  work: { messages: [], timers: [], ...work },
});
const hash = new Uint8Array(32);

/** The journal of a shard, one record for each step. */
function journal(shard: number, ...steps: readonly (Commit | Note)[]): WorkAudit {
  const audit = new WorkAudit(shard);
  steps.forEach((step, i) => {
    const header = { cluster: "c", shard, generation: 1, epoch: 1, seq: i + 1, prev: hash, at: 100 + i };
    const payload = "kind" in step ? { commits: [], notes: [step] } : { commits: [step] };
    audit.apply({ header, payload: { kind: "batch", ...payload }, hash } satisfies Decoded);
  });
  return audit;
}
const accepted = (after: number, at: number, ...messages: Message[]): Note => ({
  kind: "accepted",
  from: 1,
  after,
  first: at,
  messages,
});
const done = (task: string): Note => ({ kind: "done", task });
const says = (audit: WorkAudit, what: RegExp): void => assert.match(audit.problems.join("; "), what);
const timer = (due: number | undefined) => ({
  name: "x",
  ...(due !== undefined && { due }),
  command: "do",
  input: new Uint8Array(0),
  by: [],
});

test("work audit: B1 what is accepted twice, or over a gap, is found", () => {
  const sound = [accepted(0, first, message("a")), accepted(first, first + 1, message("a"))];
  assert.deepEqual(journal(0, ...sound).problems, []);
  says(journal(0, sound[0]!, sound[0]!), /accepted again/);
  says(journal(0, sound[0]!, accepted(first + 1, first + 2, message("a"))), /do not continue its lane/);
});

test("work audit: B2 B3 what is done twice, too early, or out of order is found", () => {
  const come = accepted(0, first, message("a"), message("a"));
  const [one, other] = [`m1.${first}`, `m1.${first + 1}`];
  assert.deepEqual(journal(0, come, done(one), done(other)).problems, []);
  says(journal(0, come, done(one), done(one)), /is done and is not there/);
  says(journal(0, come, done(other)), /carried out before/);
  assert.deepEqual(journal(0, commit({ timers: [timer(101)] }), commit({ done: "tx@1" })).problems, []);
  says(journal(0, commit({ timers: [timer(102)] }), commit({ done: "tx@1" })), /1 ms before it was due/);
  says(journal(0, commit({ timers: [timer(101), timer(undefined)] }), commit({ done: "tx@1" })), /is not there/);
});

test("work audit: B4 what was never sent, sent otherwise, or acknowledged before it came is found", () => {
  const sent = commit({ messages: [{ to: 0, ...message("a", 1) }] });
  const lanes = (receiver: readonly Note[], ...acknowledged: Note[]): string =>
    checkLanes([journal(0, ...receiver), journal(1, sent, ...acknowledged)]).join("; ");
  const told: Note = { kind: "acknowledged", to: 0, through: first };
  assert.equal(lanes([accepted(0, first, message("a", 1))], told), "");
  assert.match(lanes([], told), /acknowledged to/);
  assert.match(lanes([accepted(0, first, message("a", 2))]), /as another than was sent/);
  assert.match(lanes([accepted(0, first, message("a", 1), message("a", 1))]), /never sent/);
});
