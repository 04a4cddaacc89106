import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import { frameKind, pack, readMessage } from "../wire/index.ts";
import type { Call, Calls, Reply } from "./index.ts";
import { limits, pair } from "./pair.fixture.ts";

type Held = { readonly call: Call; answer(reply?: Reply): void; fail(error: SheafError): void };

/** Calls that are answered when the test says so. */
function holding(): { calls: Calls; held: Held[] } {
  const held: Held[] = [];
  const calls: Calls = {
    call: (call) =>
      new Promise((resolve, reject) => {
        held.push({ call, answer: (reply = { output: call.input }) => resolve(reply), fail: reject });
      }),
  };
  return { calls, held };
}

const echo: Calls = { call: async (call) => ({ output: call.input }) };
const caught = (promise: Promise<unknown>): Promise<SheafError> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: SheafError) => error,
  );
const framesFrom = (cable: { log: { from: string; bytes: Uint8Array }[] }, from: string): unknown[][] =>
  cable.log
    .filter((entry) => entry.from === from)
    .flatMap((entry) => readMessage(entry.bytes, { maxBytes: 1 << 24, maxDepth: 64 }));
const rate = { kind: "procedure", service: "rates", name: "quote" } as const;
const balance = { kind: "query", entity: "account", key: "acc-1", name: "balance" } as const;

test("a session: answers reach their own calls in whatever order they come", async () => {
  const { calls, held } = holding();
  const { clock, call } = pair(calls);
  const results = Array.from({ length: 100 }, (_, i) => call({ input: { i } }));
  await clock.settle();
  for (const one of held.toReversed()) one.answer();
  await clock.settle();
  assert.deepEqual(
    (await Promise.all(results)).map((reply) => reply.output),
    Array.from({ length: 100 }, (_, i) => ({ i })),
  );
});

test("a session: calls of one turn leave as one message, and so do their answers", async () => {
  const { clock, call, cables } = pair(echo);
  await Promise.all([call({ input: 0 }), clock.settle()]);
  const before = cables[0]!.log.length;
  const results = Array.from({ length: 50 }, (_, i) => call({ input: i }));
  await clock.settle();
  await Promise.all(results);
  assert.deepEqual(
    cables[0]!.log.slice(before).map((entry) => entry.from),
    ["caller", "responder"],
  );
});

test("a session: the input is as it was when the call was made", async () => {
  const { calls, held } = holding();
  const { clock, call } = pair(calls);
  const input = { cents: 1 };
  const result = call({ input });
  input.cents = 2;
  await clock.settle();
  assert.deepEqual(held[0]?.call.input, { cents: 1 });
  held[0]?.answer();
  await clock.settle();
  await result;
});

test("a session: everything that belongs to a call crosses, the principal from the token", async () => {
  const { calls, held } = holding();
  const { clock, call } = pair(calls);
  const given = {
    input: null,
    op: { id: "mine", issuedAt: undefined },
    ifVersion: 4,
    trace: "00-aa-bb-01",
    session: "seen",
    consistency: "strong",
  } as const;
  const result = call(given, 800);
  await clock.settle();
  const got = held[0]!.call;
  const { input, op, ifVersion, trace, session, consistency, principal, deadline } = got;
  assert.deepEqual({ input, op, ifVersion, trace, session, consistency }, given);
  assert.deepEqual([principal, deadline], [{ id: "token", roles: [] }, clock.tick() + 800]);
  held[0]!.answer({ output: 1, version: 5, staleMs: 7, replayed: true });
  await clock.settle();
  assert.deepEqual(await result, { output: 1, version: 5, staleMs: 7, replayed: true });
});

test("a session: an error arrives with all that its sender said", async () => {
  const issues = [{ path: ["a", 0], message: "odd" }];
  const thrown = new SheafError("OVERLOADED", "full", {
    retryAfterMs: 40,
    hint: "wait",
    outcome: "not-applied",
    issues,
  });
  const { clock, call } = pair({ call: () => Promise.reject(thrown) });
  const result = caught(call({ input: 1 }));
  await clock.settle();
  const { code, message, retryAfterMs, hint, outcome, retry, issues: got } = await result;
  assert.deepEqual(
    { code, message, retryAfterMs, hint, outcome, retry },
    { code: "OVERLOADED", message: "full", retryAfterMs: 40, hint: "wait", outcome: "not-applied", retry: "later" },
  );
  assert.deepEqual(got, issues);
});

test("a session: an output that cannot be sent is BAD_OUTPUT and says that the command stands", async () => {
  const { clock, call } = pair({ call: async () => ({ output: Symbol("no") }) });
  const result = caught(call({}));
  await clock.settle();
  assert.deepEqual([(await result).code, (await result).outcome], ["BAD_OUTPUT", "applied"]);
});

