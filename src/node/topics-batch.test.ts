// Subscriptions that make one command or call of several events, and that bound how many keys are done at once. On one node.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { z } from "zod";

import { app, entity, service, subscription, topic, topicKey, topicType } from "../model/index.ts";
import { world, type World, type WorldOptions } from "./world.fixture.ts";

const Order = z.object({ id: z.string(), n: z.number() });
const Orders = topic("orders", { event: Order, key: ({ id }) => id });
const News = topic("news", { event: Order });
const Book = entity("book", {
  state: z.object({ got: z.array(z.array(z.string())) }),
  commands: { note: { input: z.array(z.string()) }, one: { input: z.string() } },
  queries: { read: { output: z.array(z.array(z.string())) } },
});
const Mail = service("mail", {
  procedures: { all: { input: z.array(z.string()) }, one: { input: z.string() } },
});

/** What handlers do besides. They may wait. */
const hooks: { note: (got: readonly string[]) => unknown; send: (got: readonly string[]) => unknown } = {
  note: () => {},
  send: () => {},
};
let calls: (readonly string[])[] = [];
afterEach(() => {
  hooks.note = hooks.send = () => {};
  calls = [];
});

const book = Book.implement({
  initial: () => ({ got: [] }),
  async note({ state, input }) {
    state.got.push(input);
    await hooks.note(input);
  },
  async one({ state, input }) {
    state.got.push([input]);
    await hooks.note([input]);
  },
  read: ({ state }) => state.got.map((one) => [...one]),
});
const mail = Mail.implement({
  async all({ input }) {
    calls.push(input);
    await hooks.send(input);
  },
  async one({ input }) {
    calls.push([input]);
    await hooks.send([input]);
  },
});
type Options = NonNullable<Parameters<typeof subscription>[2]>;
const says = ({ id, n }: z.infer<typeof Order>): string => `${id} ${n}`;
const into = (batch: NonNullable<Options["batch"]>, rest: Omit<Options, "batch"> = {}) =>
  subscription("into", Orders, { ...rest, batch }).into(Book, "note", ({ value }) =>
    value.n < 0 ? undefined : { key: value.id, input: says(value) },
  );
const calling = (batch: NonNullable<Options["batch"]>, rest: Omit<Options, "batch"> = {}) =>
  subscription("calls", Orders, { ...rest, batch }).call(Mail, "all", ({ value }) => ({ input: says(value) }));
type Subscription = ReturnType<typeof into>;

const open = (subscriptions: readonly Subscription[], options: Partial<WorldOptions> = {}): Promise<World> =>
  world({
    shards: 1,
    app: app("orders", { entities: [book], services: [mail], topics: [Orders, News], subscriptions }),
    ...options,
  });
const publish = (w: World, id: string, n: number, name = "orders"): Promise<unknown> => {
  const key = topicKey(name, name === "orders" ? id : "");
  const target = { kind: "command", entity: topicType, key, name: "publish" } as const;
  return w.ask("", "publish", { id, n }, { target });
};
const read = async (w: World, key: string): Promise<readonly string[][]> =>
  (await w.ask(key, "read", undefined, { target: { kind: "query", entity: "book", key, name: "read" } }))
    .output as string[][];
/** What comes while nothing is taken: the engine takes it again when this is over. */
async function atOnce(w: World, group: string, act: () => Promise<unknown>): Promise<void> {
  await w.run(w.node.changeGroup("orders", group, { act: "pause" }));
  await act();
  await w.run(w.node.changeGroup("orders", group, { act: "resume" }));
}
const each = async (w: World, all: readonly (readonly [string, number])[]): Promise<void> => {
  for (const [id, n] of all) await publish(w, id, n);
};

test("batches: what is made for one key comes as one array, in order, and as many as are bounded", async () => {
  const w = await open([into({ events: 3 })]);
  await atOnce(w, "into", () =>
    each(w, [
      ["a", 1],
      ["b", 1],
      ["a", 2],
      ["a", -1],
      ["b", 2],
      ["a", 3],
      ["a", 4],
    ]),
  );
  await w.pass(1000);
  assert.deepEqual(await read(w, "a"), [["a 1", "a 2", "a 3"], ["a 4"]]);
  assert.deepEqual(await read(w, "b"), [["b 1", "b 2"]]);
});

test("batches: no more kilobytes go together than are bounded, and what is more alone goes alone", async () => {
  const w = await open([into({ kilobytes: 1 })]);
  const ids = ["x", "x", "x", "x"];
  await atOnce(w, "into", async () => {
    for (const [i, id] of ids.entries()) await publish(w, id, Number(`1${"0".repeat(i)}`));
  });
  await w.pass(1000);
  assert.equal((await read(w, "x")).length, 1);
  const long = (n: number) => `${n}`.padEnd(700, "l");
  const many = await open([
    subscription("into", Orders, { batch: { kilobytes: 1 } }).into(Book, "note", ({ value }) => ({
      key: "k",
      input: value.n === 2 ? long(2).padEnd(3000, "l") : long(value.n),
    })),
  ]);
  await atOnce(many, "into", () =>
    each(many, [
      ["a", 1],
      ["a", 2],
      ["a", 3],
    ]),
  );
  await many.pass(1000);
  assert.deepEqual(
    (await read(many, "k")).map((one) => one.map((text) => text.slice(0, 1))),
    [["1"], ["2"], ["3"]],
  );
});

