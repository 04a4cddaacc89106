// Queues through the client, over either transport, against a real node behind a real listener.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { z } from "zod";
import { defaultLimits } from "../base/index.ts";
import { gateway, sockets } from "../gateway/index.ts";
import { memoryDisk, memoryEngine } from "../journal/index.ts";
import { app, queue } from "../model/index.ts";
import { startNode } from "../node/index.ts";
import { listen, realHost, socketServer } from "../platform/index.ts";
import { openAuthenticator, rolePolicy } from "../security/index.ts";
import { memoryStore } from "../shards/index.ts";
import { connect } from "./index.ts";

const Sums = queue("sums", {
  input: z.object({ by: z.string(), of: z.array(z.number()) }),
  output: z.number(),
  key: ({ by }) => by,
});
const Labels = queue("labels", { input: z.string(), output: z.string() });
const sums = Sums.work(({ input }) => input.of.reduce((sum, n) => sum + n, 0));
const office = app("office", { queues: [sums, Labels] });

async function open(t: TestContext): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-office-"));
  const host = realHost({ dir, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const limits = { ...defaultLimits };
  const engine = memoryEngine({ disk: memoryDisk(), clock: host.clock });
  const node = await startNode({
    host,
    engine,
    store: memoryStore(),
    app: office,
    cluster: "office",
    shards: 4,
    create: true,
    limits,
  });
  const authenticator = openAuthenticator({ id: "me", roles: ["app"] });
  const contract = (): typeof office.contract => office.contract;
  const shared = { host, calls: node, contract, limits, authenticator, policy: rolePolicy(), reveal: true };
  const edge = gateway({ ...shared, shards: node.cluster.shards, ready: () => node.ready() });
  const answering = sockets({ ...shared, cluster: node.cluster.id });
  const server = socketServer({ limits, open: (pipe) => answering.open(pipe) });
  const listener = await listen({ port: 0, answer: edge.answer, onUpgrade: server.onUpgrade, limits });
  t.after(async () => {
    server.close();
    await listener.close(0);
    await node.stop(100);
    host.close();
    rmSync(dir, { recursive: true });
  });
  return listener.url;
}

for (const transport of ["socket", "http"] as const)
  test(`queues over ${transport}: jobs are added, awaited, taken, prolonged, rejected and done`, async (t) => {
    using client = connect(office.contract, { url: await open(t), transport });
    const id = await client.queue(Sums).add({ by: "ann & co", of: [1, 2, 3] }, { id: "six", priority: 2, delayMs: 1 });
    assert.equal(id, "ann & co/six");
    assert.deepEqual(await client.queue(Sums).result(id, { waitMs: 5000 }), { state: "done", output: 6 });
    const { add, take, ack, reject, extend, progress, result } = client.queue(Labels);
    const label = await add("a");
    const [job] = await take({ waitMs: 5000, max: 3 });
    assert(job);
    assert.deepEqual([job.id, job.attempt, job.input], [label, 1, "a"]);
    await extend(job, 60_000);
    await progress(job, { printed: 1 });
    const running = await result(label);
    assert.deepEqual(running.state === "running" && running.progress, { printed: 1 });
    await reject(job, "no paper", { delayMs: 0 });
    const [again] = await take({ waitMs: 5000 });
    assert(again);
    await assert.rejects(ack(job, "A"), { code: "PRECONDITION_FAILED" });
    await ack(again, "A");
    assert.deepEqual(await result(label), { state: "done", output: "A" });
    await assert.rejects(result("nobody"), { code: "NOT_FOUND" });
  });
