// The admin API: what it answers, to whom, and that its document describes what is there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultLimits, SheafError } from "../base/index.ts";
import { apiKeys, endpointBook, scheduleBook } from "../control/index.ts";
import { systemShards } from "../control/keys.fixture.ts";
import { fixtureHost } from "../http/http.fixture.ts";
import { checkOpenApi } from "../http/openapi.fixture.ts";
import type { Edge } from "../http/index.ts";
import { rolePolicy } from "../security/index.ts";
import { adminApi, type EntityView, type Operator, type TaskDetail } from "./index.ts";

const token = "a-secret-made-at-start";
const view = (key: string): EntityView => ({
  type: "account",
  key,
  version: 1,
  state: { cents: 5, raw: new Uint8Array([1]) },
  schema: 1,
  shard: 3,
  bytes: 9,
});

const letter = (id: string): TaskDetail => ({
  id,
  shard: 3,
  kind: "message",
  entity: "account",
  key: "a",
  command: "deposit",
  due: null,
  at: 5,
  attempts: 5,
  cause: "HANDLER_FAILED: boom",
  input: { cents: 5 },
  principal: "ann",
  roles: ["app"],
  from: 7,
});

type Desk = {
  http: Edge;
  asked: unknown[];
  ask: (path: string, init?: RequestInit & { as?: string | null }) => Promise<Response>;
};

function desk(): Desk {
  const host = fixtureHost();
  const asked: unknown[] = [];
  const note = <T>(value: T, ...what: unknown[]): T => (asked.push(what), value);
  const operator: Operator = {
    status: async () =>
      note(
        {
          cluster: { id: "c", name: "bank", shards: 64, encrypted: false },
          app: "bank",
          engine: { kind: "memory" },
          nodes: [],
          shards: [],
        },
        "status",
      ),
    entity: async (type, key) => {
      if (type !== "account") throw new SheafError("UNKNOWN_TARGET");
      return note({ ...view(key), timers: [] }, "entity", type, key);
    },
    history: async (type, key, limit) => note({ items: [], complete: true }, "history", type, key, limit),
    search: async (type, prefix, after, limit) => {
      const warnings = prefix === "b" ? ["what is in shard 3 is missing: nöde-2 did not answer"] : [];
      return note({ items: [view("a"), view("b")], warnings }, "search", type, prefix, after, limit);
    },
    parked: async () => note({ items: [], warnings: [] }, "parked"),
    release: async (id) => note(undefined, "release", id),
    tasks: async (...given) => note({ items: [], warnings: [] }, "tasks", ...given),
    deadLetters: async (...given) => note({ items: [], warnings: [] }, "deadLetters", ...given),
    backlog: async () => note({ items: [], warnings: [] }, "backlog"),
    queues: async () => note({ items: [], warnings: [] }, "queues"),
    redriveMany: async (...given) => note({ items: [], warnings: [] }, "redriveMany", ...given),
    changeQueue: async (...given) => note({ items: [{ jobs: 3 }], warnings: [] }, "changeQueue", ...given),
    jobs: async (...given) => note({ items: [], warnings: [] }, "jobs", ...given),
    topics: async () => note({ items: [], warnings: [] }, "topics"),
    groups: async () => note({ items: [], warnings: [] }, "groups"),
    changeGroup: async (...given) => note({ items: [], warnings: [] }, "changeGroup", ...given),
    deadLetter: async (id) => note(letter(id), "deadLetter", id),
    redrive: async (id) => note(undefined, "redrive", id),
    drop: async (id) => note(letter(id), "drop", id),
    cancelTimer: async (id) => note(letter(id), "cancelTimer", id),
    drain: async (node, on) => note(undefined, "drain", node, on),
    cordon: async (node, on) => note(undefined, "cordon", node, on),
    remove: async (node) => note(undefined, "remove", node),
    checkup: async () => note({ items: [], warnings: [] }, "checkup"),
    move: async (shard, node) => note(undefined, "move", shard, node),
    moves: async () => note([], "moves"),
    ready: () => ({ ok: true, checks: { engine: "ok" } }),
  };
  const http = adminApi({
    host,
    operator,
    keys: apiKeys({ host, ...systemShards(host) }),
    endpoints: endpointBook({ host, ...systemShards(host) }),
    schedules: scheduleBook({ host, ...systemShards(host), declared: () => [] }),
    adminToken: token,
    policy: rolePolicy(),
    limits: defaultLimits,
    metrics: () => "sheaf_up 1\n",
  });
  return {
    http,
    asked,
    ask: async (path, { as = token, ...init } = {}) => {
      const headers = new Headers(init.headers);
      if (as !== null) headers.set("authorization", `Bearer ${as}`);
      if (init.body !== undefined) headers.set("content-type", "application/json");
      return await http.fetch(new Request(new URL(path, "http://127.0.0.1:4001"), { ...init, headers }));
    },
  };
}

