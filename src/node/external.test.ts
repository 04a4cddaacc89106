// Services outside of the cluster, called as any other: what they are told, what is believed of them, and what callers notice when
// they fail.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { z } from "zod";
import { type Limits, SheafError, utf8 } from "../base/index.ts";
import { endpointBook, type Endpoints } from "../control/index.ts";
import type { PostAnswer, PostRequest } from "../gateway/index.ts";
import { app, entity, service } from "../model/index.ts";
import type { Call } from "../rpc/index.ts";
import { code, type World, world } from "./world.fixture.ts";

const Rates = service("rates", {
  procedures: {
    quote: {
      input: z.object({ pair: z.string(), side: z.string().default("buy") }),
      output: z.object({ rate: z.number() }),
      errors: { CLOSED: z.object({ until: z.string() }) },
    },
    ping: {},
  },
});
const Order = entity("order", {
  state: z.object({ rate: z.number() }),
  commands: { place: { input: z.string(), output: z.number() } },
});
const order = Order.implement({
  initial: () => ({ rate: 0 }),
  place: async ({ state, input, call }) => {
    const { rate } = await call.service(Rates).quote({ pair: input });
    return (state.rate = rate);
  },
});
const shop = app("shop", { entities: [order], external: [Rates] });

const json = (status: number, body: unknown, type = "application/json"): PostAnswer => ({
  status,
  type,
  body: utf8(JSON.stringify(body)),
});
const good = json(200, { rate: 1.5 });

type Setting = {
  readonly w: World;
  readonly posts: PostRequest[];
  readonly book: Endpoints;
  send: (extra?: Partial<Call>) => Promise<unknown>;
  /** Lets time pass until it has ended. */
  quote: (extra?: Partial<Call>) => Promise<unknown>;
};

/** A node whose outside answers with `answer`, at the addresses given. */
async function setUp(
  answer: (request: PostRequest) => PostAnswer | SheafError | Promise<PostAnswer>,
  urls: readonly string[] = ["https://rates.example/v1"],
  limits: Partial<Limits> = {},
): Promise<Setting> {
  const posts: PostRequest[] = [];
  const post = async (request: PostRequest): Promise<PostAnswer> => {
    posts.push(request);
    const answered = await answer(request);
    if (answered instanceof SheafError) throw answered;
    return answered;
  };
  const w = await world({ app: shop, post, limits });
  const search = async (...asked: Parameters<World["node"]["search"]>) => (await w.node.search(...asked)).items;
  const book = endpointBook({ host: w.host, calls: w.node, search });
  for (const url of urls) await w.run(book.add({ id: "admin", roles: [] }, { name: "rates", url, private: false }));
  const send = (extra: Partial<Call> = {}): Promise<unknown> =>
    w.node
      .call({
        target: { kind: "procedure", service: "rates", name: "quote" },
        input: { pair: "EURUSD" },
        principal: { id: "key:secret-caller", roles: ["app"] },
        deadline: w.host.clock.tick() + 1_000,
        ...extra,
      })
      .then(({ output }) => output);
  const quote = (extra?: Partial<Call>): Promise<unknown> => w.run(send(extra));
  return { w, posts, book, send, quote };
}

test("external: the input goes out as a handler would get it, and the output comes back as the contract has it", async () => {
  const { quote, posts, w } = await setUp(() => good);
  assert.deepEqual(await quote(), { rate: 1.5 });
  const [sent] = posts;
  assert.equal(sent?.url, "https://rates.example/v1/services/rates/quote");
  assert.deepEqual(JSON.parse(sent.body), { pair: "EURUSD", side: "buy" });
  assert.equal(sent.private, false);
  const left = Number(sent.headers["sheaf-deadline-ms"]);
  assert.ok(left > 500 && left <= 1000, String(left));
  assert.equal(
    await w
      .ask("o-1", "place", "EURUSD", { target: { kind: "command", entity: "order", key: "o-1", name: "place" } })
      .then(({ output }) => output),
    1.5,
  );
});

