// What callers rely on over HTTP: each address and header that is documented, ugly inputs included.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import { maxSessionLength } from "../rpc/index.ts";
import { bench, problem, type Bench } from "./gateway.fixture.ts";

const deposit = "/entities/account/acc-7/deposit";

test("gateway: a command is POSTed with its input and answers its output and version", async () => {
  const { post, calls } = bench();
  const answer = await post(deposit, { cents: 5 });
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { cents: 5 });
  assert.equal(answer.headers.get("etag"), '"v42"');
  assert.equal(answer.headers.get("content-type"), "application/json");
  assert.deepEqual(calls[0]?.target, { kind: "command", entity: "account", key: "acc-7", name: "deposit" });
  assert.deepEqual(calls[0]?.input, { cents: 5 });
  assert.equal(calls[0]?.principal.id, "dev");
});

test("gateway: no output is 204 without a body", async () => {
  const b = bench();
  b.answer = async () => ({ output: undefined, version: 1 });
  const answer = await b.fetch("/entities/account/acc-7/close", { method: "POST" });
  assert.equal(answer.status, 204);
  assert.equal(await answer.text(), "");
  assert.equal(b.calls[0]?.input, undefined);
});

test("gateway: a query is asked by GET with ?input= or by POST, alike", async () => {
  const b = bench();
  b.answer = async () => ({ output: ["x"], version: 3, staleMs: 12.2, session: "tok" });
  const byGet = await b.fetch(`/entities/account/acc-7/find?input=${encodeURIComponent('"a+b &c"')}`, {
    headers: { "sheaf-consistency": "eventual" },
  });
  const byPost = await b.post("/entities/account/acc-7/find", "a+b &c", { "sheaf-consistency": "eventual" });
  for (const answer of [byGet, byPost]) {
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("sheaf-stale-ms"), "13");
    assert.equal(answer.headers.get("sheaf-session"), "tok");
    assert.equal(answer.headers.get("etag"), '"v3"');
  }
  for (const call of b.calls) {
    assert.equal(call.target.kind, "query");
    assert.equal(call.input, "a+b &c");
    assert.equal(call.consistency, "eventual");
  }
  assert.equal((await b.fetch("/entities/account/acc-7/balance")).status, 200);
  assert.equal(b.calls[2]?.input, undefined);
  assert.equal(b.calls[2]?.consistency, undefined, "the contract's level stands when none is asked for");
});

test("gateway: a refusal says in its session what was seen before, as an answer does", async () => {
  const b = bench();
  b.answer = () =>
    Promise.reject(new SheafError("DECLARED", "no", { name: "INSUFFICIENT", data: { short: 1 }, session: "tok" }));
  const refused = await b.post(deposit, { cents: 5 });
  assert.deepEqual([refused.status, refused.headers.get("sheaf-session")], [422, "tok"]);
  b.answer = () => Promise.reject(new SheafError("OVERLOADED"));
  assert.equal((await b.post(deposit, { cents: 5 })).headers.get("sheaf-session"), null);
});

test("gateway: a procedure is POSTed to its service", async () => {
  const { post, calls, fetch } = bench();
  assert.equal((await post("/services/rates/quote", { pair: "EURUSD" })).status, 200);
  assert.deepEqual(calls[0]?.target, { kind: "procedure", service: "rates", name: "quote" });
  const wrong = await fetch("/services/rates/quote");
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get("allow"), "POST, OPTIONS");
});

test("gateway: what a call's headers ask for reaches the call", async () => {
  const { post, calls, host } = bench();
  const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await post(
    deposit,
    { cents: 5 },
    {
      "idempotency-key": '"k-1"',
      "if-match": '"v41"',
      "sheaf-session": "s1",
      "sheaf-deadline-ms": "250",
      traceparent: trace,
    },
  );
  const [call] = calls;
  assert.deepEqual(call?.op, { id: "k-1", issuedAt: undefined });
  assert.equal(call?.ifVersion, 41);
  assert.equal(call?.session, "s1");
  assert.equal(call?.deadline, host.clock.tick() + 250);
  assert.equal(call?.trace, trace);
});

test("gateway: a call without a deadline has the default one, and none is longer than the longest", async () => {
  const { post, calls, host } = bench();
  await post(deposit, { cents: 5 });
  await post(deposit, { cents: 5 }, { "sheaf-deadline-ms": "99999999999" });
  assert.equal(calls[0]?.deadline, host.clock.tick() + 10_000);
  assert.equal(calls[1]?.deadline, host.clock.tick() + 600_000);
});

