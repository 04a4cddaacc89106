// What TypeScript infers, and refuses, for people who write contracts, handlers and calls. The type checker runs this file: every
// `@ts-expect-error` that expects in vain is an error. At run time only the loading is tested.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { SheafError } from "../base/index.ts";
import { Account, Rates, account, bank, bankContract, rates } from "./bank.fixture.ts";
import { app, entity, isDeclared, service, versioned, type Client } from "./index.ts";
import type * as Rpc from "../rpc/index.ts";
import type { Principal } from "../security/index.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Resolve<T> = T extends (...args: never) => unknown ? T : { [K in keyof T]: Resolve<T[K]> };
/** Compiles only when the value's type is exactly T, intersections written out. */
const is = <T>() => ({
  of: <V>(_value: V, ..._same: Equal<Resolve<V>, Resolve<T>> extends true ? [] : ["not this type"]): void => undefined,
});

/** As `is`, for types too large to write out. */
const same = <T>() => ({
  as: <V>(_value: V, ..._same: Equal<V, T> extends true ? [] : ["not this type"]): void => undefined,
});

/** Holds code that is type-checked and never run. */
const compiled = (_code: () => unknown): void => undefined;
declare const bankClient: Client<typeof bank.contract>;
declare const anyClient: Client;

const cents = z.number().int();

test("a contract: its name, schemas and levels keep their types", () => {
  is<"account">().of(Account.name);
  is<"rates">().of(Rates.name);
  is<"deposit" | "withdraw" | "close">().of(null as unknown as keyof typeof Account.commands);
  is<"balance" | "find">().of(null as unknown as keyof typeof Account.queries);
  is<"bank">().of(bankContract.name);
  same<readonly [typeof Account]>().as(bankContract.entities);
  same<typeof Account>().as(account.contract);
  same<typeof Rates>().as(rates.contract);
  same<readonly [typeof Account]>().as(bank.contract.entities);
  same<readonly [typeof Rates]>().as(bank.contract.services);
  // @ts-expect-error these two tests of types can fail
  is<string>().of(1);
  // @ts-expect-error these two tests of types can fail
  same<typeof Rates>().as(account.contract);
  const bare = entity("bare", { state: z.object({}), commands: {} });
  is<never>().of(null as unknown as keyof typeof bare.queries);
  assert.equal(bank.contract.entities[0], Account);
});

test("a definition: what is misspelt or of the wrong kind does not compile", () => {
  const state = z.object({ cents });
  compiled(() => [
    // @ts-expect-error an option that does not exist
    entity("a", { state, commands: {}, comands: {} }),
    // @ts-expect-error a misspelt side, next to a right one
    entity("a", { state, commands: { add: { input: cents, ouput: cents } } }),
    // @ts-expect-error a misspelt side alone
    entity("a", { state, commands: { add: { ouput: cents } } }),
    // @ts-expect-error only queries have a consistency level
    entity("a", { state, commands: { add: { input: cents, consistency: "strong" } } }),
    // @ts-expect-error a level that does not exist
    entity("a", { state, commands: {}, queries: { get: { output: cents, consistency: "linear" } } }),
    // @ts-expect-error a state that cannot be changed in place
    entity("a", { state: z.number(), commands: {} }),
    // @ts-expect-error not a schema
    entity("a", { state, commands: { add: { input: Number } } }),
    // @ts-expect-error not a schema
    entity("a", { state, commands: {}, events: { added: { cents } } }),
    // @ts-expect-error no state
    entity("a", { commands: {} }),
    // @ts-expect-error a misspelt side
    service("a", { procedures: { add: { input: cents, output: cents, error: {} } } }),
  ]);
});

