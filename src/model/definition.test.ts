// What definitions refuse when they are loaded, and what clients and compiled contracts do when they run.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { SheafError, type ErrorCode } from "../base/index.ts";
import { Account, Rates, account, bank, rates } from "./bank.fixture.ts";
import {
  app,
  bindClient,
  bindEntity,
  compileApp,
  contract,
  entity,
  isDeclared,
  service,
  systemEntity,
  versioned,
  type Address,
  type AppShape,
  type EntityImplementation,
} from "./index.ts";

function refusedWith(code: ErrorCode, act: () => unknown): SheafError {
  try {
    act();
  } catch (error) {
    assert(error instanceof SheafError, String(error));
    assert.equal(error.code, code, error.message);
    return error;
  }
  assert.fail("it was not refused");
}

type Loose = (name: unknown, definition: unknown) => unknown;
const state = z.object({ n: z.number() });
const looseEntity = entity as unknown as Loose;
const looseService = service as unknown as Loose;

test("names: only letters, digits, _ and - are allowed, and none that objects or clients already have", () => {
  for (const name of ["", "1a", "a.b", "a b", "a/b", "ä", "_a", "a".repeat(65), "sheaf.keys", "a\n", 7, undefined]) {
    refusedWith("USAGE", () => looseEntity(name, { state, commands: {} }));
    refusedWith("USAGE", () => looseService(name, { procedures: {} }));
    refusedWith("USAGE", () => contract(name as string, {}));
  }
  for (const name of [
    "then",
    "catch",
    "finally",
    "constructor",
    "initial",
    "toString",
    "hasOwnProperty",
    "prototype",
    "a.b",
    "",
  ]) {
    refusedWith("USAGE", () => looseEntity("a", { state, commands: { [name]: {} } }));
    refusedWith("USAGE", () => looseEntity("a", { state, commands: {}, queries: { [name]: {} } }));
    refusedWith("USAGE", () => looseEntity("a", { state, commands: {}, events: { [name]: state } }));
    refusedWith("USAGE", () => looseEntity("a", { state, commands: { add: { errors: { [name]: state } } } }));
    refusedWith("USAGE", () => looseService("a", { procedures: { [name]: {} } }));
  }
  refusedWith("USAGE", () => looseEntity("a", { state, commands: JSON.parse('{"__proto__": {}}') }));
  assert.equal((looseEntity("a".repeat(64), { state, commands: { "A-_9": {} } }) as { kind: string }).kind, "entity");
});

test("Sheaf's own names: users cannot take them, and its own entities have them", () => {
  assert.equal(systemEntity("sheaf.keys", { state, commands: {} }).name, "sheaf.keys");
  refusedWith("USAGE", () => systemEntity("keys" as "sheaf.keys", { state, commands: {} }));
  refusedWith("USAGE", () => systemEntity("sheaf.a.b", { state, commands: {} }));
});

test("a definition: what it gets wrong is refused when it is loaded", () => {
  for (const definition of [
    undefined,
    null,
    [],
    {},
    { state },
    { commands: {} },
    { state: 1, commands: {} },
    { state: {}, commands: {} },
    { state, commands: [] },
    { state, commands: { add: null } },
    { state, commands: { add: state } },
    { state, commands: { add: { ouput: state } } },
    { state, commands: { add: { input: 1 } } },
    { state, commands: { add: { output: null } } },
    { state, commands: { add: { errors: [] } } },
    { state, commands: { add: { errors: { NO: {} } } } },
    { state, commands: { add: { consistency: "strong" } } },
    { state, commands: {}, queries: { get: { consistency: "linear" } } },
    { state, commands: { get: {} }, queries: { get: {} } },
    { state, commands: {}, events: { added: 1 } },
    { state, commands: {}, event: {} },
    { state, commands: Object.create({ add: {} }) },
  ]) {
    refusedWith("USAGE", () => looseEntity("a", definition));
  }
  for (const definition of [undefined, {}, { procedures: 1 }, { procedures: { a: { input: 1 } } }, { procedure: {} }]) {
    refusedWith("USAGE", () => looseService("a", definition));
  }
});

test("a contract: nobody can change it afterwards", () => {
  for (const part of [
    Account,
    Account.commands,
    Account.commands.deposit,
    Account.queries,
    Account.events,
    Account.state,
  ]) {
    assert(Object.isFrozen(part));
  }
  for (const part of [
    Rates,
    Rates.procedures,
    bank,
    bank.entities,
    bank.contract,
    bank.contract.services,
    account,
    rates,
  ]) {
    assert(Object.isFrozen(part));
  }
});