test("gateway: a repeated command says that its answer is an earlier one", async () => {
  const b = bench();
  b.answer = async () => ({ output: { cents: 5 }, version: 42, replayed: true });
  assert.equal(
    (await b.post(deposit, { cents: 5 }, { "idempotency-key": "k" })).headers.get("idempotent-replayed"),
    "true",
  );
  b.answer = async () => ({ output: { cents: 5 }, version: 42 });
  assert.equal((await b.post(deposit, { cents: 5 })).headers.get("idempotent-replayed"), null);
});

test("gateway: a header that cannot be meant is MALFORMED and reaches no handler", async () => {
  const { post, fetch, calls } = bench();
  const wrong: Record<string, string>[] = [
    { "sheaf-deadline-ms": "0" },
    { "sheaf-deadline-ms": "-5" },
    { "sheaf-deadline-ms": "1e3" },
    { "sheaf-deadline-ms": "soon" },
    { "sheaf-deadline-ms": "" },
    { "idempotency-key": "" },
    { "idempotency-key": "a b" },
    { "idempotency-key": '""' },
    { "idempotency-key": "x".repeat(257) },
    { "idempotency-key": "a, b" },
    { "if-match": "v1" },
    { "if-match": '"v1", "v2"' },
    { "if-match": "*" },
    { "sheaf-consistency": "strong" },
  ];
  for (const headers of wrong) {
    const answer = await post(deposit, { cents: 5 }, headers);
    assert.equal(answer.status, 400, JSON.stringify(headers));
    assert.equal((await problem(answer)).code, "MALFORMED");
  }
  assert.equal(
    (await fetch("/entities/account/a/balance", { headers: { "sheaf-consistency": "Strong" } })).status,
    400,
  );
  assert.equal((await fetch("/entities/account/a/balance", { headers: { "if-match": '"v1"' } })).status, 400);
  assert.equal((await fetch("/entities/account/a/find?input=1&input=2")).status, 400);
  assert.equal((await fetch("/entities/account/a/find?input=%FF")).status, 400);
  assert.equal((await fetch("/entities/account/a/find?input={")).status, 400);
  assert.equal((await post(deposit, {}, { "sheaf-session": "x".repeat(maxSessionLength + 1) })).status, 400);
  assert.equal(calls.length, 0);
});

test("gateway: a version that cannot match is 412 without a call; one that does not match is 412 from below", async () => {
  const b = bench();
  for (const tag of ['W/"v1"', '"abc"', '"v01"'])
    assert.equal((await b.post(deposit, { cents: 1 }, { "if-match": tag })).status, 412);
  assert.equal(b.calls.length, 0);
  b.answer = () => Promise.reject(new SheafError("PRECONDITION_FAILED"));
  assert.equal((await b.post(deposit, { cents: 1 }, { "if-match": '"v1"' })).status, 412);
});

test("gateway: a broken traceparent is ignored, not passed on", async () => {
  const { post, calls } = bench();
  const zeros = "0".repeat(32);
  for (const traceparent of [
    "x",
    "00-xyz-1-01",
    `00-${zeros}-b7ad6b7169203331-01`,
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  ]) {
    assert.equal((await post(deposit, { cents: 1 }, { traceparent })).status, 200);
  }
  assert.deepEqual(
    calls.map((call) => call.trace),
    [undefined, undefined, undefined, undefined],
  );
});

test("gateway: a declared error is 422 with its name and value", async () => {
  const b = bench();
  b.answer = () => Promise.reject(new SheafError("DECLARED", undefined, { name: "INSUFFICIENT", data: { short: 3 } }));
  const answer = await b.post("/entities/account/acc-7/withdraw", { cents: 5 });
  assert.equal(answer.status, 422);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  const body = await problem(answer);
  assert.deepEqual(
    [body.code, body.error, body.data, body.outcome, body.retry],
    ["DECLARED", "INSUFFICIENT", { short: 3 }, "not-applied", "never"],
  );
});

test("gateway: bad input is 400 with a pointer to each problem", async () => {
  const b = bench();
  const issues = [
    { path: ["items", 0, "a/b~c"], message: "too small" },
    { path: [], message: "odd" },
  ];
  b.answer = () => Promise.reject(new SheafError("BAD_INPUT", undefined, { issues }));
  const body = await problem(await b.post(deposit, { cents: -1 }));
  assert.deepEqual(body.errors, [
    { pointer: "/items/0/a~1b~0c", detail: "too small" },
    { pointer: "", detail: "odd" },
  ]);
});

