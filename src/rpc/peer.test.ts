// Between nodes: what is passed on, what is believed, and what a connection tells of the node at its end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultLimits, SheafError } from "../base/index.ts";
import { bareCall } from "../wire/call.fixture.ts";
import { pack, MessageWriter, packHello } from "../wire/index.ts";
import type { Call, Calls, Reply } from "./index.ts";
import { Peer, type PeerState, respond, type Responder } from "./index.ts";
import { Cable, lone, limits, StillClock } from "./pair.fixture.ts";

type Held = { call: Call; answer(reply: Reply): void; fail(error: SheafError): void };

/** Two nodes, `here` calling `there`. `mode` is what dialling meets. */
function nodes(expects = "cluster/there") {
  const clock = new StillClock();
  const held: Held[] = [];
  const states: PeerState[] = [];
  const cables: Cable[] = [];
  const responders: Responder[] = [];
  const world = { mode: "open" as "open" | "refused" | "silent" };
  const calls: Calls = {
    call: (call) =>
      new Promise((resolve, reject) => void held.push({ call, answer: resolve, fail: (error) => reject(error) })),
  };
  const options = {
    clock,
    calls,
    cluster: "cluster/there",
    limits: { ...limits, maxReplyBytes: 1000 },
    accept: () => ({ id: "node", roles: ["node"] }),
    recheckMs: 1e9,
    helloMs: 10_000,
    permit: () => {},
    expose: (error: SheafError) => error,
    between: "there",
  };
  const peer = new Peer({
    clock,
    dial: (_, end) => {
      if (world.mode === "refused") clock.turn(() => end.failed("refused", true));
      if (world.mode !== "open") return () => {};
      const cable = new Cable(clock);
      cables.push(cable);
      clock.turn(() =>
        cable.open(
          (pipe) => end.opened(pipe),
          (pipe) => {
            const responder = respond(pipe, options);
            responders.push(responder);
            return responder;
          },
        ),
      );
      return () => cable.cut();
    },
    address: "there:1",
    self: "here",
    node: "there",
    app: "node",
    expects,
    limits: defaultLimits,
    beatMs: 150,
    changed: (state) => void states.push(state),
    heard: () => {},
  });
  const call = (extra: Partial<Call> = {}): Promise<Reply> =>
    peer.call({
      target: { kind: "command", entity: "account", key: "a", name: "deposit" },
      input: { cents: 1 },
      principal: { id: "ann", roles: ["app"] },
      deadline: clock.tick() + 10_000,
      ...extra,
    });
  return { clock, peer, world, held, states, cables, responders, call };
}

const caught = (promise: Promise<unknown>): Promise<SheafError> =>
  promise.then(
    () => assert.fail("it was to reject"),
    (error: SheafError) => error,
  );

test("peer: a call arrives as it was at the first node: caller, operation, chain, session; the reply has its own session", async () => {
  const { clock, held, call } = nodes();
  await clock.settle();
  const op = { id: "c0ffee.1a", issuedAt: 1234.5, settled: 40, open: [3, 17] };
  const chain = [
    { op: "7", type: "order", key: "o1" },
    { op: "3@there", type: "cart", key: "c1" },
  ];
  const reply = call({ op, chain, session: "seen", consistency: "causal", trace: "00-aa-bb-01" });
  await clock.settle();
  const got = held[0]!.call;
  assert.deepEqual(got.principal, { id: "ann", roles: ["app"] });
  assert.deepEqual(got.op, op);
  assert.deepEqual(got.chain, [
    { op: "7@here", type: "order", key: "o1" },
    { op: "3", type: "cart", key: "c1" },
  ]);
  assert.deepEqual([got.session, got.consistency, got.trace], ["seen", "causal", "00-aa-bb-01"]);
  held[0]!.answer({ output: 5, version: 2, staleMs: 0, session: "seen more" });
  await clock.settle();
  const { output, version, session } = await reply;
  assert.deepEqual([output, version, session], [5, 2, "seen more"]);
});

test("peer: a refusal has its own session, too", async () => {
  const { clock, held, call } = nodes();
  await clock.settle();
  const refused = caught(call({ session: "seen" }));
  await clock.settle();
  held[0]!.fail(new SheafError("DECLARED", "no", { name: "SHORT", data: { by: 1 }, session: "seen more" }));
  await clock.settle();
  const { code, error, data, session } = await refused;
  assert.deepEqual([code, error, data, session], ["DECLARED", "SHORT", { by: 1 }, "seen more"]);
});