test("a session: every command is issued an id and a time, and tells which earlier ones are settled", async () => {
  const { calls, held } = holding();
  const { clock, call } = pair(calls);
  const first = [call({}), call({}), call({})];
  await clock.settle();
  const ids = held.map((one) => one.call.op!.id);
  assert.match(ids[0]!, /^[0-9a-f]{24}\.1$/);
  assert.deepEqual(
    ids.map((id) => id.split(".")[1]),
    ["1", "2", "3"],
  );
  assert.deepEqual(
    held.map((one) => one.call.op!.issuedAt),
    [clock.now(), clock.now(), clock.now()],
  );
  held[1]!.answer();
  held[0]!.answer();
  await clock.settle();
  const last = call({});
  await clock.settle();
  assert.equal(held[3]!.call.op!.settled, 3);
  held[2]!.answer();
  held[3]!.answer();
  await clock.settle();
  await Promise.all([...first, last]);
});

test("a session: queries and procedures are issued no id", async () => {
  const { calls, held } = holding();
  const { clock, call } = pair(calls);
  const results = [call({ target: balance }), call({ target: rate })];
  await clock.settle();
  assert.deepEqual(
    held.map((one) => one.call.op),
    [undefined, undefined],
  );
  for (const one of held) one.answer();
  await clock.settle();
  await Promise.all(results);
});

test("a cancelled call: rejects at once, aborts at the other side and is never answered", async () => {
  const { calls, held } = holding();
  const { clock, call, cables } = pair(calls);
  const giveUp = new AbortController();
  const result = caught(call({ signal: giveUp.signal }));
  await clock.settle();
  const { signal } = held[0]!.call;
  giveUp.abort();
  assert.deepEqual([(await result).code, (await result).outcome], ["CANCELLED", "unknown"]);
  await clock.settle();
  assert.equal(signal?.aborted, true);
  const before = cables[0]!.log.length;
  held[0]!.answer();
  await clock.settle();
  assert.equal(cables[0]!.log.length, before);
});

test("a cancelled call: whose signal is asked for late is found aborted", async () => {
  const { calls, held } = holding();
  const { clock, call } = pair(calls);
  const giveUp = new AbortController();
  const result = caught(call({ signal: giveUp.signal }));
  await clock.settle();
  giveUp.abort();
  await clock.settle();
  assert.equal(held[0]!.call.signal?.aborted, true);
  await result;
});

test("a deadline: ends the call near it, unknown once sent, not-applied before", async () => {
  const { calls } = holding();
  const built = pair(calls);
  const { clock, call } = built;
  const sent = caught(call({}, 500));
  const read = caught(call({ target: balance }, 500));
  await clock.advance(499);
  let over = false;
  void sent.then(() => (over = true));
  await clock.settle();
  assert.equal(over, false);
  await clock.advance(9);
  assert.deepEqual([(await sent).code, (await sent).outcome], ["DEADLINE", "unknown"]);
  assert.deepEqual([(await read).code, (await read).outcome], ["DEADLINE", "not-applied"]);
  const late = await caught(call({}, 0));
  assert.deepEqual([late.code, late.outcome], ["DEADLINE", "not-applied"]);
});

test("a deadline: is kept by the answering side when nobody answers", async () => {
  const { calls, held } = holding();
  const { clock, cables, call } = pair(calls);
  const result = caught(call({ op: { id: "slow", issuedAt: undefined } }, 300));
  await clock.settle();
  const cable = cables[0]!;
  await clock.advance(400);
  const fails = framesFrom(cable, "responder").filter((frame) => frame[0] === frameKind.fail);
  assert.equal((await result).code, "DEADLINE");
  assert.equal(held[0]!.call.signal?.aborted, true);
  // The caller had said CANCEL before, so there is nothing to answer.
  assert.deepEqual(fails, []);
  cable.inject(pack([[frameKind.call, 900, 1, "account", "a", "balance", [], 200]]));
  await clock.advance(260);
  assert.deepEqual(framesFrom(cable, "responder").at(-1)?.slice(0, 3), [frameKind.fail, 900, "DEADLINE"]);
});

test("a dead gateway: calls are UNREACHABLE and not applied, by their deadline", async () => {
  const built = pair(echo);
  built.down = true;
  const result = caught(built.call({}, 700));
  await built.clock.advance(710);
  assert.deepEqual([(await result).code, (await result).outcome], ["UNREACHABLE", "not-applied"]);
});