test("gateway: every code of the catalogue keeps its status, retry and outcome over HTTP", async () => {
  const { catalogue } = await import("../base/index.ts");
  const b = bench();
  for (const [code, kind] of Object.entries(catalogue)) {
    b.answer = () => Promise.reject(new SheafError(code as keyof typeof catalogue));
    const answer = await b.post(deposit, { cents: 5 });
    const body = await problem(answer);
    assert.deepEqual(
      [answer.status, body.status, body.code, body.retry, body.outcome],
      [kind.http, kind.http, code, kind.retry, kind.outcome],
    );
    assert.equal(body.type, `urn:sheaf:error:${code}`);
    assert.equal(
      answer.headers.get("retry-after") !== null,
      [429, 503].includes(kind.http) && kind.retry !== "never",
      code,
    );
  }
});

test("gateway: a wait that an error names is in the problem and in Retry-After", async () => {
  const b = bench();
  b.answer = () => Promise.reject(new SheafError("OVERLOADED", undefined, { retryAfterMs: 2_400 }));
  const answer = await b.post(deposit, { cents: 5 });
  assert.equal(answer.headers.get("retry-after"), "3");
  assert.equal((await problem(answer)).retryAfterMs, 2_400);
});

test("gateway: what happened inside is not told to callers, unless they are the developer", async () => {
  const secret = new SheafError("HANDLER_FAILED", "password=hunter2", {
    hint: "look at /etc",
    issues: [{ path: ["x"], message: "hunter2" }],
    cause: new Error("hunter2"),
  });
  for (const thrown of [secret, new Error("hunter2"), new SheafError("INTERNAL", "hunter2"), "hunter2", undefined]) {
    const b = bench();
    b.answer = () => Promise.reject(thrown);
    const answer = await b.post(deposit, { cents: 5 });
    assert.equal(answer.status, 500);
    const text = await answer.text();
    assert.doesNotMatch(text, /hunter2|\/etc|\.ts|\bat /);
  }
  const open = bench({ reveal: true });
  open.answer = () => Promise.reject(secret);
  assert.equal((await problem(await open.post(deposit, { cents: 5 }))).detail, "password=hunter2");
});

test("gateway: an unknown name is 404 and says what there is, the nearest first", async () => {
  const { post, fetch, calls } = bench();
  const asks: [string, string][] = [
    ["/entities/acount/a/deposit", "There is account."],
    ["/entities/account/a/depsit", "There is deposit, close, withdraw, find, balance."],
    ["/services/rate/quote", "There is rates."],
    ["/services/rates/qoute", "There is quote, refresh."],
  ];
  for (const [path] of asks) {
    const answer = await post(path, {});
    assert.equal(answer.status, 404);
    const body = await problem(answer);
    assert.equal(body.code, "UNKNOWN_TARGET");
    assert.match(body.hint ?? "", /^There is (account|deposit|rates|quote)/);
  }
  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
    assert.equal((await post(`/entities/account/a/${name}`, {})).status, 404, name);
    assert.equal((await post(`/entities/${name}/a/deposit`, {})).status, 404, name);
    assert.equal((await post(`/services/rates/${name}`, {})).status, 404, name);
  }
  for (const path of [
    "/",
    "/nothing",
    "/entities",
    "/entities/account",
    "/entities/account/a",
    "/entities/account//deposit",
    "/entities/account/a/deposit/",
    "//",
    "/docs/../x",
  ]) {
    const answer = await fetch(path, { redirect: "manual" });
    assert.equal(answer.status, path === "/" ? 302 : 404, path);
  }
  assert.equal(calls.length, 0);
});

test("gateway: a wrong method is 405 and names the right ones", async () => {
  const { fetch } = bench();
  const asks: [string, string, string][] = [
    ["GET", deposit, "POST, OPTIONS"],
    ["HEAD", deposit, "POST, OPTIONS"],
    ["PUT", deposit, "POST, GET, HEAD, OPTIONS"],
    ["DELETE", "/openapi.json", "GET, HEAD, OPTIONS"],
    ["POST", "/livez", "GET, HEAD, OPTIONS"],
    ["PATCH", "/services/rates/quote", "POST, OPTIONS"],
  ];
  for (const [method, path, allow] of asks) {
    const answer = await fetch(path, { method });
    assert.equal(answer.status, 405, `${method} ${path}`);
    assert.equal(answer.headers.get("allow"), allow, `${method} ${path}`);
  }
});