test("peer: a chosen operation id stays a chosen one, and none stays none", async () => {
  const { clock, held, call } = nodes();
  await clock.settle();
  void call({ op: { id: "mine", issuedAt: undefined } });
  void call();
  await clock.settle();
  assert.deepEqual(held[0]!.call.op, { id: "mine", issuedAt: undefined, settled: undefined });
  assert.equal(held[1]!.call.op, undefined);
});

test("peer: what a client says of other principals is not believed", async () => {
  const seen: Call[] = [];
  const { clock, end } = lone({ call: (call) => (seen.push(call), new Promise<Reply>(() => {})) });
  end.message(hello());
  await clock.settle();
  const writer = new MessageWriter();
  writer.call(1, 500, { ...frame, relay: pack(["root", ["admin"], [["1", "a", "b"]], 9]) });
  end.message(writer.take());
  await clock.settle();
  assert.equal(seen.length, 1);
  assert.deepEqual(seen[0]!.principal, { id: "token", roles: [] });
  assert.equal(seen[0]!.chain, undefined);
});

test("peer: what cannot be read of a call that is passed on ends the connection", async () => {
  for (const odd of [
    7,
    [],
    ["id"],
    ["id", [1], null, null],
    ["id", [], [["a"]], null],
    ["id", [], null, -1],
    ["id", [], null, [4, "a"]],
  ]) {
    const { clock, end, closed } = lone(
      { call: () => Promise.reject(new SheafError("INTERNAL")) },
      { between: "there" },
    );
    end.message(hello());
    await clock.settle();
    const writer = new MessageWriter();
    writer.call(1, 500, { ...frame, relay: pack(odd) });
    end.message(writer.take());
    await clock.settle();
    assert.equal(closed(), true, JSON.stringify(odd));
  }
});

test("peer: a call that cannot leave fails at once, not-applied; one that was not answered is unknown", async () => {
  const { clock, cables, world, call, states } = nodes();
  const early = await caught(call());
  assert.deepEqual([early.code, early.outcome], ["UNREACHABLE", "not-applied"]);
  await clock.settle();
  assert.deepEqual(states, ["up"]);
  world.mode = "refused";
  const lost = caught(call());
  await clock.settle();
  cables[0]!.cut();
  await clock.settle();
  const { code, outcome } = await lost;
  assert.deepEqual([code, outcome], ["CALL_LOST", "unknown"]);
  assert.deepEqual(states, ["up", "silent", "refused"]);
  assert.equal((await caught(call())).code, "UNREACHABLE");
});

test("peer: a node that falls silent is given up within six beats, and found again when it answers", async () => {
  const { clock, cables, world, states } = nodes();
  await clock.settle();
  cables[0]!.stuck = true;
  world.mode = "silent";
  await clock.advance(6 * 150);
  assert.deepEqual(states, ["up", "silent"]);
  world.mode = "open";
  await clock.advance(10 * 150);
  assert.deepEqual(states, ["up", "silent", "up"]);
});

test("peer: another process at the address of a node means that the node is gone", async () => {
  const { clock, states } = nodes("cluster/another");
  await clock.settle();
  assert.deepEqual(states, ["refused"]);
});

test("peer: a deadline and a caller that gives up reach the other node", async () => {
  const { clock, held, call } = nodes();
  await clock.settle();
  const late = caught(call({ deadline: clock.tick() + 100 }));
  const abort = new AbortController();
  const given = caught(call({ signal: abort.signal }));
  await clock.settle();
  abort.abort();
  await clock.settle();
  assert.equal((await given).code, "CANCELLED");
  assert.equal(held[1]!.call.signal?.aborted, true);
  await clock.advance(200);
  const { code, outcome } = await late;
  assert.deepEqual([code, outcome], ["DEADLINE", "unknown"]);
});

test("peer: a call whose caller has given up before it could leave does not leave", async () => {
  const { clock, held, call } = nodes();
  await clock.settle();
  const { code, outcome } = await caught(call({ signal: AbortSignal.abort() }));
  assert.deepEqual([code, outcome], ["CANCELLED", "not-applied"]);
  await clock.settle();
  assert.equal(held.length, 0);
});