test("an implementation: it has every handler of the contract and no other", () => {
  const Counter = entity("counter", { state, commands: { add: {} }, queries: { get: {} } });
  const implement = Counter.implement as (handlers: unknown) => EntityImplementation;
  const whole = { initial: () => ({ n: 0 }), add: () => {}, get: () => {} };
  for (const handlers of [
    undefined,
    {},
    { ...whole, add: undefined },
    { ...whole, more: () => {} },
    { ...whole, initial: 0 },
    Object.create(whole),
  ]) {
    refusedWith("USAGE", () => implement(handlers));
  }
  const { contract: made, initial, handlers } = implement(whole);
  assert.equal(made, Counter);
  assert.deepEqual([initial, { ...handlers }], [whole.initial, { add: whole.add, get: whole.get }]);
  assert.equal(Object.getPrototypeOf(handlers), null);
});

test("an application: duplicates, strangers and missing implementations are refused", () => {
  const Twin = service("account", { procedures: {} });
  refusedWith("USAGE", () => app("bank", { entities: [account, account] }));
  refusedWith("USAGE", () => app("bank", { entities: [account], services: [Twin.implement({})] }));
  refusedWith("USAGE", () => contract("bank", { entities: [Account, Account] }));
  const loose = app as unknown as (name: unknown, parts: unknown) => AppShape;
  for (const parts of [
    undefined,
    { entities: [Account] },
    { entities: [rates] },
    { services: [account] },
    { entities: [undefined] },
    { entity: [] },
  ]) {
    refusedWith("USAGE", () => loose("bank", parts));
  }
  const apart = contract("bank", { entities: [Account], services: [Rates] });
  assert.match(refusedWith("USAGE", () => app(apart, { entities: [account] })).message, /no implementation of rates/);
  assert.match(
    refusedWith("USAGE", () => app(contract("bank", {}), { entities: [account] })).message,
    /does not have account/,
  );
  assert.deepEqual(app(apart, { entities: [account], services: [rates] }).contract, apart);
});

test("a client: each function hands on its address, input and options", async () => {
  const calls: unknown[][] = [];
  const client = bindClient(async (...call) => calls.push(call));
  const acc = client.entity(Account, "acc-7");
  await acc.deposit({ cents: 5 }, { idempotencyKey: "k" });
  await acc.close();
  await acc.close({ deadlineMs: 5 });
  await acc.find(undefined, { consistency: "strong" });
  await client.service(Rates).quote({ pair: "x" });
  const at = (kind: "command" | "query", name: string): Address => ({ kind, entity: "account", key: "acc-7", name });
  assert.deepEqual(calls, [
    [at("command", "deposit"), { cents: 5 }, { idempotencyKey: "k" }],
    [at("command", "close"), undefined, undefined],
    [at("command", "close"), undefined, { deadlineMs: 5 }],
    [at("query", "find"), undefined, { consistency: "strong" }],
    [{ kind: "procedure", service: "rates", name: "quote" }, { pair: "x" }, undefined],
  ]);
});

test("a client's face: its functions can be taken off it, it can be awaited, and it answers to nothing else", async () => {
  const keys: string[] = [];
  const invoke = async (address: Address): Promise<void> => void keys.push("key" in address ? address.key : "");
  const { close } = bindEntity(Account, "a", invoke);
  await bindEntity(Account, "b", invoke).close();
  await close();
  assert.deepEqual(keys, ["b", "a"]);
  const face = bindEntity(Account, "a", invoke);
  assert.equal(await Promise.resolve<unknown>(face), face);
  for (const name of ["then", "toString", "constructor", "__proto__", "transfer"]) assert.equal(name in face, false);
  for (const key of ["", undefined, 7]) refusedWith("USAGE", () => bindEntity(Account, key as string, invoke));
});

test("a declared error: it is recognised by name at its own operation, and by nothing less", () => {
  const error = new SheafError("DECLARED", "refused", { name: "INSUFFICIENT", data: { short: 1 } });
  const loose = isDeclared as (...args: unknown[]) => boolean;
  assert(isDeclared(error, Account, "withdraw", "INSUFFICIENT"));
  assert.equal(loose(error, Account, "withdraw", "FROZEN"), false);
  assert.equal(loose(error, Account, "deposit", "INSUFFICIENT"), false);
  assert.equal(loose(error, Account, "toString", "INSUFFICIENT"), false);
  assert.equal(loose(error, Rates, "quote", "INSUFFICIENT"), false);
  for (const other of [undefined, null, "INSUFFICIENT", new Error("INSUFFICIENT"), new SheafError("INTERNAL")]) {
    assert.equal(isDeclared(other, Account, "withdraw", "INSUFFICIENT"), false);
  }
});

