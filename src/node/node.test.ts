// What a node promises its callers, on the memory engine and virtual time.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { SheafError } from "../base/index.ts";
import { memoryDisk, memoryEngine } from "../journal/index.ts";
import { memoryStore } from "../shards/index.ts";
import { bomb, code, world, type World } from "./world.fixture.ts";

test("node: commands change state one after another, and queries see it", async () => {
  const w = await world();
  assert.deepEqual((await w.ask("a", "add", 2)).output, 2);
  const both = await w.run(Promise.all([w.send("a", "add", 1), w.send("a", "add", 1)]));
  assert.deepEqual(
    both.map((r) => [r.output, r.version]),
    [
      [3, 2],
      [4, 3],
    ],
  );
  assert.equal((await w.ask("a", "get")).output, 4);
  assert.equal((await w.ask("b", "get")).output, 0);
});

test("node: a refusal, a throw and a bad input change nothing and say so", async () => {
  const w = await world();
  await w.ask("a", "add", 2);
  await assert.rejects(
    w.ask("a", "refuse"),
    (e: SheafError) => e.code === "DECLARED" && e.error === "NO" && (e.data as { n: number }).n === 1,
  );
  await assert.rejects(w.ask("a", "explode"), code("HANDLER_FAILED", "not-applied"));
  await assert.rejects(w.ask("a", "add", "x"), code("BAD_INPUT", "not-applied"));
  await assert.rejects(w.ask("a", "nothing"), code("UNKNOWN_TARGET"));
  assert.equal((await w.ask("a", "get")).output, 2);
});

test("node: E3 unchanged state writes no record", async () => {
  const w = await world();
  await w.ask("a", "add", 2);
  const before = (await w.run(w.node.status())).shards.map((s) => s.head);
  assert.equal((await w.ask("a", "add", 0)).version, 1);
  assert.deepEqual(
    (await w.run(w.node.status())).shards.map((s) => s.head),
    before,
  );
});

test("node: a handler that never resolves ends at its deadline, and the entity is free again", async () => {
  const w = await world();
  await assert.rejects(
    w.ask("a", "hang", undefined, { deadline: w.host.clock.tick() + 100 }),
    code("DEADLINE", "not-applied"),
  );
  assert.equal((await w.ask("a", "add", 1)).output, 1);
});

test("node: A1 what a handler does after its deadline cannot commit", async () => {
  const w = await world();
  await assert.rejects(w.ask("a", "slow", 1, { deadline: w.host.clock.tick() + 100 }), code("DEADLINE", "not-applied"));
  assert.equal((await w.ask("a", "get")).output, 0);
});

test("node: a repeat with the same operation id runs once and gets the first answer", async () => {
  const w = await world();
  const op = { id: "k1", issuedAt: undefined };
  const [first, joined] = await w.run(Promise.all([w.send("a", "add", 5, { op }), w.send("a", "add", 5, { op })]));
  const again = await w.ask("a", "add", 5, { op });
  assert.deepEqual([first.output, joined.output, again.output, again.replayed], [5, 5, 5, true]);
  await assert.rejects(w.ask("a", "add", 6, { op }), code("IDEMPOTENCY_MISMATCH"));
  assert.equal((await w.ask("a", "get")).output, 5);
});

test("node: state, operations and versions survive a crash", async () => {
  const w = await world();
  const op = { id: "k1", issuedAt: undefined };
  await w.ask("a", "add", 5, { op });
  await w.ask("b", "add", 7);
  w.host.kill();
  const next = await world({ from: w });
  assert.equal((await next.ask("a", "get")).output, 5);
  assert.equal((await next.ask("b", "get")).output, 7);
  assert.equal((await next.ask("a", "add", 5, { op })).replayed, true);
  assert.equal((await next.ask("a", "add", 1)).version, 2);
});

test("node: an ambiguous append is resolved by reading, and its effect is there once", async () => {
  for (const kind of ["lost-ack", "fenced-own-copy", "late"] as const) {
    let armed = false;
    const w = await world({
      decide: (request) => {
        if (!armed || request.kind !== "append") return { kind: "ok" };
        armed = false;
        return kind === "late" ? { kind, ms: 50 } : { kind };
      },
    });
    await w.ask("a", "add", 1);
    armed = true;
    assert.equal((await w.ask("a", "add", 1)).output, 2, kind);
    assert.equal((await w.ask("a", "get")).output, 2, kind);
  }
});

test("node: a full engine refuses plainly, loses nothing, and works again", async () => {
  let full = false;
  const w = await world({ decide: (request) => ({ kind: full && request.kind === "append" ? "full" : "ok" }) });
  await w.ask("a", "add", 1);
  full = true;
  await assert.rejects(w.ask("a", "add", 1), code("ENGINE_FULL", "not-applied"));
  assert.equal((await w.ask("a", "get")).output, 1);
  full = false;
  assert.equal((await w.ask("a", "add", 1)).output, 2);
});

