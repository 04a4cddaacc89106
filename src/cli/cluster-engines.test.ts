// A cluster of three real processes on each server engine: the owner of a key is killed under load, and nothing is lost.

import assert from "node:assert/strict";
import process from "node:process";
import { after, test } from "node:test";
import { natsCluster, natsBed, withoutNats } from "../engines/nats/nats-cluster.fixture.ts";
import { serverOfThisFile, serverTest } from "../engines/postgres/server.fixture.ts";
import { startCallers, startCluster } from "./cluster.fixture.ts";
import { folder } from "./cli.fixture.ts";

const keys = Array.from({ length: 8 }, (_, n) => `k${n}`);

async function survivesKill(t: { after(fn: () => void): void }, engine: string): Promise<void> {
  const cluster = await startCluster(t, folder(t), 3, ["--engine", engine]);
  const callers = startCallers(cluster.gateways, keys);
  await Promise.all(keys.map((key) => callers.next(key)));
  const owner = await cluster.ownerOf("k0");
  const back = cluster.heard(({ event, name }) => event === "ready" && name === owner.name);
  process.kill(owner.pid, "SIGKILL");
  await Promise.all(keys.map((key) => callers.next(key)));
  await back;
  assert.deepEqual(await callers.verify(), []);
  assert.deepEqual(callers.failures, []);
  assert.equal(await cluster.stop(), 0);
}

const postgres = serverOfThisFile();
const cleanups: (() => void)[] = [];
after(() => {
  for (const cleanup of cleanups) cleanup();
});

serverTest("cluster on PostgreSQL: kill -9 of an owner loses and doubles nothing, and calls go on", async () => {
  await survivesKill({ after: (fn) => void cleanups.push(fn) }, (await postgres()).url());
});

test(
  "cluster on NATS: kill -9 of an owner loses and doubles nothing, and calls go on",
  { skip: withoutNats, timeout: 240_000 },
  async (t) => {
    const servers = await natsCluster();
    t.after(() => servers.end());
    const { options } = natsBed(servers);
    await survivesKill(t, `nats://${servers.addresses.join(",")}/${options.space}`);
  },
);