test("external: nothing of the caller leaves, and a repeat of an operation has the same key (W1)", async () => {
  const { quote, posts } = await setUp(() => good);
  const op = { id: "my-own-secret-key", issuedAt: undefined };
  await quote({ op, session: "", trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  await quote({ op });
  await quote({ op, principal: { id: "key:another", roles: [] } });
  await quote();
  const keys = posts.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(keys[0], keys[1]);
  assert.equal(new Set(keys).size, 3);
  assert.match(keys[0] ?? "", /^[0-9a-f]{32}$/);
  const guess = JSON.stringify(["key:secret-caller", "rates.quote", op.id]);
  assert.notEqual(keys[0], createHash("sha256").update(guess).digest("hex").slice(0, 32), "it takes the secret");
  for (const { headers, body } of posts) {
    assert.doesNotMatch(JSON.stringify([headers, body]), /secret|session|authorization|cookie/i);
    const known = ["accept", "content-type", "idempotency-key", "sheaf-deadline-ms", "traceparent"];
    for (const name of Object.keys(headers)) assert.ok(known.includes(name), name);
  }
});

test("external: what a caller says is its trace leaves only where it is one", async () => {
  const { quote, posts } = await setUp(() => good);
  for (const trace of ["a\r\nx-evil: 1", "x".repeat(10_000), "é", ""]) await quote({ trace });
  assert.deepEqual(
    posts.map(({ headers }) => headers["traceparent"]),
    [undefined, undefined, undefined, undefined],
  );
});

test("external: a declared error is one; what the contract does not allow is EXTERNAL_FAILED (W2)", async () => {
  let next: PostAnswer = good;
  const { quote } = await setUp(() => next);
  const problem = (status: number, body: object): void => void (next = json(status, body, "application/problem+json"));
  problem(422, { code: "DECLARED", error: "CLOSED", data: { until: "Monday" } });
  await assert.rejects(quote(), (error: SheafError) => {
    assert.deepEqual([error.code, error.error, error.data], ["DECLARED", "CLOSED", { until: "Monday" }]);
    return true;
  });
  const strange: [PostAnswer, string][] = [
    [json(422, { code: "DECLARED", error: "CLOSED", data: {} }, "application/problem+json"), "unknown"],
    [json(422, { code: "DECLARED", error: "OPEN", data: {} }, "application/problem+json"), "unknown"],
    [json(200, { rate: "high" }), "unknown"],
    [json(200, { rate: 1, ["__proto__"]: 1 }), "unknown"],
    [{ status: 200, type: "application/json", body: utf8('{"rate":1,"__proto__":{}}') }, "unknown"],
    [{ status: 200, type: "text/html", body: utf8("<html>") }, "unknown"],
    [{ status: 200, type: "application/json", body: utf8(`${"[".repeat(1000)}${"]".repeat(1000)}`) }, "unknown"],
    [{ status: 204, type: "", body: new Uint8Array() }, "unknown"],
    [{ status: 302, type: "", body: new Uint8Array() }, "unknown"],
    [{ status: 400, type: "text/plain", body: utf8("no") }, "not-applied"],
    [{ status: 500, type: "application/problem+json", body: utf8("{") }, "unknown"],
    [json(503, { code: "STOPPING", outcome: "not-applied" }, "application/problem+json"), "not-applied"],
    [json(500, { outcome: "certainly", retryAfterMs: -5, detail: "\u001b[31mred" }), "unknown"],
    [json(500, null), "unknown"],
  ];
  for (const [answer, outcome] of strange) {
    // Each on a node of its own, so that none is spared by a breaker.
    const fresh = await setUp(() => answer);
    await assert.rejects(fresh.quote(), (error: SheafError) => {
      assert.deepEqual([error.code, error.outcome], ["EXTERNAL_FAILED", outcome], JSON.stringify(answer));
      // oxlint-disable-next-line no-control-regex
      assert.doesNotMatch(error.message, /\u001b/);
      return true;
    });
  }
});

test("external: without an address, with wrong input or an unknown procedure, nothing is sent", async () => {
  const { quote, posts, book, w } = await setUp(() => good, []);
  await assert.rejects(quote(), (error: SheafError) => {
    assert.equal(error.code, "NOT_HOSTED");
    assert.match(error.hint ?? "", /sheaf endpoint add rates/);
    return true;
  });
  await w.run(book.add({ id: "a", roles: [] }, { name: "rates", url: "https://rates.example", private: false }));
  await w.pass(3_000);
  await assert.rejects(quote({ input: { pair: 5 } }), code("BAD_INPUT", "not-applied"));
  const target = { kind: "procedure", service: "rates", name: "quot" } as const;
  await assert.rejects(quote({ target }), code("UNKNOWN_TARGET"));
  await assert.rejects(quote({ deadline: 0 }), code("DEADLINE", "not-applied"));
  assert.equal(posts.length, 0);
});

test("external: a call that was certainly not applied goes to the next address once; another is not repeated (E1)", async () => {
  const urls = ["https://a.example", "https://b.example", "https://c.example"];
  const down = new SheafError("UNREACHABLE", "nobody there");
  const one = await setUp(({ url }) => (url.startsWith("https://c") ? good : down), urls);
  for (let i = 0; i < 5; i++) assert.deepEqual(await one.quote(), { rate: 1.5 });
  const none = await setUp(() => down, urls);
  await assert.rejects(none.quote(), code("EXTERNAL_FAILED", "not-applied"));
  assert.equal(new Set(none.posts.map(({ url }) => url)).size, 3);
  assert.equal(none.posts.length, 3);
  const lost = await setUp(() => new SheafError("CALL_LOST", "it broke"), urls);
  await assert.rejects(lost.quote(), code("EXTERNAL_FAILED", "unknown"));
  assert.equal(lost.posts.length, 1);
  const half = await setUp(() => json(500, {}), urls);
  await assert.rejects(half.quote(), code("EXTERNAL_FAILED", "unknown"));
  assert.equal(half.posts.length, 1);
});

test("external: an address that fails is left alone while another is well", async () => {
  const { quote, posts } = await setUp(
    ({ url }) => (url.startsWith("https://bad") ? json(500, {}) : good),
    ["https://bad.example", "https://good.example"],
  );
  for (let i = 0; i < 100; i++) await quote().catch(() => {});
  const bad = posts.filter(({ url }) => url.startsWith("https://bad")).length;
  assert.ok(bad >= 1 && bad <= 6, String(bad));
});

test("external: one that refuses what it is sent is not taken for broken, and one that is busy is asked later", async () => {
  const two = ["https://a.example", "https://b.example"];
  const strict = await setUp(({ url }) => (url.startsWith("https://a") ? json(400, {}) : good), two);
  for (let i = 0; i < 60; i++) await strict.quote().catch(() => {});
  assert.ok(strict.posts.filter(({ url }) => url.startsWith("https://a")).length > 10);
  const busy = await setUp(
    ({ url }) => (url.startsWith("https://a") ? json(429, { retryAfterMs: 60_000 }) : good),
    two,
  );
  for (let i = 0; i < 20; i++) assert.deepEqual(await busy.quote(), { rate: 1.5 });
  assert.equal(busy.posts.filter(({ url }) => url.startsWith("https://a")).length, 1);
});

test("external: so many calls at a time as of any service (E2)", async () => {
  const hold = Promise.withResolvers<PostAnswer>();
  const { quote, send, w } = await setUp(() => hold.promise, undefined, { maxServiceInFlight: 2 });
  const waiting = [send(), send()];
  await w.pass(10);
  await assert.rejects(quote(), code("OVERLOADED", "not-applied"));
  hold.resolve(good);
  assert.deepEqual(await w.run(Promise.all(waiting)), [{ rate: 1.5 }, { rate: 1.5 }]);
  assert.deepEqual(await quote(), { rate: 1.5 });
});
