// Where calls go, as nodes see each other.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { Membership } from "./membership.ts";
import { Owners } from "./owners.ts";
import type { Parts } from "./parts.ts";
import { Router } from "./router.ts";
import { wayOf } from "./way.ts";

type Answers = (SheafError | Reply)[];
type Others = Readonly<
  Record<string, Answers | { readonly zone?: string; readonly state?: string; readonly answers: Answers }>
>;

/** A node of the zone "", among others that offer `clerk`, each with what it answers, in turn. `own`: what it answers itself,
 *  if it offers `clerk` too. */
function among(
  others: Others,
  { own, knows = [], external = [] }: { own?: Answers; knows?: readonly string[]; external?: readonly string[] } = {},
) {
  const host = simHost({});
  const all = Object.entries(others).map(([id, one]) => ({
    id,
    zone: "",
    state: "ready",
    ...(Array.isArray(one) ? { answers: one } : one),
  }));
  const hosts = own ? [...all, { id: "me", zone: "", state: "ready", answers: own }] : all;
  const members = hosts.map(({ id, zone, state }) => ({
    member: { id, zone, state, services: ["clerk"], entities: false },
    standing: "alive",
  }));
  const asked: string[] = [];
  const answer = async (id: string): Promise<Reply> => {
    asked.push(id);
    const next = hosts.find((one) => one.id === id)?.answers.shift() ?? assert.fail(`${id} was asked once more`);
    if (next instanceof SheafError) throw next;
    return next;
  };
  const peers = { get: (id: string) => ({ state: "up", call: () => answer(id) }) };
  const app = { contract: { services: knows.map((name) => ({ name })) } };
  const shard = { number: 0, tenure: { kind: "closed" }, fold: { owner: undefined, epoch: 0 } };
  const shards = { all: [shard], of: () => shard };
  const parts = {
    id: "me",
    app,
    shards,
    cluster: {},
    compiled: { entities: new Map(), external: new Map(external.map((name) => [name, new Map()])) },
    options: { host },
  } as unknown as Parts;
  const view = { members };
  const membership = {
    view,
    peers,
    self: { zone: "" },
    owners: new Owners({ id: "me", shards }, () => true),
    ownerOf: () => undefined,
    ranking: () => [],
  };
  const here = async ({ target }: Call): Promise<Reply> =>
    target.kind === "procedure" && target.service === "clerk" && own
      ? answer("me")
      : Promise.reject(new SheafError("UNKNOWN_TARGET", "called from here"));
  const way = wayOf(parts, membership as unknown as Membership, here);
  const router = new Router({
    host,
    self: "me",
    way,
    here,
    knows: () => false,
    refused: () => false,
    open: () => true,
  });
  const ask = async (given: Call["target"] | string = "clerk"): Promise<Reply> => {
    const target = typeof given === "string" ? ({ kind: "procedure", service: given, name: "say" } as const) : given;
    const call: Call = {
      target,
      input: undefined,
      principal: { id: "t", roles: [] },
      deadline: host.clock.tick() + 900,
    };
    let settled = false;
    const reply = router.call(call).finally(() => (settled = true));
    reply.catch(() => {});
    await host.schedule.run({ done: () => settled, until: host.schedule.now() + 1000 });
    return reply;
  };
  return Object.assign(ask, { asked, host });
}

const hello: Reply = { output: "hello" };
const times = (count: number, make: () => SheafError | Reply): Answers => Array.from({ length: count }, make);
const full = (): SheafError => new SheafError("OVERLOADED", undefined, { retryAfterMs: 100 });

test("way: a service whose only node is briefly unable is asked again, and is not called unknown", async () => {
  const ask = among({ a: [new SheafError("UNREACHABLE"), new SheafError("STOPPING"), { output: "hello" }] });
  assert.equal((await ask()).output, "hello");
});

test("way: a service that nobody offers is unknown at once", async () => {
  await assert.rejects(among({ a: [] })("nobody"), (error: SheafError) => error.code === "UNKNOWN_TARGET");
});