test("gateway: HEAD answers as GET without a body, OPTIONS names the methods", async () => {
  const { fetch } = bench();
  const head = await fetch("/entities/account/a/balance", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("etag"), '"v42"');
  assert.equal(await head.text(), "");
  const options = await fetch(deposit, { method: "OPTIONS" });
  assert.equal(options.status, 204);
  assert.equal(options.headers.get("allow"), "POST, GET, HEAD, OPTIONS");
  assert.equal((await fetch("/nothing", { method: "OPTIONS" })).status, 404);
});

test("gateway: a key is percent-decoded once, and any text but controls is a key", async () => {
  const b = bench();
  const keys: [string, string][] = [
    ["a%2Fb", "a/b"],
    ["a%252Fb", "a%2Fb"],
    ["%C3%A9", "é"],
    ["é", "é"],
    ["%F0%9F%8C%BE", "🌾"],
    ["a%20b", "a b"],
    ["a+b", "a+b"],
    ["%3F%23", "?#"],
    ["...", "..."],
    ["a;b=c", "a;b=c"],
    ["__proto__", "__proto__"],
    ["a%5Cb", "a\\b"],
    ["%22", '"'],
    ["x".repeat(512), "x".repeat(512)],
  ];
  for (const [sent, key] of keys) {
    assert.equal((await b.fetch(`/entities/account/${sent}/balance`)).status, 200, sent);
    const target = b.calls.at(-1)?.target;
    assert.equal(target?.kind === "query" && target.key, key);
  }
  const before = b.calls.length;
  for (const sent of [
    "%00",
    "a%0Ab",
    "a%7F",
    "%C2%85",
    "%FF",
    "%",
    "%E0%80%80",
    "%ED%A0%80",
    "x".repeat(513),
    "é".repeat(257),
    "%2",
  ]) {
    const answer = await b.fetch(`/entities/account/${sent}/balance`);
    assert.equal(answer.status, 400, sent);
  }
  assert.equal(b.calls.length, before);
});

test("gateway: Sheaf's own entities cannot be reached, whatever the role", async () => {
  const { post, fetch, calls, http } = bench();
  for (const name of ["sheaf.key", "sheaf%2Ekey", "SHEAF.key"]) {
    assert.equal((await post(`/entities/${name}/abc/revoke`, {})).status, 404);
    assert.equal((await fetch(`/entities/${name}/abc/get`)).status, 404);
  }
  assert.equal(calls.length, 0);
  assert.doesNotMatch(await (await http.fetch(new Request("http://localhost/openapi.json"))).text(), /sheaf\.key/);
});

test("gateway: a deadline that is not kept below is kept here, and says that the outcome is unknown", async () => {
  const b = bench();
  b.answer = () => new Promise(() => undefined);
  const waiting = b.post(deposit, { cents: 5 }, { "sheaf-deadline-ms": "200" });
  await untilCalled(b);
  b.host.pass(251);
  const answer = await waiting;
  assert.equal(answer.status, 504);
  const body = await problem(answer);
  assert.deepEqual([body.code, body.outcome], ["DEADLINE", "unknown"]);
  assert.equal(b.http.inFlight, 0);
});

test("gateway: any number of answered calls leave one timer at most", async () => {
  const b = bench();
  await b.post(deposit, { cents: 5 });
  b.answer = () => Promise.reject(new SheafError("OVERLOADED"));
  await b.post(deposit, { cents: 5 });
  for (let i = 0; i < 100; i++) await b.post(deposit, { cents: 5 });
  assert.ok(b.host.timers <= 1);
});

test("gateway: a caller who goes away aborts the call's signal", async () => {
  const b = bench();
  b.answer = (call) =>
    new Promise((_, reject) => call.signal?.addEventListener("abort", () => reject(new SheafError("CANCELLED"))));
  const gone = new AbortController();
  const waiting = b.fetch(deposit, {
    method: "POST",
    body: '{"cents":1}',
    headers: { "content-type": "application/json" },
    signal: gone.signal,
  });
  await untilCalled(b);
  gone.abort();
  assert.equal((await waiting).status, 499);
  assert.equal(b.http.inFlight, 0);
});