test("a command's context: everything is inferred from the contract", () => {
  compiled(() =>
    Account.implement({
      initial: (key) => {
        is<string>().of(key);
        return { cents: 0 }; // tags have a default
      },
      deposit: ({ input }) => ({ cents: input.cents }),
      withdraw: async ({
        key,
        state,
        input,
        now,
        random,
        id,
        fail,
        emit,
        send,
        call,
        caller,
        signal,
        log,
        ...more
      }) => {
        is<string>().of(key);
        is<{ cents: number; tags: string[] }>().of(state);
        is<{ cents: number; memo: string }>().of(input); // the default is filled in
        is<number>().of(now);
        is<number>().of(random());
        is<string>().of(id());
        is<Principal>().of(caller);
        is<Rpc.Principal>().of(caller);
        is<AbortSignal>().of(signal);
        log.info("withdrawn", { key });
        state.cents -= 1;
        state.tags.push("x");
        emit("withdrawn", { cents: 1 });
        emit("emptied");
        is<void>().of(send.entity(Account, "b").deposit({ cents: 1 }));
        send.entity(Account, "b").close();
        is<string>().of(more.after(500, "deposit", { cents: 1 }));
        more.after(new Date(0), "close", { id: "end" });
        more.after(500, "withdraw", { cents: 1 }, { id: "w" });
        is<void>().of(more.cancel("w"));
        // @ts-expect-error a wrong input of another entity's command
        send.entity(Account, "b").deposit({ euros: 1 });
        // @ts-expect-error a query cannot be sent
        send.entity(Account, "b").balance();
        // @ts-expect-error not a command of this entity
        more.after(500, "balance");
        // @ts-expect-error a wrong input of its own command
        more.after(500, "deposit", { euros: 1 });
        // @ts-expect-error an input missing
        more.after(500, "deposit");
        is<{ cents: number }>().of(await call.entity(Account, "b").deposit({ cents: 1 }, { idempotencyKey: "k" }));
        is<{ rate: number }>().of(await call.service(Rates).quote({ pair: "EURUSD" }));
        if (input.memo === "frozen") return fail("FROZEN");
        if (state.cents < 0) return fail("INSUFFICIENT", { short: -state.cents });
        // @ts-expect-error an event that is not declared
        emit("deposited", { cents: 1 });
        // @ts-expect-error an event's value of the wrong type
        emit("withdrawn", { cents: "1" });
        // @ts-expect-error an event's value missing
        emit("withdrawn");
        // @ts-expect-error an error that is not declared
        fail("BROKE", { short: 1 });
        // @ts-expect-error an error's value of the wrong type
        fail("INSUFFICIENT", { long: 1 });
        // @ts-expect-error an error's value missing
        fail("INSUFFICIENT");
        // @ts-expect-error a wrong input of another entity's command
        await call.entity(Account, "b").deposit({ euros: 1 });
        return { cents: state.cents, at: "the schema makes this a number" };
      },
      close: ({ input, fail }) => {
        is<undefined>().of(input);
        // @ts-expect-error close declares no errors
        fail("INSUFFICIENT", { short: 1 });
      },
      balance: ({ state }) => state.cents,
      find: () => [],
    }),
  );
});

test("a query's context: state is read-only at every depth, and there is nothing to commit", () => {
  compiled(() =>
    Account.implement({
      ...spread,
      balance: ({ state, key, now, random, call, caller, signal, log }) => {
        is<{ readonly cents: number; readonly tags: readonly string[] }>().of(state);
        // @ts-expect-error read-only
        state.cents = 1;
        // @ts-expect-error read-only
        state.tags.push("x");
        void [key, now, random, call, caller, signal, log];
        return state.cents;
      },
    }),
  );
  compiled(() =>
    // @ts-expect-error a query cannot emit
    Account.implement({ ...spread, balance: ({ emit }) => emit("emptied") }),
  );
  compiled(() =>
    // @ts-expect-error a query cannot send
    Account.implement({ ...spread, balance: ({ send }) => send.entity(Account, "b").close() }),
  );
});

declare const spread: Parameters<typeof Account.implement>[0];

test("a procedure's context: no key, no state, no events", () => {
  compiled(() =>
    Rates.implement({
      quote: ({ input, now, random, id, fail, call, caller, signal, log }) => {
        is<{ pair: string }>().of(input);
        void [now, random, id, fail, call, caller, signal, log];
        return { rate: 1 };
      },
      refresh: async () => {},
    }),
  );
  // @ts-expect-error services keep no state
  compiled(() => Rates.implement({ quote: ({ state }) => ({ rate: state }), refresh: () => {} }));
});

test("an implementation: a missing, extra or wrong handler does not compile", () => {
  const Counter = entity("counter", {
    state: z.object({ count: z.number() }),
    commands: { add: { input: z.number(), output: z.object({ count: z.number() }) }, reset: {} },
    queries: { current: { output: z.number() } },
  });
  const whole = { initial: () => ({ count: 0 }), add: () => ({ count: 1 }), reset: () => {}, current: () => 0 };
  Counter.implement(whole);
  compiled(() => [
    // @ts-expect-error no handler of `current`
    Counter.implement({ initial: () => ({ count: 0 }), add: () => ({ count: 1 }), reset: () => {} }),
    // @ts-expect-error no `initial`
    Counter.implement({ add: () => ({ count: 1 }), reset: () => {}, current: () => 0 }),
    // @ts-expect-error a handler that is not in the contract
    Counter.implement({ ...whole, remove: () => {} }),
    // @ts-expect-error an output of the wrong type
    Counter.implement({ ...whole, add: () => ({ count: "1" }) }),
    // @ts-expect-error a promise of the wrong type
    Counter.implement({ ...whole, add: async () => ({ amount: 1 }) }),
    // @ts-expect-error no output where one is declared
    Counter.implement({ ...whole, add: () => {} }),
    // @ts-expect-error an output where none is declared
    Counter.implement({ ...whole, reset: () => 1 }),
    // @ts-expect-error an initial state of the wrong type
    Counter.implement({ ...whole, initial: () => ({ total: 0 }) }),
    // @ts-expect-error initial cannot wait for anything
    Counter.implement({ ...whole, initial: async () => ({ count: 0 }) }),
    // @ts-expect-error an input used as another type
    Counter.implement({ ...whole, add: ({ input }) => ({ count: input.length }) }),
  ]);
});