test("a lost connection: a procedure under way is CALL_LOST, unknown; one that never left goes out on the next", async () => {
  const { calls, held } = holding();
  const { clock, call, cables } = pair(calls);
  const sent = caught(call({ target: rate, input: 1 }));
  await clock.settle();
  const unsent = call({ target: rate, input: 2 });
  cables[0]!.cut();
  assert.deepEqual([(await sent).code, (await sent).outcome], ["CALL_LOST", "unknown"]);
  await clock.advance(1000);
  assert.equal(held[0]!.call.signal?.aborted, true);
  held[1]!.answer();
  await clock.settle();
  assert.equal((await unsent).output, 2);
  assert.equal(cables.length, 2);
});

test("a lost connection: a command under way is repeated with the same id, time and input", async () => {
  const { calls, held } = holding();
  const { clock, call, cables } = pair(calls);
  const result = call({ input: { cents: 5 } });
  await clock.settle();
  cables[0]!.cut();
  await clock.advance(3000);
  const [first, second] = held.map(({ call: { op, input, target } }) => ({
    id: op?.id,
    issuedAt: op?.issuedAt,
    input,
    target,
  }));
  assert.deepEqual(second, first);
  assert.ok(second?.id);
  held[1]!.answer();
  await clock.settle();
  await result;
});

test("200 cuts at random points: every command settles, and its repeats are the same operation", async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const inputs = new Map<string, { input: unknown; issuedAt: number | undefined }>();
    const effects = new Map<string, number>();
    let random = seed;
    const dice = (): number => (random = (random * 48_271) % 2_147_483_647) / 2_147_483_647;
    const calls: Calls = {
      call: async ({ op, input }) => {
        const id = op!.id;
        const known = inputs.get(id) ?? { input, issuedAt: op!.issuedAt };
        assert.deepEqual({ input, issuedAt: op!.issuedAt }, known);
        inputs.set(id, known);
        effects.set(id, 1);
        await new Promise<void>((resolve) => void built.clock.after(dice() * 100, resolve));
        return { output: input };
      },
    };
    const built = pair(calls, { seed });
    const results: Promise<{ output: unknown }>[] = [];
    for (let i = 0; i < 20; i++) {
      results.push(built.call({ input: i }, 60_000));
      await built.clock.advance(dice() * 30);
      if (dice() < 0.25) built.cables.at(-1)?.cut();
    }
    await built.clock.advance(30_000);
    assert.deepEqual(
      (await Promise.all(results)).map((reply) => reply.output),
      Array.from({ length: 20 }, (_, i) => i),
      `seed ${seed}`,
    );
    assert.equal(effects.size, 20, `seed ${seed}`);
    built.caller.close();
    await built.clock.settle();
    assert.equal(built.clock.timers, 0, `seed ${seed}: timers left`);
  }
});

test("a call that breaks every connection: is given up in the end", async () => {
  const built = pair({ call: () => new Promise(() => built.clock.turn(() => built.cables.at(-1)!.cut())) });
  const result = caught(built.call({}, 600_000));
  await built.clock.advance(120_000);
  assert.equal((await result).code, "CALL_LOST");
  assert.ok(built.cables.length <= 8);
});

test("GOAWAY: calls under way are answered, new ones go to a new connection, the old one ends", async () => {
  const { calls, held } = holding();
  const { clock, call, cables, responders } = pair(calls);
  const old = call({ input: "old" });
  await clock.settle();
  responders[0]!.drain();
  await clock.settle();
  const fresh = call({ input: "new" });
  await clock.advance(100);
  assert.deepEqual([cables.length, cables[0]!.alive, held.length], [2, true, 2]);
  for (const one of held) one.answer();
  await clock.settle();
  assert.deepEqual([(await old).output, (await fresh).output], ["old", "new"]);
  assert.equal(cables[0]!.alive, false);
});

test("a refused token: fails the calls at once, and is asked again for later ones", async () => {
  let known = false;
  const accept = (): { id: string; roles: string[] } => {
    if (!known) throw new SheafError("UNAUTHENTICATED", "who?");
    return { id: "me", roles: [] };
  };
  const { clock, call } = pair(echo, { responder: { accept } });
  const refused = caught(call({}));
  await clock.settle();
  assert.deepEqual([(await refused).code, (await refused).outcome], ["UNAUTHENTICATED", "not-applied"]);
  known = true;
  const later = call({ input: 1 });
  await clock.settle();
  assert.equal((await later).output, 1);
});

test("a revoked token: ends an open connection", async () => {
  let revoked = false;
  const accept = (): { id: string; roles: string[] } => {
    if (revoked) throw new SheafError("UNAUTHENTICATED", "revoked");
    return { id: "me", roles: [] };
  };
  const { clock, call, cables } = pair(echo, { responder: { accept } });
  await Promise.all([call({}), clock.settle()]);
  revoked = true;
  await clock.advance(15_001);
  assert.equal(cables[0]!.alive, false);
});