test("gateway: calls past the bound are OVERLOADED at once with a time to come back, and probes still answer", async () => {
  const b = bench({ limits: { maxInFlight: 2 } });
  const release: (() => void)[] = [];
  b.answer = () => new Promise((resolve) => release.push(() => resolve({ output: 1 })));
  const held = [b.post(deposit, { cents: 1 }), b.post(deposit, { cents: 1 })];
  await untilCalled(b, 2);
  const refused = await b.post(deposit, { cents: 1 });
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "1");
  assert.equal((await problem(refused)).outcome, "not-applied");
  assert.equal((await b.fetch("/livez")).status, 200);
  for (const go of release) go();
  for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
  assert.equal(b.http.inFlight, 0);
});

test("gateway: probes answer in text, and each check by name when asked", async () => {
  const down = bench({ ready: () => ({ ok: false, checks: { engine: "unreachable" } }) });
  assert.equal((await down.fetch("/livez")).status, 200);
  const ready = await down.fetch("/readyz");
  assert.deepEqual([ready.status, await ready.text()], [503, "not ready\n"]);
  const verbose = await down.fetch("/readyz?verbose");
  assert.deepEqual([verbose.status, await verbose.json()], [503, { ok: false, checks: { engine: "unreachable" } }]);
  assert.equal((await bench().fetch("/readyz")).status, 200);
});

test("gateway: every answer names its request and carries the security headers", async () => {
  const { fetch } = bench();
  for (const path of ["/entities/account/a/balance", "/nothing", "/livez", "/docs", "/openapi.json"]) {
    const answer = await fetch(path);
    assert.match(answer.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}-[0-9a-z]+$/);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    assert.equal(answer.headers.get("cache-control"), "no-store");
    assert.match(answer.headers.get("content-security-policy") ?? "", /^default-src 'none'/);
  }
  assert.equal(
    (await fetch("/livez", { headers: { "x-request-id": "mine-1" } })).headers.get("x-request-id"),
    "mine-1",
  );
  assert.notEqual((await fetch("/livez", { headers: { "x-request-id": "a b" } })).headers.get("x-request-id"), "a b");
});

test("gateway: pages of other origins may not call, unless their origin is on the list", async () => {
  const b = bench({ origins: ["https://app.example"] });
  const foreign = await b.post(deposit, { cents: 1 }, { origin: "https://evil.example" });
  assert.equal(foreign.status, 403);
  assert.equal(foreign.headers.get("access-control-allow-origin"), null);
  assert.equal((await b.post(deposit, { cents: 1 }, { origin: "null" })).status, 403);
  assert.equal(b.calls.length, 0);
  const friend = await b.post(deposit, { cents: 1 }, { origin: "https://app.example" });
  assert.equal(friend.status, 200);
  assert.equal(friend.headers.get("access-control-allow-origin"), "https://app.example");
  assert.equal(friend.headers.get("vary"), "Origin");
  assert.equal((await b.post(deposit, { cents: 1 }, { origin: "http://localhost:4000" })).status, 200);
  const preflight = await b.fetch(deposit, {
    method: "OPTIONS",
    headers: { origin: "https://app.example", "access-control-request-method": "POST" },
  });
  assert.equal(preflight.headers.get("access-control-allow-origin"), "https://app.example");
  assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /Idempotency-Key/);
  const closed = await bench().fetch(deposit, { method: "OPTIONS", headers: { origin: "https://app.example" } });
  assert.equal(closed.headers.get("access-control-allow-origin"), null);
});

test("gateway: a listener that knows its names answers to no other", async () => {
  const b = bench({ hosts: ["localhost", "127.0.0.1"] });
  const as = async (host: string): Promise<number> =>
    (await b.http.fetch(new Request(`http://${host}/entities/account/a/balance`))).status;
  assert.equal(await as("localhost:4000"), 200);
  assert.equal(await as("127.0.0.1:9"), 200);
  assert.equal(await as("bank.localhost"), 200);
  assert.equal(await as("evil.example"), 403);
  assert.equal(await as("localhost.evil.example"), 403);
});

test("gateway: bytes in an answer are base64 text", async () => {
  const b = bench();
  b.answer = async () => ({ output: { raw: new Uint8Array([1, 2, 255]), n: [new Uint8Array(0)] } });
  assert.deepEqual(await (await b.post(deposit, { cents: 1 })).json(), { raw: "AQL/", n: [""] });
});

async function untilCalled(b: Bench, count = 1): Promise<void> {
  while (b.calls.length < count) await new Promise((resolve) => setImmediate(resolve));
}
