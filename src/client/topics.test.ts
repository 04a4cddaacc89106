// Topics as clients have them, over both transports: a real node, a real listener.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { SheafError } from "../base/index.ts";
import { entity } from "../model/index.ts";
import { z } from "zod";
import { connect, type ConnectOptions } from "./index.ts";
import { Lists, openShop, Orders, shop, Till } from "./shop.fixture.ts";

const code = (expected: string) => (error: unknown) => error instanceof SheafError && error.code === expected;
type Client = ReturnType<typeof connect<typeof shop.contract>>;

async function inShop(t: TestContext, options: Partial<ConnectOptions> = {}): Promise<Client> {
  const { url } = await openShop(t);
  const client = connect(shop.contract, { url, ...options });
  t.after(() => client.close());
  return client;
}

/** What a subscription has brought about, once there is so much of it. */
async function seen(client: Client, key: string, count: number): Promise<number[]> {
  for (;;) {
    const found = await client.entity(Till, key).seen();
    if (found.length >= count) return found;
  }
}

for (const transport of ["socket", "http"] as const) {
  test(`topics over ${transport}: an event is published once for its key, and reaches subscriptions in order`, async (t) => {
    const client = await inShop(t, { transport });
    const orders = client.topic(Orders);
    for (const n of [1, 2]) await orders.publish({ id: "a", n }, { idempotencyKey: `k${n}` });
    await orders.publish({ id: "a", n: 2 }, { idempotencyKey: "k2" });
    await orders.publish({ id: "a", n: 3 });
    assert.deepEqual(await seen(client, "a", 3), [1, 2, 3]);
    await assert.rejects(orders.publish({ id: "a", n: 9 }, { idempotencyKey: "k2" }), code("IDEMPOTENCY_MISMATCH"));
    await assert.rejects(orders.publish({ id: "a" } as never), code("BAD_INPUT"));
    await client.topic(Lists).publish(["one", "event"]);
    assert.deepEqual(await seen(client, "a", 3), [1, 2, 3]);
  });

  test(`topics over ${transport}: nothing of Sheaf's own is reached, whatever a caller makes up`, async (t) => {
    const client = await inShop(t, { transport });
    const input = z.object({ topic: z.string(), after: z.number(), limit: z.number(), waitMs: z.number() });
    const own = entity("own", {
      state: z.object({}),
      commands: { read: { input }, move: { input }, publish: { input } },
    });
    for (const name of ["sheaf.topic", "sheaf.inbox", "sheaf.schedule"]) {
      const face = client.entity({ ...own, name } as never, "0.0") as Record<
        string,
        (input: unknown) => Promise<unknown>
      >;
      for (const command of ["read", "move", "publish"])
        await assert.rejects(
          face[command]!({ topic: "orders", after: 0, limit: 1, waitMs: 0 }),
          code("UNKNOWN_TARGET"),
          `${name}.${command}`,
        );
    }
  });
}

/** So many events of a list. */
async function first<T>(events: AsyncGenerator<T, void>, count: number): Promise<T[]> {
  const found: T[] = [];
  for await (const event of events) if (found.push(event) === count) break;
  return found;
}

test("a stream of events: all that is kept and then what comes, each once and in order by key, and it goes on behind a place", async (t) => {
  const client = await inShop(t);
  const orders = client.topic(Orders);
  const publish = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) await orders.publish({ id: `k${n % 5}`, n });
  };
  await publish(0, 150);
  const reading = first(orders.events(), 200);
  await publish(150, 200);
  const all = await reading;
  assert.deepEqual(
    all.map(({ value }) => value.n).toSorted((a, b) => a - b),
    Array.from({ length: 200 }, (_, n) => n),
  );
  for (const key of ["k0", "k1", "k2", "k3", "k4"]) {
    const mine = all.filter((event) => event.key === key).map(({ value }) => value.n);
    assert.deepEqual(
      mine,
      mine.toSorted((a, b) => a - b),
    );
  }
  assert.equal(new Set(all.map(({ id }) => id)).size, 200);
  // From wherever it was broken off, nothing is missed and nothing is repeated.
  for (const at of [0, 77, 198]) {
    const rest = await first(orders.events({ after: all[at]!.place }), 199 - at);
    const ids = [...all.slice(0, at + 1), ...rest].map(({ id }) => id);
    assert.equal(new Set(ids).size, 200, `from ${at}`);
  }
});