test("node: a fenced owner answers nothing, strong reads included", async () => {
  const a = await world();
  await a.ask("a", "add", 1);
  const b = await world({ from: { ...a, store: memoryStore() } });
  assert.equal((await b.ask("a", "add", 1)).output, 2);
  await assert.rejects(a.ask("a", "get"), code("NOT_OWNER"));
  await assert.rejects(a.ask("a", "add", 1), code("NOT_OWNER", "not-applied"));
});

test("node: calls inside commands reach other entities, and a cycle is refused before the deadline", async () => {
  const w = await world();
  assert.equal((await w.ask("a", "relay", { to: "b", n: 3 })).output, 3);
  assert.equal((await w.ask("a", "get")).output, 1);
  const start = w.host.clock.tick();
  await assert.rejects(w.ask("a", "relay", { to: "a", n: 3 }), code("REENTRANT", "not-applied"));
  await assert.rejects(w.ask("a", "ping", "b"), code("REENTRANT"));
  const crossed = await w.run(Promise.allSettled([w.send("a", "ping", "b"), w.send("b", "ping", "a")]));
  assert.ok(crossed.some((r) => r.status === "rejected" && (r.reason as SheafError).code === "REENTRANT"));
  assert.ok(w.host.clock.tick() - start < 1000);
});

test("node: a full mailbox refuses with OVERLOADED and a time to come back", async () => {
  const w = await world({ limits: { maxMailbox: 3 } });
  await w.ask("a", "get");
  const hung = w.send("a", "hang");
  const more = Array.from({ length: 6 }, () => w.send("a", "add", 1));
  const results = await w.run(Promise.allSettled([hung, ...more]));
  const refused = results.filter((r) => r.status === "rejected" && (r.reason as SheafError).code === "OVERLOADED");
  assert.ok(
    refused.length >= 2 && refused.every((r) => r.status === "rejected" && (r.reason as SheafError).retryAfterMs),
  );
});

test("node: snapshots trim the journal, and a node without local state starts from them", async () => {
  const w = await world({ limits: { snapshotEveryBytes: 2000, saveEveryMs: 50 }, shards: 1 });
  const op = { id: "first", issuedAt: undefined };
  await w.ask("k0", "add", 1, { op });
  for (let i = 0; i < 100; i++) {
    await w.ask(`k${i % 10}`, "add", 1);
    await w.run(new Promise<void>((resolve) => void w.host.clock.after(20, resolve)));
  }
  const engine = memoryEngine({ disk: w.disk });
  assert.ok((await engine.read(0, 1, 1)).first > 1, "the journal was trimmed");
  assert.equal((await engine.snapshots.list(0)).length, 2);
  w.host.kill();
  const next = await world({ from: { ...w, store: memoryStore() } });
  assert.equal((await next.ask("k0", "get")).output, 11);
  assert.equal((await next.ask("k0", "add", 1, { op })).replayed, true);
});

test("node: history shows each version with its command, newest first", async () => {
  const w = await world();
  await w.ask("a", "add", 1);
  await w.ask("a", "add", 2);
  const { items, complete } = await w.run(w.node.history("counter", "a", 10));
  assert.deepEqual(
    items.map((i) => [i.version, i.command, i.state]),
    [
      [2, "add", { n: 3 }],
      [1, "add", { n: 1 }],
    ],
  );
  assert.equal(complete, true);
});

test("node: procedures answer", async () => {
  const w = await world();
  const call = {
    target: { kind: "procedure", service: "echo", name: "say" },
    input: "hi",
    principal: { id: "t", roles: [] },
  } as const;
  assert.equal((await w.run(w.node.call({ ...call, deadline: w.host.clock.tick() + 100 }))).output, "hi");
});

test("node: a session goes in and out, a forged one is refused, and one past a rolled-back journal is told so", async () => {
  const w = await world({ shards: 1 });
  const first = (await w.ask("a", "add", 1, { session: "" })).session ?? "";
  assert.ok(first.length > 10);
  const early = w.disk.copy();
  for (let i = 0; i < 5; i++) await w.ask("a", "add", 1);
  const second = (await w.ask("a", "add", 1, { session: first })).session ?? "";
  assert.notEqual(second, first);
  const bent = (first.startsWith("A") ? "B" : "A") + first.slice(1);
  for (const bad of [bent, "x", "%%", first + "AAAA"])
    await assert.rejects(w.ask("a", "get", undefined, { session: bad }), code("BAD_SESSION"));
  w.host.kill();
  w.disk.restore(early);
  const back = await world({ from: { ...w, store: memoryStore() } });
  assert.equal((await back.ask("a", "get", undefined, { session: first })).output, 1);
  await assert.rejects(back.ask("a", "get", undefined, { session: second }), code("DATA_ROLLED_BACK"));
});