test("admin: each address asks the operator what it says and answers in JSON", async () => {
  const { ask, asked } = desk();
  const json = async (path: string): Promise<unknown> => {
    const answer = await ask(path);
    assert.equal(answer.status, 200, path);
    return answer.json();
  };
  assert.equal(((await json("/admin/v1/status")) as { app: string }).app, "bank");
  assert.deepEqual(await json("/admin/v1/entities/account/a%2Fb"), {
    ...view("a/b"),
    timers: [],
    state: { cents: 5, raw: "AQ==" },
  });
  await json("/admin/v1/entities/account/a/history?limit=7");
  await json("/admin/v1/entities/account?prefix=a%20&after=b&limit=1000");
  await json("/admin/v1/entities/account");
  assert.deepEqual(await json("/admin/v1/parked"), []);
  assert.equal(((await json("/admin/v1/limits")) as { maxDepth: number }).maxDepth, 64);
  assert.equal((await ask("/admin/v1/parked/p%2F1/release", { method: "POST" })).status, 204);
  assert.deepEqual(await json("/admin/v1/shards/moves"), []);
  assert.deepEqual(await json("/admin/v1/checkup"), []);
  const body = JSON.stringify({ to: "n-2" });
  assert.equal((await ask("/admin/v1/shards/17/move", { method: "POST", body })).status, 204);
  assert.equal((await ask("/admin/v1/shards/17/pin", { method: "DELETE" })).status, 204);
  assert.deepEqual(asked, [
    ["status"],
    ["entity", "account", "a/b"],
    ["history", "account", "a", 7],
    ["search", "account", "a ", "b", 1000],
    ["search", "account", "", undefined, 50],
    ["parked"],
    ["release", "p/1"],
    ["moves"],
    ["checkup"],
    ["move", 17, "n-2"],
    ["move", 17, null],
  ]);
});

test("admin: dead letters, timers and what waits are asked for by ids that hold slashes", async () => {
  const { ask, asked } = desk();
  const json = async (path: string, method = "GET"): Promise<unknown> => {
    const answer = await ask(`/admin/v1/${path}`, { method });
    assert.equal(answer.status, 200, path);
    return answer.json();
  };
  assert.deepEqual(await json("tasks?entity=account&limit=7"), []);
  assert.deepEqual(await json("dead-letters?after=5%2F3%2Fm1.2"), []);
  assert.deepEqual(await json("backlog"), []);
  assert.deepEqual(await json("queues"), []);
  assert.deepEqual(await json("queues/mails/jobs?limit=3"), []);
  assert.deepEqual(await json("queues/mails/pause", "POST"), [{ jobs: 3 }]);
  assert.deepEqual(await json("queues/mails/jobs?dryRun=true", "DELETE"), [{ jobs: 3 }]);
  assert.deepEqual(await json("queues/mails/jobs", "DELETE"), [{ jobs: 3 }]);
  assert.deepEqual(await json("dead-letters/3%2Fm1.2"), letter("3/m1.2"));
  assert.equal((await ask("/admin/v1/dead-letters/3%2Fm1.2/redrive", { method: "POST" })).status, 204);
  await json("dead-letters/3%2Fm1.2", "DELETE");
  await json(`tasks/${encodeURIComponent("3/hold/a%2Fb/x")}`, "DELETE");
  assert.deepEqual(asked, [
    ["tasks", "account", 7],
    ["deadLetters", undefined, "5/3/m1.2", 50],
    ["backlog"],
    ["queues"],
    ["jobs", "mails", 3],
    ["changeQueue", "mails", { act: "pause" }],
    ["changeQueue", "mails", { act: "purge", dryRun: true }],
    ["changeQueue", "mails", { act: "purge", dryRun: false }],
    ["deadLetter", "3/m1.2"],
    ["redrive", "3/m1.2"],
    ["drop", "3/m1.2"],
    ["cancelTimer", "3/hold/a%2Fb/x"],
  ]);
});