test("batches: an event waits for others as long as it may, and no longer once there are enough", async () => {
  const w = await open([into({ events: 4, waitMs: 5000 })]);
  await publish(w, "a", 1);
  await w.pass(3000);
  await publish(w, "a", 2);
  await w.pass(1500);
  assert.deepEqual(await read(w, "a"), []);
  await w.pass(1000);
  assert.deepEqual(await read(w, "a"), [["a 1", "a 2"]]);
  for (let n = 3; n <= 6; n++) await publish(w, "a", n);
  await w.pass(500);
  assert.deepEqual((await read(w, "a")).slice(1), [["a 3", "a 4", "a 5", "a 6"]]);
});

test("batches: how long an event waits is counted from when it was published, whoever owns the shard", async () => {
  const before = await open([into({ waitMs: 10_000 })]);
  await publish(before, "a", 1);
  await before.pass(6000);
  await before.run(before.node.stop(100));
  const w = await open([into({ waitMs: 10_000 })], { from: before });
  await w.pass(3000);
  assert.deepEqual(await read(w, "a"), []);
  await w.pass(1500);
  assert.deepEqual(await read(w, "a"), [["a 1"]]);
});

test("batches: all of one takes effect or none, and it is tried again as it was", async () => {
  const w = await open([into({})]);
  let failures = 2;
  hooks.note = () => {
    if (failures-- > 0) throw new Error("not now");
  };
  await atOnce(w, "into", () =>
    each(w, [
      ["a", 1],
      ["a", 2],
    ]),
  );
  await w.pass(100);
  await publish(w, "a", 3);
  await w.pass(60_000);
  assert.deepEqual(await read(w, "a"), [["a 1", "a 2"], ["a 3"]]);
});

test("batches: a procedure is called for events of several keys at once, one call after the other, and a dead letter holds them all", async () => {
  const w = await open([calling({ events: 2 })]);
  hooks.send = (got) => {
    if (got.includes("b 1")) throw new Error("not this");
  };
  await atOnce(w, "calls", () =>
    each(w, [
      ["a", 1],
      ["b", 1],
      ["c", 1],
    ]),
  );
  await w.pass(180_000);
  assert.deepEqual(
    calls.map((one) => one.join()),
    [...Array<string>(5).fill("a 1,b 1"), "c 1"],
  );
  const [letter] = (await w.run(w.node.deadLetters(undefined, undefined, 10))).items;
  assert.equal(letter?.attempts, 5);
  assert.match(decodeURIComponent(letter.id), /calls:orders\/0\/\d+/);
  assert.match(letter.cause, /not this/);
  assert.deepEqual((await w.run(w.node.deadLetter(letter.id))).input, ["a 1", "b 1"]);
});

/** Lets handlers wait until they are let go, and tells how many wait. */
function gate(): { wait: () => Promise<void>; open: () => void; waiting: () => number; most: () => number } {
  let [going, most] = [[] as (() => void)[], 0];
  return {
    wait: () =>
      new Promise<void>((resolve) => {
        going.push(resolve);
        most = Math.max(most, going.length);
      }),
    open: () => {
      const all = going;
      going = [];
      for (const go of all) go();
    },
    waiting: () => going.length,
    most: () => most,
  };
}

const ids = Array.from({ length: 9 }, (_, i) => `k${i}`);
const twice = [1, 2].flatMap((n) => ids.map((id) => [id, n] as const));

for (const [how, shape] of [
  [
    "a procedure",
    subscription("two", Orders, { concurrency: 2 }).call(Mail, "one", ({ value }) => ({ input: says(value) })),
  ],
  [
    "a command",
    subscription("two", Orders, { concurrency: 2 }).into(Book, "one", ({ value }) => ({
      key: value.id,
      input: says(value),
    })),
  ],
] as const)
  test(`concurrency: ${how} runs for as many keys at once as are bounded, and for all in the end, each key in order`, async () => {
    const w = await open([shape]);
    const doors = gate();
    const got: string[] = [];
    hooks.send = hooks.note = ([one = ""]) => {
      got.push(one);
      return doors.wait();
    };
    await each(w, twice);
    await w.pass(500);
    assert.equal(doors.waiting(), 2);
    for (let i = 0; i < 20; i++) {
      doors.open();
      await w.pass(200);
    }
    assert.equal(doors.most(), 2);
    assert.equal(got.length, 18);
    for (const id of ids)
      assert.deepEqual(
        got.filter((one) => one.startsWith(`${id} `)),
        [`${id} 1`, `${id} 2`],
      );
  });