test("way: a service that the application has and nobody hosts is refused at once, and says how to host it", async () => {
  const ask = among({}, { knows: ["ledger"] });
  const began = ask.host.clock.tick();
  await assert.rejects(ask("ledger"), (error: SheafError) => {
    assert.equal(error.code, "NOT_HOSTED");
    assert.equal(error.outcome, "not-applied");
    assert.match(error.hint ?? "", /--roles ledger/);
    return true;
  });
  assert.ok(ask.host.clock.tick() - began < 100);
});

test("way: a service outside of the cluster is called from here, whoever else is there", async () => {
  const ask = among({ a: [] }, { knows: ["rates"], external: ["rates"] });
  await assert.rejects(ask("rates"), (error: SheafError) => error.message === "called from here");
});

test("way: an entity is refused at once where no node hosts entities", async () => {
  const target = { kind: "command", entity: "account", key: "a", name: "open" } as const;
  await assert.rejects(among({ a: [] })(target), (error: SheafError) => error.code === "NOT_HOSTED");
});

test("way: a call goes from a node that is full to one that has room, and each is asked once", async () => {
  const ask = among({ a: [full()], b: [full()], c: [hello] }, { own: [full()] });
  assert.equal((await ask()).output, "hello");
  assert.equal(new Set(ask.asked).size, ask.asked.length);
  assert.equal(ask.asked[0], "me");
});

test("way: where all are full the caller is told so, with a pause, without waiting for its deadline", async () => {
  const ask = among({ a: [full()], b: [full()] }, { own: [full()] });
  const began = ask.host.clock.tick();
  await assert.rejects(ask(), (error: SheafError) => error.code === "OVERLOADED" && error.retryAfterMs === 100);
  assert.equal(ask.asked.length, 3);
  assert.ok(ask.host.clock.tick() - began < 100);
});

test("way: nodes that are full are asked again for a share of the calls only", async () => {
  const ask = among({ a: times(1000, full) }, { own: times(1000, full) });
  for (let i = 0; i < 500; i++) await assert.rejects(ask());
  const again = ask.asked.length - 500;
  assert.ok(again >= 100 && again <= 260, `${again} of 500 were asked again`);
});

test("way: a procedure that one release lacks is asked of a node that has it", async () => {
  const lacks = new SheafError("UNKNOWN_TARGET", "clerk has no procedure say");
  const ask = among({ a: [hello], b: [lacks] }, { own: [lacks] });
  assert.equal((await ask()).output, "hello");
  const none = among({ a: [lacks] }, { own: [lacks] });
  await assert.rejects(none(), (error: SheafError) => error.code === "UNKNOWN_TARGET");
});

test("way: a service that fails here goes elsewhere, and an error that it declares does not move it", async () => {
  const broken = () => new SheafError("HANDLER_FAILED", "no disk", { outcome: "unknown" });
  const ask = among({ a: times(40, () => hello) }, { own: times(40, broken) });
  for (let i = 0; i < 40; i++) await ask().catch(() => {});
  assert.equal(ask.asked.filter((id) => id === "me").length, 5);
  const declares = among({ a: [] }, { own: times(40, () => new SheafError("DECLARED")) });
  for (let i = 0; i < 40; i++) await assert.rejects(declares(), (error: SheafError) => error.code === "DECLARED");
});

test("way: a call that may have been carried out is not sent to another node", async () => {
  const ask = among({ a: [] }, { own: [new SheafError("HANDLER_FAILED", undefined, { outcome: "unknown" })] });
  await assert.rejects(ask(), (error: SheafError) => error.code === "HANDLER_FAILED");
  const lost = among({ a: [new SheafError("CALL_LOST")] });
  await assert.rejects(lost(), (error: SheafError) => error.code === "CALL_LOST" && error.outcome === "unknown");
});

test("way: calls stay in the zone as long as nothing speaks against it", async () => {
  const ask = among({ near: times(30, () => hello), far: { zone: "z2", answers: [] } });
  for (let i = 0; i < 30; i++) await ask();
});

test("way: a node that drains is called only while no other offers the service", async () => {
  const drains = { state: "draining", answers: times(1, () => hello) };
  const ask = among({ a: drains, b: times(20, () => hello) });
  for (let i = 0; i < 20; i++) await ask();
  assert.deepEqual(new Set(ask.asked), new Set(["b"]));
  assert.equal((await among({ a: drains })()).output, "hello");
});