test("node: an engine that was rolled back behind the local state quarantines the shard, and serves nothing of it", async () => {
  const w = await world({ shards: 1, limits: { saveEveryMs: 10 } });
  const early = w.disk.copy();
  await w.ask("a", "add", 1);
  await w.run(new Promise<void>((resolve) => void w.host.clock.after(50, resolve)));
  w.host.kill();
  w.disk.restore(early);
  await assert.rejects(world({ from: w }), code("DATA_ROLLED_BACK"));
});

test("node: another cluster's engine, a lost one and a wrong name are refused by name", async () => {
  const w = await world();
  w.host.kill();
  await assert.rejects(world({ from: { ...w, disk: memoryDisk() } }), code("ENGINE_REFUSED"));
  const other = await world({ seed: 2 });
  await assert.rejects(world({ from: { ...w, disk: other.disk } }), code("WRONG_CLUSTER"));
});

/** Sends the command to a node that dies of it, and starts the next one. */
async function crashBy(w: World, key: string, input: string, bystander: string): Promise<World> {
  bomb.explode = () => {
    w.host.kill();
    throw new Error("the process is gone");
  };
  void w.send(key, "bomb", input).catch(() => {});
  void w.send(bystander, "add", 1).catch(() => {});
  await w.host.schedule.run({ done: () => !w.host.alive() });
  bomb.explode = () => {};
  return world({ from: w });
}

test("node: a command that crashes the process is parked after five crashes of its own; bystanders never are", async () => {
  let w = await world();
  let crashes = 0;
  while ((await w.run(w.node.parked())).items.length === 0) {
    w = await crashBy(w, "a", "x", "b");
    crashes++;
    assert.ok(crashes <= 6, "one crash in company makes suspects, five alone convict");
  }
  assert.equal(crashes, 6);
  await assert.rejects(w.ask("a", "bomb", "x"), code("POISONED", "not-applied"));
  await w.ask("a", "bomb", "y");
  await w.ask("a", "add", 1);
  assert.equal((await w.ask("b", "add", 1)).version, 1);
  const [parked] = (await w.run(w.node.parked())).items;
  assert.ok(parked);
  await w.run(w.node.release(parked.id));
  await w.ask("a", "bomb", "x");
});

test("node: one good run clears a suspect", async () => {
  let w = await world();
  for (let i = 0; i < 4; i++) w = await crashBy(w, "a", "x", "b");
  await w.ask("a", "bomb", "x");
  for (let i = 0; i < 4; i++) w = await crashBy(w, "a", "x", "b");
  assert.deepEqual((await w.run(w.node.parked())).items, []);
});

test("node: a repeat has its own deadline, and outlives the caller of the original", async () => {
  const w = await world();
  const op = { id: "k", issuedAt: undefined };
  const late = w.host.clock.tick() + 500;
  const [original, repeat] = await w.run(
    Promise.allSettled([
      w.send("a", "hang", undefined, { op, deadline: late }),
      w.send("a", "hang", undefined, { op, deadline: late - 400 }),
    ]),
  );
  assert.ok(repeat.status === "rejected" && code("DEADLINE", "unknown")(repeat.reason as SheafError));
  assert.ok(original.status === "rejected" && code("DEADLINE", "not-applied")(original.reason as SheafError));
  const caller = new AbortController();
  const given = w.send("a", "add", 1, { op: { id: "j", issuedAt: undefined }, signal: caller.signal });
  const joined = w.send("a", "add", 1, { op: { id: "j", issuedAt: undefined } });
  caller.abort();
  const [gone, kept] = await w.run(Promise.allSettled([given, joined]));
  assert.ok(gone.status === "rejected" && code("CANCELLED")(gone.reason as SheafError));
  assert.ok(kept.status === "fulfilled" && kept.value.output === 1);
});

test("node: A2 a repeat of a command whose caller gave up during the commit joins it, and is not run again", async () => {
  let slow = false;
  const w = await world({ decide: () => ({ kind: "ok", latencyMs: slow ? 50 : 0 }) });
  await w.ask("a", "add", 1);
  slow = true;
  const op = { id: "k", issuedAt: undefined };
  const deadline = w.host.clock.tick() + 20;
  await assert.rejects(w.ask("a", "add", 1, { op, deadline }), code("DEADLINE", "unknown"));
  assert.equal((await w.ask("a", "add", 1, { op })).output, 2);
  assert.equal((await w.ask("a", "get")).output, 2);
});

test("node: a handler that hangs is ended at the original's deadline, though its caller left and a repeat waits", async () => {
  const w = await world();
  const op = { id: "k", issuedAt: undefined };
  const caller = new AbortController();
  const given = w.send("a", "hang", undefined, { op, signal: caller.signal, deadline: w.host.clock.tick() + 200 });
  const joined = w.send("a", "hang", undefined, { op });
  caller.abort();
  const [, kept] = await w.run(Promise.allSettled([given, joined]));
  assert.ok(kept.status === "rejected" && code("DEADLINE", "not-applied")(kept.reason as SheafError));
  assert.equal((await w.ask("a", "add", 1)).output, 1);
});
