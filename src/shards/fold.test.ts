import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLimits } from "../base/index.ts";
import type { Commit, Decoded, Payload } from "../journal/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { Fold } from "./fold.ts";
import type { Cell } from "./store.ts";

const limits = checkLimits({ maxHotEntities: 10 });
const bytes = (n: number): Uint8Array => new Uint8Array([n]);
const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n);

function commit(key: string, version: number, op?: string): Commit {
  const remembered =
    op === undefined
      ? undefined
      : { id: op, fingerprint: bytes(0), issuedAt: undefined, settled: undefined, reply: bytes(version) };
  return {
    type: "t",
    key,
    version,
    state: bytes(version),
    schema: 1,
    command: "c",
    principal: "p",
    events: [],
    op: remembered,
  };
}

function record(fold: Fold, payload: Payload, epoch = 1, at = 100): Decoded {
  const seq = fold.seq + 1;
  return {
    header: { cluster: "", shard: 0, generation: 1, epoch, seq, prev: fold.hash, at },
    payload,
    hash: hash(seq),
  };
}

const batch = (...commits: Commit[]): Payload => ({ kind: "batch", commits });
const cellOf = (key: string, version: number): Cell => ({ type: "t", key, version, schema: 1, state: bytes(version) });

test("fold: D1 what an owner assumes beyond the journal is in no durable value, position or save", () => {
  const fold = new Fold(0, limits);
  fold.apply(record(fold, batch(commit("a", 1))));
  const hot = fold.warm("t", "a", undefined);
  hot.ahead = { version: 2, schema: 1, state: bytes(2) };
  hot.pending = 1;
  const changes = fold.drain();
  assert.deepEqual(changes?.cells, [cellOf("a", 1)]);
  assert.equal(changes?.position.seq, 1);
});

test("fold: D1 a voided record moves the chain and changes nothing else (F3)", () => {
  const fold = new Fold(0, limits);
  fold.apply(record(fold, batch(commit("a", 1, "kept")), 5));
  fold.pass(record(fold, batch(commit("a", 2, "op")), 3, 100 + 2 * limits.idempotencyWindowMs));
  assert.deepEqual([fold.seq, fold.epoch, fold.at, fold.voided], [2, 5, 100, 1]);
  assert.ok(fold.operations.find("kept", undefined), "an owner that was replaced does not make keys expire");
  assert.equal(fold.peek("t", "a")?.durable?.version, 1);
  assert.equal(fold.operations.find("op", undefined), undefined);
});

test("fold: D1 the owner's own way and the reader's way end in the same fold", () => {
  const [own, read] = [new Fold(0, limits), new Fold(0, limits)];
  const made = commit("a", 1, "op");
  const value = { version: 1, schema: 1, state: bytes(1) };
  own.applyOwn(record(own, batch(made)), [{ hot: own.warm("t", "a", undefined), value, commit: made }]);
  read.apply(record(read, batch(made)));
  assert.deepEqual(own.drain(), read.drain());
});

test("fold: D2 a cell that is not saved, being saved, pending or awaited stays in memory however full it is", () => {
  const fold = new Fold(0, limits);
  const fill = (name: string): void => {
    for (let i = 0; i < 40; i++) fold.warm("t", `${name}${i}`, undefined);
  };
  for (const key of ["dirty", "saved", "pending", "awaited"]) fold.apply(record(fold, batch(commit(key, 1))));
  const at = (key: string) => fold.warm("t", key, undefined);
  const changes = fold.drain();
  assert.ok(changes);
  fill("a");
  assert.equal(at("saved").durable?.version, 1, "held while the save is under way");
  fold.saved(changes);
  fold.apply(record(fold, batch(commit("dirty", 2))));
  at("pending").pending = 1;
  at("awaited").mailbox = {};
  const rested = at("saved");
  fill("b");
  fill("c");
  assert.equal(at("dirty").durable?.version, 2);
  assert.equal(at("pending").durable?.version, 1);
  assert.equal(at("awaited").durable?.version, 1);
  assert.equal(rested.fold, undefined, "what rests knows it");
  assert.equal(at("saved").durable, undefined, "what is saved and idle may rest");
  assert.ok(fold.size <= 25);
});

test("fold: D2 what a failed save was given is kept and handed over again, as it then is", () => {
  const fold = new Fold(0, limits);
  fold.apply(record(fold, batch(commit("a", 1), commit("b", 1))));
  const first = fold.drain();
  assert.ok(first);
  fold.apply(record(fold, batch(commit("a", 2))));
  fold.unsaved(first);
  const again = fold.drain();
  assert.deepEqual(
    again?.cells.toSorted((x, y) => (x.key < y.key ? -1 : 1)),
    [cellOf("a", 2), cellOf("b", 1)],
  );
  assert.equal(again?.position.seq, 2);
  assert.equal(fold.drain(), undefined);
});

