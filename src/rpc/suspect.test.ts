// A connection whose other side falls silent while it owes answers (C5), under a clock that the test moves.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { SheafError } from "../base/index.ts";
import { frameKind, readMessage } from "../wire/index.ts";
import type { Call } from "./index.ts";
import { type Cable, type Pair, pair } from "./pair.fixture.ts";

const procedure = { kind: "procedure", service: "rates", name: "quote" } as const;
const impatient = { pingMs: 300, suspectAfter: 3, patience: 9, idleBeats: 4 };
const limits = { maxBytes: 1 << 20, maxItems: 1000, maxDepth: 64 };

/** Callers of a responder that answers the first call at once, and others when told. */
function town(more = {}): Pair & { readonly seen: Call[]; answer(): void } {
  const seen: Call[] = [];
  const waiting: (() => void)[] = [];
  const both = pair(
    {
      call: (call) =>
        new Promise((resolve) => void (seen.push(call), waiting.push(() => resolve({ output: seen.length })))),
    },
    { caller: { ...impatient, ...more } },
  );
  return Object.assign(both, { seen, answer: () => waiting.splice(0).forEach((each) => each()) });
}

const pings = ({ log }: Cable): number =>
  log
    .filter(({ from }) => from === "caller")
    .flatMap(({ bytes }) => [...readMessage(bytes, limits)])
    .filter(([kind]) => kind === frameKind.ping).length;

test("a suspect: within four beats its commands go on elsewhere as the same operations, and its procedures wait", async () => {
  const { clock, call, cables, seen, answer } = town();
  const command = call({});
  let told: unknown;
  const quote = call({ target: procedure }).then(
    ({ output }) => (told = output),
    (error: SheafError) => (told = error.code),
  );
  await clock.settle();
  cables[0]!.stuck = true;
  await clock.advance(1_250);
  assert.equal(cables.length, 2);
  await clock.advance(100);
  assert.deepEqual(
    seen.map(({ target }) => target.kind),
    ["command", "procedure", "command"],
  );
  assert.deepEqual(seen[2]!.op, seen[0]!.op);
  answer();
  await clock.settle();
  assert.equal((await command).output, 3);
  assert.equal(told, undefined);
  // It was only stalled: the answer that was owed is taken, and then the connection ends.
  cables[0]!.unstick();
  await clock.advance(100);
  await quote;
  assert.deepEqual([told, cables[0]!.alive, cables[1]!.alive], [3, false, true]);
});

test("a suspect: that owes only what goes on elsewhere is left for one other connection, not for several", async () => {
  const { clock, call, cables, seen, answer } = town();
  const command = call({});
  await clock.settle();
  cables[0]!.stuck = true;
  await clock.advance(1_400);
  assert.deepEqual([cables.length, cables[1]!.alive, seen.length], [2, true, 2]);
  answer();
  await clock.settle();
  assert.equal((await command).output, 2);
});

test("a suspect: that never speaks again loses the procedures that it owed, and no call is answered twice", async () => {
  const { clock, call, cables, answer } = town();
  const command = call({});
  const quote = call({ target: procedure }).catch((error: SheafError) => [error.code, error.outcome]);
  await clock.settle();
  cables[0]!.stuck = true;
  await clock.advance(1_300);
  answer();
  await clock.advance(3_000);
  assert.deepEqual(await quote, ["CALL_LOST", "unknown"]);
  assert.equal((await command).output, 3);
  assert.equal(cables[0]!.alive, false);
});

test("a suspect: whoever answers others is none, however long one call takes", async () => {
  const { clock, call, cables, answer } = town();
  const slow = call({});
  await clock.advance(6_000);
  assert.equal(cables.length, 1);
  answer();
  await clock.settle();
  assert.equal((await slow).output, 1);
});

test("a suspect: a caller without anybody else to turn to waits as long as for a lost connection", async () => {
  const { clock, call, cables } = town({ suspectAfter: undefined });
  void call({}).catch(() => undefined);
  await clock.settle();
  cables[0]!.stuck = true;
  await clock.advance(2_900);
  assert.equal(cables.length, 1);
  await clock.advance(500);
  assert.equal(cables.length, 2);
});

test("a suspect: a connection that owes nothing is asked far less often, and is none", async () => {
  const { clock, call, cables, answer } = town();
  const first = call({});
  await clock.settle();
  answer();
  await clock.settle();
  await first;
  await clock.advance(12_000);
  assert.deepEqual([cables.length, pings(cables[0]!)], [1, 8]);
});
