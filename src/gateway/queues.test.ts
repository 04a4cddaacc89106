// Queues over HTTP, in front of a node that keeps them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, queue } from "../model/index.ts";
import { world, type World } from "../node/world.fixture.ts";
import { rolePolicy } from "../security/index.ts";
import { checkOpenApi } from "../http/openapi.fixture.ts";
import { bench } from "./gateway.fixture.ts";
import { openApiOf } from "./openapi.ts";

const Mail = queue("mail", {
  input: z.object({ to: z.string() }),
  output: z.object({ sent: z.boolean() }),
  key: ({ to }) => to,
  visibilityMs: 1000,
  attempts: 2,
});
const Notes = queue("notes", { input: z.string() });
const shop = app("shop", { queues: [Mail, Notes] });

type Answered = { readonly status: number; readonly body: unknown; readonly replayed: string | null };
type Asking = (path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answered>;

async function open(): Promise<{ post: Asking; get: Asking; w: World }> {
  const w = await world({ app: shop });
  const b = bench({ contract: () => shop.contract });
  b.answer = (call) => w.node.call({ ...call, signal: undefined, deadline: w.host.clock.tick() + 5000 });
  const told = async (response: Response): Promise<Answered> => {
    const text = await response.text();
    const { status, headers } = response;
    return { status, body: text === "" ? undefined : JSON.parse(text), replayed: headers.get("idempotent-replayed") };
  };
  const post: Asking = (path, body, headers) =>
    w.run((body === undefined ? b.fetch(path, { method: "POST" }) : b.post(path, body, headers)).then(told));
  return { post, get: (path) => w.run(b.fetch(path).then(told)), w };
}

test("a job over HTTP: it is added once for its idempotency key, taken, told of, and done with its result", async () => {
  const { post, get } = await open();
  const first = await post("/queues/mail", { to: "ann" }, { "idempotency-key": "k1" });
  assert.deepEqual(first, { status: 200, body: { id: "ann/k1" }, replayed: null });
  const again = await post("/queues/mail", { to: "ann" }, { "idempotency-key": "k1" });
  assert.deepEqual(again, { ...first, replayed: "true" });
  assert.equal((await post("/queues/notes", "one", { "idempotency-key": "n" })).status, 200);
  const other = await post("/queues/notes", "two", { "idempotency-key": "n" });
  assert.deepEqual([other.status, (other.body as { code: string }).code], [422, "IDEMPOTENCY_MISMATCH"]);
  const taken = await post("/queues/mail/take?max=5");
  const { jobs } = taken.body as { jobs: { id: string; attempt: number; input: unknown }[] };
  assert.deepEqual(
    jobs.map(({ id, attempt, input }) => [id, attempt, input]),
    [["ann/k1", 1, { to: "ann" }]],
  );
  const job = "/queues/mail/jobs/ann%2Fk1";
  assert.equal((await post(`${job}/progress?attempt=1`, { half: true })).status, 204);
  const running = (await get(job)).body as { state: string; progress: unknown };
  assert.deepEqual([running.state, running.progress], ["running", { half: true }]);
  assert.equal((await post(`${job}/extend?attempt=1`, { ms: 5000 })).status, 204);
  assert.equal((await post(`${job}/ack?attempt=1`, { sent: true })).status, 204);
  assert.deepEqual((await get(`${job}?waitMs=100`)).body, { state: "done", output: { sent: true } });
});

test("a lease over HTTP: one that is over is refused with 412, and what does not fit with 400", async () => {
  const { post, get, w } = await open();
  await post("/queues/mail?priority=2", { to: "bob" }, { "idempotency-key": "k" });
  await post("/queues/mail/take");
  await w.pass(1100);
  const job = "/queues/mail/jobs/bob%2Fk";
  assert.equal((await post("/queues/mail/take")).status, 200);
  assert.equal((await post(`${job}/ack?attempt=1`, { sent: true })).status, 412);
  assert.equal((await post(`${job}/ack?attempt=2`, { sent: 1 })).status, 400);
  assert.equal((await post(`${job}/ack`, { sent: true })).status, 400);
  assert.equal((await post(`${job}/reject?attempt=2`, { cause: "no such address" })).status, 204);
  assert.deepEqual((await get(job)).body, { state: "dead", attempts: 2, cause: "REJECTED: no such address" });
  for (const odd of [{ to: 5 }, {}, null, "ann"]) {
    const { status, body } = await post("/queues/mail", odd);
    const { errors = [] } = body as { errors?: { pointer: string }[] };
    // Of what is wrong with an input the key is told only where the schema has nothing against it.
    assert.deepEqual([status, errors[0]?.pointer], [400, typeof odd === "object" && odd !== null ? "/to" : ""]);
  }
  assert.match(JSON.stringify((await post("/queues/mail", { to: "" })).body), /the key of a job in queue mail/);
  assert.equal((await post("/queues/mail?delayMs=soon", { to: "a" })).status, 400);
  assert.equal((await get("/queues/mail/jobs/nobody%2Fx")).status, 404);
  assert.equal((await post("/queues/mails", {})).status, 404);
  assert.equal((await post(`${job}/steal?attempt=2`, {})).status, 404);
});

test("queues over HTTP: who may not run commands may not add, take or end jobs, and none may call a worker", async () => {
  const policy = rolePolicy({ reader: ["query"], admin: ["procedure"] });
  const b = bench({ contract: () => shop.contract, policy });
  for (const path of ["/queues/notes", "/queues/notes/take", "/queues/notes/jobs/a/ack?attempt=1"])
    assert.equal((await b.post(path, "x")).status, 403, path);
  assert.equal((await b.fetch("/queues/notes/jobs/a")).status, 403);
  const caller = { id: "x", roles: ["admin"] };
  const worker = { kind: "service", service: "queue notes", name: "work" } as const;
  assert.equal(policy.decide(caller, "procedure", worker).allow, false);
  assert.deepEqual(b.calls, []);
});

test("openapi: what it says of queues is valid, and every path of theirs is served", async () => {
  const { post, get } = await open();
  const document = JSON.parse(JSON.stringify(openApiOf(shop.contract))) as Parameters<typeof checkOpenApi>[0];
  const paths = checkOpenApi(document).filter((path) => path.includes("/mail"));
  assert.equal(paths.length, 7);
  for (const path of paths) {
    const [method, at = ""] = path.split(" ");
    const { status } = await (method === "GET" ? get : post)(`${at.replace("{job}", "a%2Fb")}?attempt=1`);
    const isJob = at.includes("{job}");
    // No such job, no lease of it, or no input: so it has come to where the queue is.
    assert((isJob ? [400, 404, 412] : [200, 400]).includes(status), `${path}: ${status}`);
  }
});
