// A job's way through a queue: added, leased, done by a worker and awaited, on one node with the embedded engine, for so many callers at the
// same time. `node queue.bench.ts [--seconds 3]` prints one JSON object per line.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { openEngine } from "../engines/index.ts";
import { app, bindClient, queue } from "../model/index.ts";
import { startNode } from "../node/index.ts";
import { realHost } from "../platform/index.ts";
import { system } from "../security/index.ts";
import { memoryStore } from "../shards/index.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "3" } } });
const Jobs = queue("jobs", { input: z.object({ n: z.number() }), output: z.number() });
const jobs = Jobs.work(({ input }) => input.n, { concurrency: 1024 });
const shop = app("shop", { queues: [jobs] });

const dir = mkdtempSync(join(tmpdir(), "sheaf-queue-"));
const host = realHost({ dir, log: { debug() {}, info() {}, warn() {}, error() {} } });
const engine = await openEngine(`sqlite:${dir}`);
const node = await startNode({
  host,
  engine,
  store: memoryStore(),
  app: shop,
  cluster: "bench",
  create: true,
  shards: 64,
});
const { add, result } = bindClient(async (target, input) => {
  const call = { target, input, principal: system, deadline: host.clock.tick() + 30_000 };
  return (await node.call(call)).output;
}).queue(Jobs);

async function caller(until: number): Promise<number> {
  let done = 0;
  for (; performance.now() < until; done++) {
    const { state } = await result(await add({ n: done }), { waitMs: 20_000 });
    if (state !== "done") throw new Error(`a job is ${state}`);
  }
  return done;
}

const ms = Number(values.seconds) * 1000;
for (const callers of [1, 64, 512]) {
  const began = performance.now();
  const done = await Promise.all(Array.from({ length: callers }, () => caller(began + ms)));
  const jobsPerSecond = Math.round((done.reduce((sum, n) => sum + n, 0) * 1000) / (performance.now() - began));
  console.log(JSON.stringify({ callers, jobsPerSecond }));
}
await node.stop(1000);
host.close();
rmSync(dir, { recursive: true });