test("calls over the window of a connection: wait at the caller and all get answered", async () => {
  const { calls, held } = holding();
  const { clock, call } = pair(calls, { responder: { limits: { ...limits, maxInFlight: 10 } } });
  const results = Array.from({ length: 100 }, (_, i) => call({ input: i }));
  for (let round = 1; round <= 10; round++) {
    await clock.settle();
    assert.equal(held.length, round * 10);
    for (const one of held.slice(-10)) one.answer();
  }
  await clock.settle();
  assert.equal((await Promise.all(results)).length, 100);
});

test("a caller that ignores the window: is refused OVERLOADED, and nothing over it is carried out", async () => {
  const { calls, held } = holding();
  const { clock, call, cables } = pair(calls, { responder: { limits: { ...limits, maxInFlight: 10 } } });
  const first = call({});
  await clock.settle();
  cables[0]!.inject(
    pack(Array.from({ length: 50 }, (_, i) => [frameKind.call, 100 + i, 1, "account", "a", "balance", [], 1000])),
  );
  await clock.settle();
  assert.equal(held.length, 10);
  const fails = framesFrom(cables[0]!, "responder").filter((frame) => frame[2] === "OVERLOADED");
  assert.deepEqual([fails.length, fails[0]?.[5], fails[0]?.[6]], [41, "not-applied", 50]);
  held[0]!.answer();
  await clock.settle();
  await first;
});

test("a caller that does not read: is not read from, so its unsent answers stay bounded", async () => {
  const big = "x".repeat(10_000);
  let run = 0;
  const tight = { ...limits, maxInFlight: 4, maxUnsentBytes: 50_000 };
  const { clock, call, cables } = pair(
    { call: async () => (run++, { output: big }) },
    { responder: { limits: tight }, caller: { pingMs: 1e9 } },
  );
  await Promise.all([call({}), clock.settle()]);
  const cable = cables[0]!;
  cable.stuck = true;
  const results = Array.from({ length: 1000 }, () => call({ target: balance }, 500_000));
  for (let i = 0; i < 200; i++) {
    if (!cable.paused) cable.inject(pack([[frameKind.call, 10_000 + i, 1, "account", "a", "balance", [], 1000]]));
    await clock.settle();
  }
  assert.equal(cable.paused, true);
  assert.ok(cable.unsentBytes < tight.maxUnsentBytes + 5 * big.length, `${cable.unsentBytes} bytes`);
  assert.ok(run < 20);
  cable.unstick();
  await clock.settle();
  assert.equal((await Promise.all(results)).length, 1000);
});

test("a silent connection: is found out and left, its commands repeated elsewhere", async () => {
  const { calls, held } = holding();
  const { clock, call, cables } = pair(calls);
  const result = call({}, 60_000);
  await clock.settle();
  cables[0]!.stuck = true;
  await clock.advance(20_000);
  assert.equal(cables.length, 2);
  held[1]!.answer();
  await clock.settle();
  await result;
});

test("an idle connection: is kept open by pings", async () => {
  const { clock, call, cables } = pair(echo);
  await Promise.all([call({}), clock.settle()]);
  await clock.advance(60_000);
  assert.deepEqual([cables.length, cables[0]!.alive], [1, true]);
});

test("inputs that cannot be sent: are refused at once, nothing leaves", async () => {
  const { clock, call, cables } = pair(echo);
  let deep: unknown = 1;
  for (let i = 0; i < 100; i++) deep = [deep];
  const wide = Array.from({ length: 200_000 }, () => 1);
  const cases: [unknown, string][] = [
    [Symbol("x"), "BAD_INPUT"],
    [{ at: new Date(0) }, "BAD_INPUT"],
    [1n, "BAD_INPUT"],
    [deep, "TOO_LARGE"],
    [wide, "TOO_LARGE"],
  ];
  for (const [input, code] of cases) {
    const error = await caught(call({ input }));
    assert.deepEqual([error.code, error.outcome], [code, "not-applied"]);
  }
  assert.equal(cables.length, 0);
  const huge = caught(call({ input: "x".repeat(2 << 20) }));
  await clock.settle();
  assert.deepEqual([(await huge).code, (await huge).outcome], ["TOO_LARGE", "not-applied"]);
});

test("closing the caller: settles everything and leaves no timer", async () => {
  const { calls, held } = holding();
  const { clock, call, caller } = pair(calls);
  const sent = caught(call({}));
  await clock.settle();
  const queued = caught(call({}));
  caller.close();
  await clock.settle();
  assert.deepEqual([(await sent).outcome, (await queued).code], ["unknown", "CANCELLED"]);
  assert.deepEqual(
    [(await caught(call({}))).code, held[0]!.call.signal?.aborted, clock.timers],
    ["UNREACHABLE", true, 0],
  );
});