test("a versioned state: each older version needs its upgrade, and the last one's result fits", () => {
  const V3 = z.object({ cents });
  const state = versioned(3, V3, {
    1: (old: { euros: string }) => ({ euros: Number(old.euros) }),
    2: (old: { euros: number }) => ({ cents: old.euros * 100 }),
  });
  const Versioned = entity("versioned", { state, commands: { add: {} } });
  compiled(() =>
    Versioned.implement({
      initial: () => ({ cents: 0 }),
      add({ state }) {
        is<{ cents: number }>().of(state);
      },
    }),
  );
  versioned(1, V3, {});
  compiled(() => [
    // @ts-expect-error the upgrade from 2 is missing
    versioned(3, V3, { 1: (old: { euros: number }) => old }),
    // @ts-expect-error the last upgrade makes something else
    versioned(2, V3, { 1: (old: { euros: number }) => ({ euros: old.euros }) }),
    // @ts-expect-error there is nothing to upgrade from 2
    versioned(2, V3, { 1: () => ({ cents: 0 }), 2: () => ({ cents: 0 }) }),
    // @ts-expect-error a state that cannot be changed in place
    versioned(1, z.string(), {}),
  ]);
});

test("a client: inputs, outputs and options follow from the contract", () => {
  compiled(async () => {
    const acc = bankClient.entity(Account, "acc-7");
    is<{ cents: number }>().of(await acc.deposit({ cents: 5 }));
    is<{ cents: number; at: number }>().of(
      await acc.withdraw({ cents: 5 }, { idempotencyKey: "k", deadlineMs: 800, ifVersion: 3 }),
    );
    is<void>().of(await acc.close());
    is<void>().of(await acc.close({ deadlineMs: 5, signal: AbortSignal.timeout(5) }));
    is<number>().of(await acc.balance());
    is<number>().of(await acc.balance({ consistency: "strong" }));
    is<string[]>().of(await acc.find());
    is<string[]>().of(await acc.find("x", { consistency: "eventual" }));
    is<{ rate: number }>().of(await bankClient.service(Rates).quote({ pair: "EURUSD" }, { deadlineMs: 5 }));
    // @ts-expect-error a wrong input
    await acc.deposit({ euros: 5 });
    // @ts-expect-error no input
    await acc.deposit();
    // @ts-expect-error an input where none is declared
    await acc.close({ cents: 5 });
    // @ts-expect-error no such command
    await acc.transfer({ cents: 5 });
    // @ts-expect-error commands are always strong
    await acc.deposit({ cents: 5 }, { consistency: "strong" });
    // @ts-expect-error a query is not idempotency's business
    await acc.balance({ idempotencyKey: "k" });
    // @ts-expect-error no such level
    await acc.balance({ consistency: "linear" });
    // @ts-expect-error a procedure records nothing
    await bankClient.service(Rates).quote({ pair: "x" }, { idempotencyKey: "k" });
    // @ts-expect-error a service is not an entity
    bankClient.entity(Rates, "x");
    const Other = entity("other", { state: z.object({}), commands: { add: {} } });
    // @ts-expect-error this application has no such entity
    bankClient.entity(Other, "x");
    is<void>().of(await anyClient.entity(Other, "x").add());
  });
});

test("a declared error: the guard gives its data the declared type", () => {
  const error: unknown = new SheafError("DECLARED", "refused", { name: "INSUFFICIENT", data: { short: 3 } });
  assert(isDeclared(error, Account, "withdraw", "INSUFFICIENT"));
  is<{ short: number }>().of(error.data);
  is<"INSUFFICIENT">().of(error.error);
  assert.equal(error.data.short, 3);
  compiled(() => [
    // @ts-expect-error an error that is not declared
    isDeclared(error, Account, "withdraw", "BROKE"),
    // @ts-expect-error an error of another command
    isDeclared(error, Account, "deposit", "INSUFFICIENT"),
    // @ts-expect-error no such command
    isDeclared(error, Account, "transfer", "INSUFFICIENT"),
  ]);
});

test("an application: it is made of implementations, or of exactly what its contract names", () => {
  same<typeof bank>().as(app(bankContract, { entities: [account], services: [rates] }));
  compiled(() => [
    // @ts-expect-error a contract is not an implementation
    app("bank", { entities: [Account] }),
    // @ts-expect-error a service is not an entity
    app("bank", { entities: [rates] }),
    // @ts-expect-error an option that does not exist
    app("bank", { entity: [account] }),
  ]);
});
