// Who may use the gateway: nobody without credentials in force, but for a declared list of open addresses.

import assert from "node:assert/strict";
import { test } from "node:test";
import { apiKeys, type Keys } from "../control/index.ts";
import { systemShards } from "../control/keys.fixture.ts";
import { fixtureHost } from "../http/http.fixture.ts";
import { mintKey, rolePolicy, type Action } from "../security/index.ts";
import { bench, problem, type Bench } from "./gateway.fixture.ts";

/** Open to anybody. Adding an address here is a decision; a new route that is neither here nor guarded fails below. */
const open = ["/livez", "/readyz", "/docs", "/docs/style.css", "/docs/script.js", "/"];

function guarded(): { b: Bench; keys: Keys } {
  const host = fixtureHost();
  const keys = apiKeys({ host, ...systemShards(host) });
  return { b: bench({ authenticator: keys }), keys };
}

const filled = (pattern: string): string =>
  pattern
    .replace(":entity", "account")
    .replace(":key", "acc-7")
    .replace(":member", "deposit")
    .replace(":service", "rates")
    .replace(":procedure", "quote")
    .replace(":topic", "orders")
    .replace(":group", "mine");

test("access: every route refuses a caller without credentials, but for the open list", async () => {
  const { b } = guarded();
  assert.ok(b.http.routes.length >= 9, "the matrix saw the routes");
  for (const { method, pattern, access } of b.http.routes) {
    assert.equal(access === "open", open.includes(pattern), `${pattern} is neither guarded nor on the open list`);
    const answer = await b.fetch(filled(pattern), { method });
    if (access === "open") assert.notEqual(answer.status, 401, pattern);
    else assert.equal(answer.status, 401, `${method} ${pattern}`);
  }
  assert.deepEqual(
    open.filter((path) => !b.http.routes.some(({ pattern }) => pattern === path)),
    [],
    "the open list names only what exists",
  );
  assert.equal(b.calls.length, 0);
});

test("access: bad credentials are 401, alike whatever is wrong with them, and reach no handler", async () => {
  const { b, keys } = guarded();
  const admin = { id: "admin", roles: ["admin"] };
  const revoked = await keys.create(admin, { name: "r", roles: ["app"] });
  await keys.revoke(admin, revoked.id);
  const expired = await keys.create(admin, { name: "e", roles: ["app"], expiresAt: 1 });
  const good = await keys.create(admin, { name: "g", roles: ["app"] });
  const unknown = mintKey(b.host.dice, b.host.crypto).text;
  const headers = [
    `Bearer ${revoked.key}`,
    `Bearer ${expired.key}`,
    `Bearer ${unknown}`,
    `Bearer ${good.key.slice(0, -1)}`,
    `Bearer ${good.key.slice(0, -1)}1`,
    `Bearer ${good.key}a`,
    `Bearer ${good.key} x`,
    `Bearer ${good.key}, Bearer ${good.key}`,
    `Basic ${good.key}`,
    `Basic ${btoa(`a:${good.key}`)}`,
    good.key,
    `Bearer`,
    "Bearer ",
    `Bearer${good.key}`,
    `Token ${good.key}`,
    "Bearer null",
    "Bearer undefined",
    "Bearer dev",
    "Bearer admin",
    "Bearer é",
    `Bearer ${"a".repeat(10_000)}`,
    `Bearer sk_${"a".repeat(65)}`,
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    `Digest username="admin"`,
    `Bearer ${good.key.toUpperCase()}`,
    `Bearer "${good.key}"`,
  ];
  const bodies = new Set<string>();
  for (const authorization of headers) {
    const answer = await b.post("/entities/account/acc-7/deposit", { cents: 5 }, { authorization });
    assert.equal(answer.status, 401, authorization.slice(0, 90));
    assert.equal(answer.headers.get("www-authenticate"), 'Bearer realm="sheaf"');
    const { instance: _, ...body } = await problem(answer);
    bodies.add(JSON.stringify(body));
  }
  assert.equal(bodies.size, 1, "a refusal does not tell why");
  assert.equal(b.calls.length, 0);
  const path = `/entities/account/acc-7/balance?token=${good.key}&access_token=${good.key}`;
  assert.equal((await b.fetch(path)).status, 401, "a key in a URL is no credential");
  for (const scheme of ["Bearer", "bearer", "BEARER"]) {
    assert.equal(
      (await b.post("/entities/account/acc-7/deposit", { cents: 5 }, { authorization: `${scheme} ${good.key}` }))
        .status,
      200,
    );
  }
  assert.equal(b.calls.length, 3);
  assert.equal(b.calls[0]?.principal.id, `key:${good.id}`);
});

test("access: headers that proxies use to name a user are not believed", async () => {
  const b = bench();
  const forged = { "x-forwarded-user": "root", "x-user-id": "root", "x-remote-user": "root", forwarded: "for=root" };
  await b.post("/entities/account/acc-7/deposit", { cents: 5 }, forged);
  assert.deepEqual(b.calls[0]?.principal, { id: "dev", roles: ["admin"] });
});

test("access: a caller learns nothing of names before being identified", async () => {
  const { b } = guarded();
  for (const path of [
    "/entities/account/a/deposit",
    "/entities/nothing/a/deposit",
    "/services/nothing/x",
    "/entities/account/%00/deposit",
  ]) {
    assert.equal((await b.post(path, {})).status, 401, path);
  }
});

test("access: a role does what it is granted and nothing else", async () => {
  const { keys } = guarded();
  const b = bench({ authenticator: keys, policy: rolePolicy({ app: ["query"] }) });
  const { key } = await keys.create({ id: "admin", roles: ["admin"] }, { name: "reader", roles: ["app"] });
  const authorization = `Bearer ${key}`;
  assert.equal((await b.fetch("/entities/account/a/balance", { headers: { authorization } })).status, 200);
  const denied = await b.post("/entities/account/a/deposit", { cents: 1 }, { authorization });
  assert.equal(denied.status, 403);
  assert.match((await problem(denied)).detail, /command needs a role that grants it; the caller has only app/);
  assert.equal(b.calls.length, 1);
});

test("policy: nothing is allowed that no role of the caller grants", () => {
  const policy = rolePolicy();
  const actions: Action[] = ["command", "query", "procedure", "publish", "subscribe", "describe", "operate"];
  const resource = { kind: "entity", entity: "account", key: "a", name: "x" } as const;
  for (const roles of [[], ["nobody"], ["__proto__"], ["constructor"]]) {
    for (const action of actions)
      assert.equal(policy.decide({ id: "x", roles }, action, resource).allow, false, `${roles.join()} ${action}`);
  }
  assert.equal(policy.decide({ id: "x", roles: ["app"] }, "operate", { kind: "system", name: "status" }).allow, false);
  assert.equal(policy.decide({ id: "x", roles: ["admin"] }, "operate", { kind: "system", name: "status" }).allow, true);
  for (const action of actions) {
    const system = policy.decide({ id: "x", roles: ["admin", "app"] }, action, { ...resource, entity: "sheaf.key" });
    assert.deepEqual(system, { allow: false, why: "sheaf.key belongs to Sheaf" });
  }
});