test("a stream of events: from now on, from a time on, and of what an entity emits", async (t) => {
  const client = await inShop(t);
  const orders = client.topic(Orders);
  await orders.publish({ id: "a", n: 1 });
  const [one] = await first(orders.events(), 1);
  // Numbers of a shard's events go with the time in the journal, which goes by milliseconds.
  while (Date.now() <= one!.at) await new Promise((resolve) => setImmediate(resolve));
  await orders.publish({ id: "a", n: 2 });
  const [two] = await first(orders.events({ from: new Date(one!.at + 1) }), 1);
  assert.equal(two!.value.n, 2);
  await client.entity(Till, "t1").sell({ id: "x", n: 7 });
  const [sold] = await first(client.topic(Till.topic("sold")).events(), 1);
  assert.deepEqual([sold!.topic, sold!.key, sold!.value], ["till.sold", "t1", { id: "x", n: 7 }]);
});

test("a stream of events: a group goes on where it was said to be, forwards only, and is no subscription of the app", async (t) => {
  const client = await inShop(t);
  const orders = client.topic(Orders);
  for (let n = 0; n < 20; n++) await orders.publish({ id: `k${n}`, n });
  const all = await first(orders.events({ group: "audit" }), 20);
  await orders.done("audit", all[11]!.place);
  await orders.done("audit", all[4]!.place);
  const rest = await first(orders.events({ group: "audit" }), 8);
  assert.deepEqual(new Set([...all.slice(0, 12), ...rest].map(({ id }) => id)).size, 20);
  const [alone] = await first(orders.events(), 1);
  await assert.rejects(orders.done("noted", alone!.place), code("IN_USE"));
  await assert.rejects(first(orders.events({ group: "noted" }), 1), code("IN_USE"));
  await assert.rejects(orders.done("a b", all[4]!.place), code("BAD_INPUT"));
  await assert.rejects(orders.done("other", all[4]!.place), code("BAD_INPUT"));
  await assert.rejects(first(orders.events({ group: "audit", after: all[4]!.place }), 1), code("USAGE"));
  await assert.rejects(first(client.topic(Lists).events({ after: all[4]!.place }), 1), code("BAD_INPUT"));
});

test("a stream of events: is told to go elsewhere when the gateway goes, and too many are refused", async (t) => {
  const { url, drain } = await openShop(t, { limits: { maxEventStreams: 1 } });
  const response = await fetch(`${url}/topics/orders/events?from=now`);
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  assert.equal((await fetch(`${url}/topics/orders/events`)).status, 429);
  assert.equal((await fetch(`${url}/topics/orders/events`, { method: "HEAD" })).status, 200);
  drain();
  assert.match(await response.text(), /^retry: 1000\nid: \S+\n\nevent: end\ndata: \{"reason":"stopping"\}\n\n$/);
  assert.equal((await fetch(`${url}/topics/orders/events`)).status, 503);
});

test("a stream of events: what no reader may ask is refused before it begins", async (t) => {
  const { url } = await openShop(t);
  const status = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
    (await fetch(`${url}${path}`, { headers })).status;
  assert.equal(await status("/topics/nothing/events"), 404);
  assert.equal(await status("/topics/sheaf.topic/events"), 404);
  assert.equal(await status("/topics/orders/events?from=yesterday"), 400);
  assert.equal(await status("/topics/orders/events?group=a%20b"), 400);
  for (const id of ["x", "AQ", "AQAAAAA", "!", "A".repeat(15_000)])
    assert.equal(await status("/topics/orders/events", { "last-event-id": id }), 400, id.slice(0, 9));
});
