// What TypeScript infers, and refuses, of topics and subscriptions; and what definitions are refused when they are loaded.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { Account, account, Rates, rates } from "./bank.fixture.ts";
import { app, type Client, entity, queue, service, subscription, topic } from "./index.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T>() => ({
  of: <V>(_value: V, ..._same: Equal<V, T> extends true ? [] : ["not this type"]): void => undefined,
});
/** Holds code that is type-checked and never run. */
const compiled = (_code: () => unknown): void => undefined;
declare const client: Client;

const Event = z.object({ id: z.string(), cents: z.number().default(0) });
const Orders = topic("orders", { event: Event, key: (order) => order.id });
const Tally = entity("tally", { state: z.object({ n: z.number() }), commands: { add: {} }, feed: true });

test("a topic: publishers hand in what its schema takes, subscribers get what it gives", () => {
  compiled(() => {
    is<Promise<void>>().of(client.topic(Orders).publish({ id: "a" }));
    // @ts-expect-error not an event of this topic
    void client.topic(Orders).publish({ cents: 5 });
    // @ts-expect-error the key is made of the event, and is text
    topic("odd", { event: Event, key: (order) => order.cents });
    // @ts-expect-error an option that does not exist
    topic("odd", { event: Event, partitions: 5 });
  });
  is<"orders">().of(Orders.name);
  assert.equal(Orders.key?.({ id: "a", cents: 1 } as never), "a");
});

test("a subscription: the event is the topic's, and what is made of it fits the command or the procedure", () => {
  const deposits = subscription("deposits", Orders);
  compiled(() => {
    deposits.into(Account, "deposit", ({ id, key, at, topic: name, value }) => {
      is<string>().of(id);
      is<string>().of(key);
      is<number>().of(at);
      is<string>().of(name);
      is<{ id: string; cents: number }>().of(value);
      return { key, input: { cents: value.cents } };
    });
    deposits.into(Account, "close", ({ key }) => (key === "a" ? undefined : { key }));
    // @ts-expect-error no such command
    deposits.into(Account, "transfer", ({ key }) => ({ key }));
    // @ts-expect-error a query is no command
    deposits.into(Account, "balance", ({ key }) => ({ key }));
    // @ts-expect-error the command takes something else
    deposits.into(Account, "deposit", ({ key }) => ({ key, input: { euros: 5 } }));
    // @ts-expect-error an entity has a key
    deposits.into(Account, "deposit", () => ({ input: { cents: 5 } }));
    deposits.call(Rates, "quote", ({ value }) => ({ input: { pair: value.id } }));
    // @ts-expect-error the procedure takes something else
    deposits.call(Rates, "quote", ({ value }) => ({ input: value.id }));
    // @ts-expect-error no such procedure
    deposits.call(Rates, "look", () => ({}));
    // @ts-expect-error no such event
    subscription("x", Account.topic("deposited"));
    entity("a", {
      state: Event,
      commands: {},
      events: { done: Event },
      feed: true,
      retain: { done: {}, changed: { days: 1 } },
    });
    // @ts-expect-error no such event, and no feed
    entity("a", { state: Event, commands: {}, events: { done: Event }, retain: { changed: { days: 1 } } });
    subscription("feed", Tally.topic("changed")).into(Account, "close", ({ value }) => {
      is<number>().of(value.version);
      is<{ n: number }>().of(value.state);
      return undefined;
    });
  });
  is<"account.withdrawn">().of(Account.topic("withdrawn").name);
  assert.equal(Account.topic("withdrawn").name, "account.withdrawn");
});

test("a subscription with a batch: what is made of an event is an item of the array that the command or procedure takes", () => {
  const Log = entity("log", {
    state: z.object({}),
    commands: { all: { input: z.array(z.object({ n: z.number().default(0) })).readonly() }, none: {} },
  });
  const Bulk = service("bulk", { procedures: { put: { input: z.array(z.string()) } } });
  compiled(() => {
    const many = subscription("many", Orders, { batch: { events: 50, kilobytes: 64, waitMs: 200 }, concurrency: 4 });
    many.into(Log, "all", ({ value }) => ({ key: value.id, input: { n: value.cents } }));
    many.into(Log, "all", ({ value }) => (value.cents > 5 ? { key: value.id, input: {} } : undefined));
    many.call(Bulk, "put", ({ value }) => ({ input: value.id }));
    // @ts-expect-error an item, not the whole array
    many.call(Bulk, "put", ({ value }) => ({ input: [value.id] }));
    // @ts-expect-error the items are something else
    many.into(Log, "all", ({ value }) => ({ key: value.id, input: { n: value.id } }));
    // @ts-expect-error the command takes no array
    many.into(Account, "deposit", ({ key }) => ({ key, input: { cents: 5 } }));
    // @ts-expect-error the command takes nothing
    many.into(Log, "none", ({ key }) => ({ key }));
    // @ts-expect-error an item is wanted
    many.into(Log, "all", ({ key }) => ({ key }));
    subscription("one", Orders, { concurrency: 4 }).call(Bulk, "put", ({ value }) => ({ input: [value.id] }));
    subscription("one", Orders, { batch: undefined }).call(Bulk, "put", ({ value }) => ({ input: [value.id] }));
    // @ts-expect-error without a batch the input is the whole array
    subscription("one", Orders).call(Bulk, "put", ({ value }) => ({ input: value.id }));
    // @ts-expect-error an option that does not exist
    subscription("many", Orders, { batch: { size: 50 } });
  });
  const { batch, concurrency } = subscription("many", Orders, { batch: {}, concurrency: 3 }).call(Bulk, "put", () => ({
    input: "a",
  }));
  assert.deepEqual([batch, concurrency], [{ events: 100, bytes: 256 * 1024, waitMs: 0 }, 3]);
});