test("peer: an answer that is larger than the caller reads fails alone: other calls on the connection are answered", async () => {
  const { clock, held, call, states } = nodes();
  await clock.settle();
  const query = { kind: "query", entity: "account", key: "a", name: "history" } as const;
  const [large, small] = [caught(call({ target: query })), call()];
  await clock.settle();
  held[0]!.answer({ output: "x".repeat(1001) });
  await clock.settle();
  held[1]!.answer({ output: 1 });
  await clock.settle();
  assert.equal((await small).output, 1);
  const { code, outcome } = await large;
  assert.deepEqual([code, outcome], ["TOO_LARGE", "not-applied"]);
  assert.deepEqual(states, ["up"]);
});

const hello = (): Uint8Array => {
  const writer = new MessageWriter();
  writer.packed(packHello({ version: 1, oldest: 1, app: "x", token: "token", issuer: "c0ffee", session: undefined }));
  return writer.take();
};

const frame = { ...bareCall, kind: 0, type: "account", key: "a", name: "deposit" };

test("peer: a node that is leaving answers what it was sent before that was heard, and is sent nothing more", async () => {
  const { clock, held, states, cables, responders, call } = nodes();
  await clock.settle();
  const first = call();
  await clock.settle();
  cables[0]!.stuck = true;
  responders[0]!.drain();
  await clock.settle();
  const second = call(); // It has been told, and has not heard yet.
  await clock.settle();
  cables[0]!.unstick();
  await clock.settle();
  const late = await caught(call());
  assert.deepEqual([late.code, late.outcome], ["UNREACHABLE", "not-applied"]);
  held[0]!.answer({ output: 1 });
  await clock.settle();
  assert.deepEqual([(await first).output, cables.length, states.at(-1)], [1, 1, "up"]);
  held[1]!.answer({ output: 2 });
  await clock.settle();
  assert.deepEqual([(await second).output, cables[0]!.alive, held.length], [2, false, 2]);
  assert.ok(cables.length > 1, "it looks whether the node is there again");
});

test("peer: a way that is not wanted any more is kept until what was sent is answered, and no longer", async () => {
  const { clock, peer, held, cables, call } = nodes();
  await clock.settle();
  const answer = call();
  await clock.settle();
  let ended = 0;
  peer.retire(() => void ended++);
  assert.equal((await caught(call())).code, "UNREACHABLE");
  await clock.advance(1000);
  assert.deepEqual([ended, cables[0]!.alive], [0, true]);
  held[0]!.answer({ output: 1 });
  await clock.settle();
  assert.deepEqual([(await answer).output, ended, cables[0]!.alive], [1, 1, false]);
  await clock.advance(10_000);
  assert.equal(cables.length, 1, "nobody dials again");
  assert.equal(clock.timers, 0);
});

test("peer: one that rests is not asked for signs of life, and one that owes an answer is, whether it may rest or not", async () => {
  const { clock, peer, cables, states, call, held } = nodes();
  const asked = (): number => cables[0]!.log.filter(({ from }) => from === "caller").length;
  await clock.settle();
  peer.rest(60_000);
  await clock.advance(1000);
  assert.equal(peer.resting, true);
  const before = asked();
  await clock.advance(30_000);
  assert.equal(asked(), before);
  const owed = call();
  await clock.settle();
  assert.equal(peer.resting, false);
  held[0]!.answer({ output: 1 });
  await clock.advance(1000);
  await owed;
  assert.equal(peer.resting, true);
  cables[0]!.stuck = true;
  const lost = caught(call());
  await clock.advance(1000);
  assert.equal((await lost).code, "CALL_LOST");
  assert.equal(states[1], "silent");
});

test("peer: one that rested is asked at once when it may not rest any more, and its silence shows as soon as any", async () => {
  const { clock, peer, world, cables, states } = nodes();
  await clock.settle();
  peer.rest(60_000);
  await clock.advance(1000);
  cables[0]!.stuck = true;
  world.mode = "silent";
  await clock.advance(10_000);
  assert.deepEqual(states, ["up"]);
  peer.rest(undefined);
  await clock.advance(1000);
  assert.deepEqual(states, ["up", "silent"]);
});