test("a compiled operation: input, output and declared errors are checked, each with its own code", () => {
  const { entities, services } = compileApp(bank);
  const compiled = entities.get("account");
  const withdraw = compiled?.operations.get("withdraw");
  assert(
    compiled !== undefined &&
      withdraw !== undefined &&
      services.get("rates")?.operations.get("quote")?.kind === "procedure",
  );
  assert.deepEqual(withdraw.input({ cents: 5 }), { cents: 5, memo: "none" });
  assert.match(
    refusedWith("BAD_INPUT", () => withdraw.input({ cents: -5 })).message,
    /^the input of account\.withdraw does not fit: \/cents: /,
  );
  assert.deepEqual(withdraw.output({ cents: 1, at: "now" }), { cents: 1, at: 3 });
  refusedWith("BAD_OUTPUT", () => withdraw.output(undefined));
  const { code, error, data } = withdraw.declared("INSUFFICIENT", { short: 3, extra: 1 });
  assert.deepEqual([code, error, data], ["DECLARED", "INSUFFICIENT", { short: 3 }]);
  assert.equal(withdraw.declared("FROZEN", undefined).code, "DECLARED");
  assert.equal(withdraw.declared("INSUFFICIENT", { short: "3" }).code, "BAD_OUTPUT");
  for (const name of ["BROKE", "toString", "__proto__"]) assert.equal(withdraw.declared(name, {}).code, "BAD_OUTPUT");
  assert.deepEqual(compiled.event("withdrawn", { cents: 1 }), { cents: 1 });
  refusedWith("BAD_OUTPUT", () => compiled.event("withdrawn", {}));
  refusedWith("BAD_OUTPUT", () => compiled.event("constructor", {}));
  assert.deepEqual(
    [...compiled.operations.values()].map((o) => `${o.kind} ${o.name} ${o.consistency}`),
    [
      "command deposit strong",
      "command withdraw strong",
      "command close strong",
      "query balance causal",
      "query find strong",
    ],
  );
});

test("an output that is not plain data: it is refused although its schema allows it", () => {
  const Clock = service("clock", { procedures: { read: { output: z.object({ at: z.date() }) } } });
  const read = compileApp(app("clock", { services: [Clock.implement({ read: () => ({ at: new Date(0) }) })] }))
    .services.get("clock")
    ?.operations.get("read");
  assert.match(refusedWith("BAD_OUTPUT", () => read?.output({ at: new Date(0) })).message, /\/at: is a Date/);
});

test("a state: the first, the changed and the stored one are all checked", () => {
  const compiled = compileApp(bank).entities.get("account");
  assert.deepEqual(compiled?.initial("a"), { cents: 0, tags: [] });
  assert.deepEqual(compiled.state({ cents: 1, tags: ["x"] }), { cents: 1, tags: ["x"] });
  assert.match(
    refusedWith("BAD_STATE", () => compiled.state({ cents: 0.5 })).message,
    /the state of account does not fit: \/cents/,
  );
  assert.deepEqual(compiled.restore(1, { cents: 1 }), { cents: 1, tags: [] });
  refusedWith("STATE_TOO_NEW", () => compiled.restore(2, { cents: 1 }));

  const Odd = entity("odd", {
    state: versioned(2, z.any(), { 1: (old: { fail?: boolean }) => (old.fail ? 7 : { upgraded: true }) }),
    commands: {},
  });
  const odd = (initial: () => unknown) =>
    compileApp(app("odd", { entities: [Odd.implement({ initial })] })).entities.get("odd");
  assert.deepEqual(odd(() => ({}))?.restore(1, {}), { upgraded: true });
  refusedWith("BAD_STATE", () => odd(() => ({}))?.restore(1, { fail: true }));
  for (const first of [undefined, null, 1, "x", new Uint8Array(1), new Map(), Promise.resolve({})]) {
    refusedWith("BAD_STATE", () => odd(() => first)?.initial("a"));
  }
  const boom = (): never => {
    throw new Error("boom");
  };
  refusedWith("HANDLER_FAILED", () => odd(boom)?.initial("a"));
});