test("admin: dead letters are tried again together, told of, and left as they are; what is no such thing is refused", async () => {
  const { ask, asked } = desk();
  const post = async (body: unknown): Promise<number> =>
    (await ask("/admin/v1/redrives", { method: "POST", body: JSON.stringify(body) })).status;
  assert.equal(await post({ entity: "queue mails", cause: "no ink", perSecond: 2.5 }), 200);
  assert.equal(await post({ dryRun: true }), 200);
  assert.equal((await ask("/admin/v1/redrives?cause=no%20ink")).status, 200);
  assert.equal((await ask("/admin/v1/redrives?entity=queue%20mails", { method: "DELETE" })).status, 200);
  for (const wrong of [{ perSecond: 0 }, { cause: 7 }, { dryRun: "yes" }, { rate: 1 }])
    assert.equal(await post(wrong), 400);
  assert.deepEqual(asked, [
    ["redriveMany", { entity: "queue mails", cause: "no ink" }, { act: "start", perSecond: 2.5 }],
    ["redriveMany", { entity: undefined, cause: undefined }, { act: "tell" }],
    ["redriveMany", { entity: undefined, cause: "no ink" }, { act: "told" }],
    ["redriveMany", { entity: "queue mails", cause: undefined }, { act: "cancel" }],
  ]);
});

test("admin: a group is paused, moved and forgotten under its topic; where to is a word or a time", async () => {
  const { ask, asked } = desk();
  const json = async (path: string, method = "GET", body?: unknown): Promise<number> =>
    (await ask(`/admin/v1/${path}`, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })).status;
  assert.equal(await json("topics"), 200);
  assert.equal(await json("groups"), 200);
  const of = "topics/cake.baked/groups/a%2Fb";
  assert.equal(await json(`${of}/pause`, "POST"), 200);
  assert.equal(await json(`${of}/seek`, "POST", { to: 5, dryRun: true }), 200);
  assert.equal(await json(of, "DELETE"), 200);
  for (const to of ["end", 1.5, null]) assert.equal(await json(`${of}/seek`, "POST", { to }), 400);
  assert.deepEqual(asked, [
    ["topics"],
    ["groups"],
    ["changeGroup", "cake.baked", "a/b", { act: "pause" }],
    ["changeGroup", "cake.baked", "a/b", { act: "seek", to: 5, dryRun: true }],
    ["changeGroup", "cake.baked", "a/b", { act: "remove", dryRun: false }],
  ]);
});

test("admin: what is missing of a list is said beside it, in ASCII", async () => {
  const { ask } = desk();
  const answer = await ask("/admin/v1/entities/account?prefix=b");
  assert.equal(((await answer.json()) as unknown[]).length, 2);
  const warnings = answer.headers.get("sheaf-warnings") ?? "";
  assert.match(warnings, /^[ -~]+$/);
  assert.deepEqual(JSON.parse(warnings), ["what is in shard 3 is missing: nöde-2 did not answer"]);
  assert.equal((await ask("/admin/v1/entities/account")).headers.get("sheaf-warnings"), null);
});

test("admin: a move that does not say which shard, or where to, is refused", async () => {
  const { ask, asked } = desk();
  const move = async (shard: string, body: string): Promise<number> =>
    (await ask(`/admin/v1/shards/${shard}/move`, { method: "POST", body })).status;
  for (const body of ["{}", "null", '{"to":7}', '"n-2"', "[]"]) assert.equal(await move("1", body), 400, body);
  for (const shard of ["x", "-1", "1.5", "1e3", "999999"]) assert.equal(await move(shard, '{"to":"n-2"}'), 404, shard);
  assert.deepEqual(asked, []);
});

test("admin: a key is made, listed, used and revoked, and its text is shown once", async () => {
  const { ask } = desk();
  const made = (await (
    await ask("/admin/v1/keys", { method: "POST", body: JSON.stringify({ name: "ops", roles: ["admin"] }) })
  ).json()) as { id: string; key: string };
  assert.equal((await ask("/admin/v1/status", { as: made.key })).status, 200);
  const listed = await (await ask("/admin/v1/keys")).text();
  assert.ok(listed.includes(made.id) && !listed.includes(made.key.split("_")[2] ?? ""));
  assert.equal((await ask(`/admin/v1/keys/${made.id}`, { method: "DELETE" })).status, 204);
  assert.equal((await ask("/admin/v1/status", { as: made.key })).status, 401);
  assert.equal((await ask("/admin/v1/keys/nosuchkeynosuchk", { method: "DELETE" })).status, 404);
});

