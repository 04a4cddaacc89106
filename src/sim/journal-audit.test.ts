// Guarantees of the journal audit: a sound journal passes, and each kind of damage is named.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Commit, Decoded, SnapshotName } from "../journal/index.ts";
import { toHex } from "../base/index.ts";
import { judgeRecords } from "./journal-audit.ts";

const hashOf = (seq: number): Uint8Array => new Uint8Array(32).fill(seq);
const commit = (version: number, op?: string): Commit => ({
  type: "t",
  key: "k",
  version,
  state: Uint8Array.of(version),
  schema: 1,
  command: "c",
  principal: "p",
  events: [],
  op:
    op === undefined
      ? undefined
      : { id: op, fingerprint: new Uint8Array(16), issuedAt: undefined, settled: undefined, reply: new Uint8Array(0) },
});
const record = (seq: number, epoch: number, payload: Decoded["payload"]): Decoded => ({
  header: { cluster: "0".repeat(32), shard: 0, generation: 1, epoch, seq, prev: hashOf(seq - 1), at: seq },
  payload,
  hash: hashOf(seq),
});
const claim = (seq: number, epoch: number): Decoded => record(seq, epoch, { kind: "claim", node: "n" });
const batch = (seq: number, epoch: number, ...commits: Commit[]): Decoded =>
  record(seq, epoch, { kind: "batch", commits });
const sound = [claim(1, 1), batch(2, 1, commit(1, "a"), commit(2)), claim(3, 2), batch(4, 2, commit(3, "b"))];

test("audit: a sound journal has no problems, and folds to the newest state", () => {
  const audit = judgeRecords(0, sound);
  assert.deepEqual(audit.problems, []);
  assert.deepEqual([audit.records, audit.claims, audit.epoch, audit.head, audit.voided], [4, 2, 2, 4, 0]);
  assert.deepEqual(audit.entities.get("t k")?.version, 3);
});

test("audit: a record of an owner that had been replaced is void: counted, and not folded (A1)", () => {
  const audit = judgeRecords(0, [...sound, batch(5, 1, commit(4))]);
  assert.deepEqual([audit.problems, audit.voided, audit.entities.get("t k")?.version], [[], 1, 3]);
});

test("audit: a void record stays void where all before it was trimmed (A1)", () => {
  const trimmed = batch(5, 1, commit(1));
  const taken: SnapshotName = { shard: 0, generation: 1, epoch: 2, seq: 5, hash: toHex(hashOf(5)) };
  const audit = judgeRecords(0, [trimmed, batch(6, 2, commit(4))], [taken]);
  assert.deepEqual([audit.problems, audit.voided, audit.entities.get("t k")?.version], [[], 1, 4]);
});

test("audit: holes, broken chains and doubled operations are found (A1, A2)", () => {
  const problems = (records: readonly Decoded[]): string => judgeRecords(0, records).problems.join("; ");
  assert.match(problems(sound.filter((one) => one.header.seq !== 3)), /record 4 follows record 2/);
  assert.match(
    problems([claim(1, 1), { ...claim(2, 1), header: { ...claim(2, 1).header, prev: hashOf(9) } }]),
    /does not name the hash/,
  );
  assert.match(problems([...sound, batch(5, 2, commit(4, "a"))]), /operation a took effect at 2 and again at 5/);
  assert.match(problems([...sound, batch(5, 2, commit(5))]), /goes from version 3 to 5/);
});

test("audit: what was trimmed must be covered by a snapshot, of the record that the journal has", () => {
  const rest = sound.slice(2);
  const snapshot = (seq: number, hash = hashOf(seq)): SnapshotName => ({
    shard: 0,
    generation: 1,
    epoch: 1,
    seq,
    hash: toHex(hash),
  });
  assert.match(judgeRecords(0, rest).problems.join(), /no snapshot stands for them/);
  assert.deepEqual(judgeRecords(0, rest, [snapshot(2)]).problems, []);
  assert.deepEqual(judgeRecords(0, rest, [snapshot(3)]).problems, []);
  assert.match(judgeRecords(0, rest, [snapshot(3, hashOf(7))]).problems.join(), /of another record/);
});