test("fold: a fold restored from its position goes on as the one it was saved from", () => {
  const fold = new Fold(0, limits);
  fold.apply(record(fold, batch(commit("a", 1, "op"))));
  fold.apply(record(fold, { kind: "park", id: "x#1", reason: "crashes", parked: true }));
  const changes = fold.drain();
  assert.ok(changes);
  const next = new Fold(0, limits);
  next.restore(changes.position, changes.ops);
  assert.deepEqual(next.position(), fold.position());
  assert.equal(next.operations.find("op", undefined)?.version, 1);
  assert.equal(next.parked.get("x#1")?.reason, "crashes");
});

test("fold: what was seen of an earlier generation is there up to its base, also after a restart (F8)", () => {
  const raise = (fold: Fold, generation: number): void => {
    const { header, hash: own } = record(fold, { kind: "noop" }, fold.epoch + 1);
    const payload: Payload = { kind: "generation", was: fold.generation, why: "restored" };
    fold.apply({ header: { ...header, generation }, payload, hash: own });
  };
  const first = new Fold(0, limits);
  for (let version = 1; version <= 3; version++) first.apply(record(first, batch(commit("a", version))));
  raise(first, 40);
  const changes = first.drain();
  assert.ok(changes);
  const again = new Fold(0, limits);
  again.restore(changes.position, changes.ops);
  for (const fold of [first, again]) {
    const reached = [
      fold.reaches(1, 3),
      fold.reaches(1, 4),
      fold.reaches(2, 1),
      fold.reaches(40, 4),
      fold.reaches(40, 5),
    ];
    assert.deepEqual(reached, [true, false, false, true, false]);
    raise(fold, 90);
    assert.deepEqual([fold.reaches(1, 3), fold.reaches(40, 4), fold.reaches(40, 5)], [true, true, false]);
  }
});

test("fold: a log ends with its last event when its journal was restored, and numbers the next one anew (G1)", () => {
  const fold = new Fold(0, limits);
  const event: Payload = {
    kind: "batch",
    commits: [],
    notes: [{ kind: "published", topic: "orders", key: "k", events: [{ schema: 1, value: bytes(1) }] }],
  };
  fold.apply(record(fold, event));
  const { last } = fold.logs.of("orders");
  const restored = record(fold, { kind: "generation", was: 1, why: "restored" });
  fold.apply({ ...restored, header: { ...restored.header, generation: 40 } });
  assert.equal(fold.logs.of("orders").last, last, "who has read it has nothing before him");
  const next = record(fold, event);
  fold.apply({ ...next, header: { ...next.header, generation: 40 } });
  assert.ok(fold.logs.of("orders").last > 40 * 2 ** 20);
});

test("fold: who reads it has seen all up to its place, and what its writers had seen elsewhere, also after a restart", () => {
  const fold = new Fold(0, limits);
  assert.deepEqual(fold.seen, [], "nothing was journaled");
  const caused = (...causes: number[]): Payload => ({ kind: "batch", commits: [commit("a", fold.seq + 1)], causes });
  fold.apply(record(fold, caused(3, 1, 5)));
  fold.apply(record(fold, batch(commit("b", 1))));
  fold.apply(record(fold, caused(2, 1, 8, 3, 1, 7)));
  assert.deepEqual(fold.seen, [0, 1, 3, 2, 1, 8, 3, 1, 7]);
  fold.pass(record(fold, caused(4, 1, 9), 0));
  assert.deepEqual(fold.seen, [0, 1, 4, 2, 1, 8, 3, 1, 7], "a voided record caused nothing");
  const changes = fold.drain();
  assert.ok(changes);
  const next = new Fold(0, limits);
  next.restore(changes.position, changes.ops);
  assert.deepEqual(next.seen, fold.seen);
  next.applyOwn(record(next, caused(4, 1, 1)), []);
  assert.deepEqual(next.seen, [0, 1, 5, 2, 1, 8, 3, 1, 7, 4, 1, 1]);
});

test("fold: what writers had seen before an operator accepted loss is asked of nobody", () => {
  const fold = new Fold(0, limits);
  fold.apply(record(fold, { kind: "batch", commits: [commit("a", 1)], causes: [3, 1, 5] }));
  const { header, hash: own } = record(fold, { kind: "noop" }, 2);
  fold.apply({
    header: { ...header, generation: 2 },
    payload: { kind: "generation", was: 1, why: "restored" },
    hash: own,
  });
  assert.deepEqual(fold.seen, [0, 2, 2]);
  // Nor what a session from before it brings along. Earlier builds journaled that, and kept it.
  const brought: Payload = { kind: "batch", commits: [commit("a", 2)], causes: [3, 1, 5, 4, 2, 7] };
  const later = record(fold, brought, 2);
  fold.apply({ ...later, header: { ...later.header, generation: 2 } });
  assert.deepEqual(fold.seen, [0, 2, 3, 4, 2, 7]);
  const again = new Fold(0, limits);
  const { extra, ...place } = fold.position();
  const memo = unpack(extra) as Record<string, unknown>;
  again.restore({ ...place, extra: pack({ ...memo, causes: [3, 1, 5, 4, 2, 7] }) }, []);
  assert.deepEqual(again.seen, fold.seen);
});
