// Events that come over HTTP and WebSocket: to topics of the contract, and nowhere else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { SheafError } from "../base/index.ts";
import { contract, entity, topic, topicKey, topicType } from "../model/index.ts";
import type { Reply } from "../rpc/index.ts";
import { bench, problem, type Bench } from "./gateway.fixture.ts";

const Orders = topic("orders", {
  event: z.object({ id: z.string(), cents: z.number().int() }),
  key: (order) => order.id,
});
const Lists = topic("lists", { event: z.array(z.string()) });
const Account = entity("account", { state: z.object({}), commands: {}, events: { opened: z.object({}) } });
const shop = contract("shop", { entities: [Account], topics: [Orders, Lists] });

const open = (options: Parameters<typeof bench>[0] = {}): Bench => {
  const b = bench({ contract: () => shop, ...options });
  b.answer = async () => ({ output: undefined });
  return b;
};
const order = (id: string, cents = 1): { id: string; cents: number } => ({ id, cents });
const sent = ({ calls }: Bench): unknown[] =>
  calls.map(({ target, input, op }) => [target.kind !== "procedure" && target.key, input, op?.id]);
const cloud = (id: string, data: unknown): object => ({
  specversion: "1.0",
  id,
  source: "/till",
  type: "orders",
  data,
});

test("publishing: an event goes to the shard of its key, once for its key of idempotency, and is answered with 204", async () => {
  const b = open();
  const answer = await b.post("/topics/orders", order("o1"), { "idempotency-key": "k" });
  assert.deepEqual([answer.status, await answer.text()], [204, ""]);
  assert.deepEqual(b.calls[0]?.target, {
    kind: "command",
    entity: topicType,
    key: topicKey("orders", "o1"),
    name: "publish",
  });
  assert.deepEqual(sent(b), [["orders/o1", order("o1"), "k"]]);
});

test("publishing: the events of a list have operations of their own, and go out together", async () => {
  const b = open();
  let waiting = 0;
  const { promise, resolve } = Promise.withResolvers<Reply>();
  b.answer = () => (++waiting === 3 && resolve({ output: undefined, replayed: true }), promise);
  const answer = await b.post(
    "/topics/orders",
    ["a", "b", "a"].map((id, n) => order(id, n)),
    { "idempotency-key": "k" },
  );
  assert.deepEqual([answer.status, answer.headers.get("idempotent-replayed")], [204, "true"]);
  assert.deepEqual(sent(b), [
    ["orders/a", order("a", 0), "k/0"],
    ["orders/b", order("b", 1), "k/1"],
    ["orders/a", order("a", 2), "k/2"],
  ]);
});

test("publishing: a CloudEvent's data is the event, and its source and id name it where the request has no key", async () => {
  const b = open();
  const type = { "content-type": "application/cloudevents+json; charset=utf-8" };
  const many = { "content-type": "application/cloudevents-batch+json" };
  assert.equal((await b.post("/topics/orders", cloud("1", order("a")), type)).status, 204);
  assert.equal((await b.post("/topics/orders", cloud("1", order("a")), type)).status, 204);
  assert.equal((await b.post("/topics/orders", [cloud("1", order("a")), cloud("2", order("b"))], many)).status, 204);
  assert.equal(
    (await b.post("/topics/orders", [cloud("9", order("a"))], { ...many, "idempotency-key": "k" })).status,
    204,
  );
  // In an envelope a list is one event.
  assert.equal((await b.post("/topics/lists", cloud("1", ["x"]), type)).status, 204);
  const ids = b.calls.map(({ op }) => op?.id ?? "");
  assert.equal(ids[0], ids[1]);
  assert.equal(ids[0], ids[2]);
  assert.notEqual(ids[3], ids[0]);
  assert.match(ids[0]!, /^ce-[0-9a-f]{40}$/);
  assert.equal(ids[4], "k/0");
  assert.deepEqual(b.calls.at(-1)?.input, ["x"]);
});