test("concurrency: what has failed and waits for its next attempt holds up its own key, and no other", async () => {
  const w = await open(
    [subscription("two", Orders, { concurrency: 1 }).call(Mail, "one", ({ value }) => ({ input: says(value) }))],
    { limits: { retryMs: 10_000 } },
  );
  hooks.send = ([one]) => {
    if (one === "k0 1") throw new Error("poison");
  };
  await each(w, twice);
  await w.pass(200);
  assert.equal(calls.filter(([one]) => one === "k0 1").length, 1);
  assert.equal(new Set(calls.flat()).size, 17);
  assert.ok(!calls.flat().includes("k0 2"));
  await w.pass(300_000);
  assert.equal(calls.filter(([one]) => one === "k0 1").length, 5);
  assert.ok(calls.flat().includes("k0 2"));
});

test("concurrency: calls that an owner before has begun count until their leases end", async () => {
  const shape = subscription("two", Orders, { concurrency: 2 }).call(Mail, "one", ({ value }) => ({
    input: says(value),
  }));
  const before = await open([shape]);
  const doors = gate();
  hooks.send = () => doors.wait();
  await each(before, twice);
  await before.pass(100);
  assert.equal(calls.length, 2);
  const w = await open([shape], { from: before });
  await w.pass(20_000);
  assert.equal(calls.length, 2);
  hooks.send = () => {};
  doors.open();
  await w.pass(60_000);
  assert.equal(new Set(calls.flat()).size, 18);
});

test("batches: the keys of a shard are dealt out among as many calls as are bounded, each key in order", async () => {
  const w = await open([calling({ events: 2 }, { concurrency: 2 })]);
  const doors = gate();
  hooks.send = () => doors.wait();
  await atOnce(w, "calls", () => each(w, twice));
  await w.pass(200);
  assert.equal(doors.waiting(), 2);
  for (let i = 0; i < 20; i++) {
    doors.open();
    await w.pass(200);
  }
  assert.equal(doors.most(), 2);
  const got = calls.flat();
  assert.equal(got.length, 18);
  for (const id of ids)
    assert.deepEqual(
      got.filter((one) => one.startsWith(`${id} `)),
      [`${id} 1`, `${id} 2`],
    );
});

test("batches: U4 where calls go in other lines than before, those of before end first", async () => {
  const alone = subscription("calls", Orders).call(Mail, "one", ({ value }) => ({ input: says(value) }));
  const w = await open([alone]);
  const doors = gate();
  hooks.send = () => doors.wait();
  await publish(w, "a", 1);
  await w.pass(200);
  const subscriptions = [calling({})];
  w.node.reload(app("orders", { entities: [book], services: [mail], topics: [Orders, News], subscriptions }));
  await publish(w, "a", 2);
  await w.pass(2000);
  assert.deepEqual(calls, [["a 1"]]);
  doors.open();
  await w.pass(2000);
  assert.deepEqual(calls, [["a 1"], ["a 2"]]);
  w.node.reload(app("orders", { entities: [book], services: [mail], topics: [Orders, News], subscriptions: [alone] }));
  await publish(w, "a", 3);
  await w.pass(2000);
  assert.equal(calls.length, 2);
  doors.open();
  await w.pass(2000);
  assert.deepEqual(calls.slice(2), [["a 3"]]);
});

test("batches: a batch that is no valid input as a whole stands still at its first event, until the code takes it", async () => {
  const few = z.array(z.string()).max(1, "one at a time");
  const Few = service("few", { procedures: { all: { input: few } } });
  const served = Few.implement({ all: ({ input }) => void calls.push(input) });
  const subscriptions = [
    subscription("into", Orders, { batch: {} }).call(Few, "all", ({ value }) => ({ input: says(value) })),
  ];
  const w = await open([], { app: app("orders", { entities: [book], services: [served], subscriptions }) });
  await atOnce(w, "into", () =>
    each(w, [
      ["a", 1],
      ["a", 2],
    ]),
  );
  await w.pass(1000);
  assert.deepEqual(calls, []);
  const [group] = (await w.run(w.node.groups())).items;
  assert.match(`${group?.stuck[0]?.event} ${group?.stuck[0]?.cause}`, /^orders\/0\/\d+ BAD_INPUT.*one at a time/);
});

test("topics: a procedure is called again for what a subscription meets again", async () => {
  const shape = subscription("calls", Orders).call(Mail, "one", ({ value }) => ({ input: says(value) }));
  const w = await open([shape]);
  await publish(w, "a", 1);
  await w.pass(1000);
  for (const to of ["beginning", "beginning"] as const) {
    await w.run(w.node.changeGroup("orders", "calls", { act: "seek", to, dryRun: false }));
    await w.pass(1000);
  }
  assert.deepEqual(calls, [["a 1"], ["a 1"], ["a 1"]]);
});