test("admin: a key that is not an admin's opens nothing here", async () => {
  const { ask, http } = desk();
  const { key } = (await (
    await ask("/admin/v1/keys", { method: "POST", body: '{"name":"app","roles":["app"]}' })
  ).json()) as { key: string };
  for (const { method, pattern, access } of http.routes) {
    if (access === "guarded")
      assert.equal(
        (await ask(pattern.replaceAll(/:\w+/g, "x"), { method, as: key })).status,
        403,
        `${method} ${pattern}`,
      );
  }
});

test("admin: every route refuses a caller without the token, but for the open list", async () => {
  const { ask, http, asked } = desk();
  const open = ["/livez", "/readyz", "/metrics", "/"];
  assert.ok(http.routes.length >= 15, "the matrix saw the routes");
  for (const { method, pattern, access } of http.routes) {
    assert.equal(access === "open", open.includes(pattern), pattern);
    for (const as of [null, "", "a-secret-made-at-star", `${token}x`, "dev", token.toUpperCase()]) {
      assert.equal(
        (await ask(pattern.replaceAll(/:\w+/g, "x"), { method, as })).status,
        access === "open" ? 200 : 401,
        `${method} ${pattern}`,
      );
    }
  }
  assert.deepEqual(asked, []);
});

test("admin: the hashes of keys cannot be read through entities", async () => {
  const { ask, asked } = desk();
  for (const path of ["/entities/sheaf.key/x", "/entities/sheaf.key", "/entities/sheaf%2Ekey/x/history"])
    assert.equal((await ask(`/admin/v1${path}`)).status, 403, path);
  assert.deepEqual(asked, []);
});

test("admin: only this machine's names are answered to, and only its own pages", async () => {
  const { http, ask } = desk();
  const from = async (host: string): Promise<number> =>
    (await http.fetch(new Request(`http://${host}/admin/v1/status`, { headers: { authorization: `Bearer ${token}` } })))
      .status;
  for (const host of ["127.0.0.1:4001", "localhost:4001", "[::1]:4001", "LOCALHOST", "console.localhost"])
    assert.equal(await from(host), 200, host);
  for (const host of ["evil.example", "127.0.0.1.evil.example", "192.168.1.5:4001", "0.0.0.0"])
    assert.equal(await from(host), 403, host);
  assert.equal((await ask("/admin/v1/status", { headers: { origin: "http://127.0.0.1:4001" } })).status, 200);
  assert.equal((await ask("/admin/v1/status", { headers: { origin: "http://127.0.0.1:4000" } })).status, 403);
  assert.equal((await ask("/admin/v1/status", { headers: { origin: "null" } })).status, 403);
});

test("admin: what does not fit is 400 with a pointer", async () => {
  const { ask, asked } = desk();
  for (const limit of ["0", "-1", "1001", "x", "", "1.5"])
    assert.equal((await ask(`/admin/v1/entities/account?limit=${limit}`)).status, 400, limit);
  const bodies = [
    "null",
    "[]",
    "{}",
    '{"name":1,"roles":["app"]}',
    '{"name":"a","roles":"app"}',
    '{"name":"a","roles":["root"]}',
    '{"name":"a","roles":["app"],"x":1}',
    '{"name":"a","roles":["app"],"expiresAt":"soon"}',
  ];
  for (const body of bodies) {
    const answer = await ask("/admin/v1/keys", { method: "POST", body });
    assert.equal(answer.status, 400, body);
    assert.ok(((await answer.json()) as { errors: unknown[] }).errors.length > 0, body);
  }
  assert.equal((await ask("/admin/v1/entities/account/%00")).status, 400);
  assert.deepEqual(asked, []);
});

test("admin: its document is valid and has exactly the guarded routes", async () => {
  const { ask, http } = desk();
  const document: unknown = await (await ask("/admin/v1/openapi.json")).json();
  const served = http.routes
    .filter(({ access }) => access === "guarded")
    .map(({ method, pattern }) => `${method} ${pattern.replaceAll(/:(\w+)/g, "{$1}")}`);
  assert.deepEqual([...checkOpenApi(document), "GET /admin/v1/openapi.json"].toSorted(), served.toSorted());
});

test("admin: probes, metrics and the front page are plain text", async () => {
  const { ask } = desk();
  assert.equal(await (await ask("/metrics", { as: null })).text(), "sheaf_up 1\n");
  assert.match(await (await ask("/", { as: null })).text(), /admin listener/);
  assert.equal(await (await ask("/readyz", { as: null })).text(), "ok\n");
});