test("publishing: nothing of a list is published unless all of it fits, and the answer says where it does not", async () => {
  const b = open();
  const answer = await b.post("/topics/orders", [order("a"), order("b"), { id: "c", cents: "x" }]);
  assert.equal(answer.status, 400);
  const said = await problem(answer);
  assert.deepEqual([said.code, said.errors?.[0]?.pointer, said.outcome], ["BAD_INPUT", "/2/cents", "not-applied"]);
  const none = await b.post("/topics/orders", [{ ...cloud("1", order("a")), specversion: "0.3" }], {
    "content-type": "application/cloudevents-batch+json",
  });
  assert.deepEqual([(await problem(none)).errors?.[0]?.pointer, b.calls.length], ["/0/specversion", 0]);
});

test("publishing: a list of which part was published may have been applied; of which nothing was has not", async () => {
  const b = open();
  const full = new SheafError("OVERLOADED", "full", { outcome: "not-applied", retryAfterMs: 100 });
  b.answer = async ({ input }) => {
    if ((input as { id: string }).id !== "a") throw full;
    return { output: undefined };
  };
  const some = await problem(await b.post("/topics/orders", [order("a"), order("b")]));
  const none = await problem(await b.post("/topics/orders", [order("b"), order("c")]));
  assert.deepEqual(
    [some.code, some.outcome, none.code, none.outcome],
    ["OVERLOADED", "unknown", "OVERLOADED", "not-applied"],
  );
});

test("publishing: too many events, none, other types and other conditions are refused", async () => {
  const b = open({ limits: { maxEventsPerRequest: 2 } });
  const code = async (body: unknown, headers = {}): Promise<string> =>
    (await problem(await b.post("/topics/orders", body, headers))).code;
  assert.equal(await code([order("a"), order("b"), order("c")]), "TOO_LARGE");
  assert.equal(await code(undefined), "MALFORMED");
  assert.equal(await code(order("a"), { "content-type": "text/plain" }), "UNSUPPORTED_MEDIA");
  assert.equal(await code(order("a"), { "if-match": '"v1"' }), "MALFORMED");
  assert.equal(await code([order("a")], { "idempotency-key": "k".repeat(255) }), "MALFORMED");
  assert.equal((await b.post("/topics/orders", [])).status, 204);
  assert.equal(b.calls.length, 0);
});

test("publishing: only to topics of the contract, never to an entity's events or to what is Sheaf's own", async () => {
  const b = open();
  for (const path of [
    "/topics/nothing",
    "/topics/account.opened",
    "/topics/sheaf.topic",
    "/entities/sheaf.topic/orders%2F/publish",
    "/entities/sheaf.topic/0.0/read",
    "/services/sheaf.topic/publish",
  ]) {
    const answer = await b.post(path, order("a"));
    assert.deepEqual([answer.status, (await problem(answer)).code], [404, "UNKNOWN_TARGET"], path);
  }
  const emitted = await problem(await b.post("/topics/account.opened", order("a")));
  assert.match(emitted.detail, /nobody publishes to account\.opened but the entity that emits it/);
  assert.equal(b.calls.length, 0);
});

test("publishing: the policy is asked for publish and the topic", async () => {
  const asked: unknown[] = [];
  const b = open({
    policy: { decide: (_, action, resource) => (asked.push([action, resource]), { allow: false, why: "no" }) },
  });
  assert.equal((await b.post("/topics/orders", order("a"))).status, 403);
  assert.deepEqual([asked, b.calls], [[["publish", { kind: "topic", name: "orders" }]], []]);
});

test("publishing: the OpenAPI document has the topics that are published to, and those that are only read", async () => {
  const document = (await (await open().fetch("/openapi.json")).json()) as { paths: Record<string, object> };
  assert.deepEqual(
    Object.keys(document.paths)
      .filter((path) => path.startsWith("/topics/"))
      .toSorted(),
    [
      "/topics/account.opened/events",
      "/topics/account.opened/groups/{group}",
      "/topics/lists",
      "/topics/lists/events",
      "/topics/lists/groups/{group}",
      "/topics/orders",
      "/topics/orders/events",
      "/topics/orders/groups/{group}",
    ],
  );
});