test("topics and subscriptions: one that cannot be is refused when it is loaded, with what is wrong", () => {
  const make = ({ key }: { key: string }): { key: string } => ({ key });
  const closes = subscription("closes", Orders).into(Account, "close", make);
  const Other = entity("other", { state: z.object({}), commands: { add: {} } });
  const refused: readonly (readonly [RegExp, () => unknown])[] = [
    [/begins with a letter/, () => topic("1", { event: Event })],
    [/above 0/, () => topic("a", { event: Event, retain: { days: 0 } })],
    [/no option "weeks"/, () => topic("a", { event: Event, retain: { weeks: 1 } as never })],
    [/Standard Schema/, () => topic("a", { event: 5 as never })],
    [/has no event "opened"/, () => Account.topic("opened" as never)],
    [/needs a topic/, () => subscription("a", Account as never)],
    [/"beginning", "now" or a Date/, () => subscription("a", Orders, { from: new Date(Number.NaN) })],
    [/"beginning", "now" or a Date/, () => subscription("a", Orders, { from: "soon" as never })],
    [/no option "every"/, () => subscription("a", Orders, { every: 5 } as never)],
    [/batch has no option "size"/, () => subscription("a", Orders, { batch: { size: 5 } as never })],
    [/batch must be an object/, () => subscription("a", Orders, { batch: 5 as never })],
    [/batch: events is a whole number above 0/, () => subscription("a", Orders, { batch: { events: 0 } })],
    [/batch: events is at most 1000/, () => subscription("a", Orders, { batch: { events: 1001 } })],
    [/batch: kilobytes is .*at most 1024/, () => subscription("a", Orders, { batch: { kilobytes: 2000 } })],
    [/batch: waitMs is a number from 0 to 60000/, () => subscription("a", Orders, { batch: { waitMs: -1 } })],
    [/concurrency is a whole number above 0/, () => subscription("a", Orders, { concurrency: 1.5 })],
    [/concurrency is at most 1000/, () => subscription("a", Orders, { concurrency: 1001 })],
    [/no command "balance"/, () => subscription("a", Orders).into(Account, "balance" as never, make as never)],
    [/no procedure "look"/, () => subscription("a", Orders).call(Rates, "look" as never, make as never)],
    [/the last argument/, () => subscription("a", Orders).into(Account, "close", undefined as never)],
    [/two of its subscriptions/, () => app("a", { entities: [account], subscriptions: [closes, closes] })],
    [/which it does not have/, () => app("a", { entities: [], subscriptions: [closes] })],
    [
      /which it does not have/,
      () => {
        const quotes = subscription("q", Orders).call(Rates, "quote", ({ key }) => ({ input: { pair: key } }));
        return app("a", { entities: [account], subscriptions: [quotes] });
      },
    ],
    [
      /events of the entity account/,
      () => {
        const other = Other.implement({ initial: () => ({}), add: () => {} });
        const adds = subscription("adds", Account.topic("withdrawn")).into(Other, "add", make);
        return app("a", { entities: [other], subscriptions: [adds] });
      },
    ],
    [/two of its .*named "orders"/, () => app("a", { topics: [Orders, topic("orders", { event: Event })] })],
    [
      /retain has no option "gone"/,
      () => entity("a", { state: z.object({}), commands: {}, events: { done: Event }, retain: { gone: {} } as never }),
    ],
    [
      /event done: retain.days is a number above 0/,
      () => entity("a", { state: z.object({}), commands: {}, events: { done: Event }, retain: { done: { days: -1 } } }),
    ],
    [/feed is true or false/, () => entity("a", { state: z.object({}), commands: {}, feed: 1 as never })],
  ];
  for (const [says, define] of refused) assert.throws(define, says, String(says));
  const jobs = queue("jobs", { input: Event });
  const into = (): unknown => subscription("a", Orders).into(jobs as never, "add" as never, make as never);
  assert.throws(into, { hint: /send\.queue/ }, "how an event becomes a job");
  const whole = app("a", { entities: [account], services: [rates], subscriptions: [closes] });
  assert.deepEqual(whole.contract.topics, [Orders]);
});
