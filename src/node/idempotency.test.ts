// Exactly once, through deadlines, cancelled callers, nested calls and forgotten keys.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type SheafError } from "../base/index.ts";
import type { Call } from "../rpc/index.ts";
import { code, world } from "./world.fixture.ts";

const chosen = (id: string) => ({ id, issuedAt: undefined });

test("idempotency: A2 a repeat joins a commit that outlived its caller's deadline, and the effect is there once", async () => {
  let hang = false;
  const w = await world({
    decide: ({ kind }) => (hang && kind === "append" ? { kind: "hang", ms: 400 } : { kind: "ok" }),
  });
  await w.ask("a", "add", 1);
  hang = true;
  for (const op of [chosen("k"), { id: "client.1", issuedAt: 1 }]) {
    await assert.rejects(
      w.ask("a", "add", 5, { op, deadline: w.host.clock.tick() + 100 }),
      code("DEADLINE", "unknown"),
    );
    const again = await w.ask("a", "add", 5, { op });
    assert.equal(again.replayed, true);
  }
  hang = false;
  assert.equal((await w.ask("a", "get")).output, 11);
});

test("idempotency: A2 a repeat joins a commit whose caller gave up", async () => {
  let hang = false;
  const w = await world({
    decide: ({ kind }) => (hang && kind === "append" ? { kind: "hang", ms: 400 } : { kind: "ok" }),
  });
  await w.ask("a", "add", 1);
  hang = true;
  const caller = new AbortController();
  const given = w.send("a", "add", 5, { op: chosen("k"), signal: caller.signal });
  await Promise.all([
    w.pass(100),
    assert.rejects(given, code("CANCELLED", "unknown")),
    Promise.resolve().then(() => w.host.clock.after(50, () => caller.abort())),
  ]);
  const again = await w.ask("a", "add", 5, { op: chosen("k") });
  assert.deepEqual([again.output, again.replayed], [6, true]);
  assert.equal((await w.ask("a", "get")).output, 6);
});

test("idempotency: a key that looks like the end of another operation's name names its own", async () => {
  const w = await world({ shards: 1 });
  const of = (id: string): Call["principal"] => ({ id, roles: [] });
  const one = { principal: of("p\ncounter/a/add\nx"), op: chosen("y") };
  const other = { principal: of("p"), op: chosen("x\ncounter/a/add\ny") };
  assert.equal((await w.ask("a", "add", 1, one)).output, 1);
  const second = await w.ask("a", "add", 1, other);
  assert.deepEqual([second.output, second.replayed], [2, undefined]);
});

test("idempotency: one key on two commands names two operations, inside them too", async () => {
  const w = await world();
  assert.equal((await w.ask("a", "relay", { to: "b", n: 3 }, { op: chosen("k") })).output, 3);
  assert.equal((await w.ask("c", "relay", { to: "b", n: 3 }, { op: chosen("k") })).output, 6);
  assert.equal((await w.ask("b", "get")).output, 6);
});

test("idempotency: the longest key is long enough for the calls inside", async () => {
  const w = await world();
  const op = chosen("k".repeat(256));
  assert.equal((await w.ask("a", "relay", { to: "b", n: 3 }, { op })).output, 3);
  assert.equal((await w.ask("a", "relay", { to: "b", n: 3 }, { op })).replayed, true);
  await assert.rejects(w.ask("a", "add", 3, { op: chosen("k".repeat(257)) }), code("BAD_INPUT"));
});

test("idempotency: O1 a full memory takes new keys again once the window has passed, whatever else happens", async () => {
  const w = await world({ shards: 1, limits: { maxIdempotencyKeys: 2, idempotencyWindowMs: 5000 } });
  for (const id of ["a", "b"]) await w.ask("a", "add", 1, { op: chosen(id) });
  await assert.rejects(w.ask("a", "add", 1, { op: chosen("c") }), code("IDEMPOTENCY_FULL", "not-applied"));
  await w.pass(6000);
  assert.equal((await w.ask("a", "add", 1, { op: chosen("c") })).output, 3);
});

test("idempotency: a key that is used again after its window is remembered through a restart", async () => {
  const w = await world({ shards: 1, limits: { idempotencyWindowMs: 5000, saveEveryMs: 1000 } });
  await w.ask("a", "add", 1, { op: chosen("daily") });
  await w.pass(7300);
  await w.ask("a", "add", 1);
  assert.equal((await w.ask("a", "add", 1, { op: chosen("daily") })).output, 3);
  await w.pass(2000);
  w.host.kill();
  const next = await world({ from: w });
  assert.equal((await next.ask("a", "add", 1, { op: chosen("daily") })).replayed, true);
});

test("idempotency: callers who joined hear of a refusal, too", async () => {
  const w = await world();
  const op = chosen("k");
  const both = await w.run(
    Promise.allSettled([w.send("a", "refuse", undefined, { op }), w.send("a", "refuse", undefined, { op })]),
  );
  for (const one of both)
    assert.ok(one.status === "rejected" && code("DECLARED", "not-applied")(one.reason as SheafError));
});
