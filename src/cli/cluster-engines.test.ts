// A cluster of three real processes on each server engine: the owner of a key is killed under load, and nothing is lost.

import assert from "node:assert/strict";
import process from "node:process";
import { after, test } from "node:test";
import { natsCluster, natsBed, withoutNats } from "../engines/nats/nats-cluster.fixture.ts";
import { serverOfThisFile, serverTest } from "../engines/postgres/server.fixture.ts";
import { startCallers, startCluster } from "./cluster.fixture.ts";
import { folder, ledgerApp, sheaf, startServer } from "./cli.fixture.ts";

const keys = Array.from({ length: 8 }, (_, n) => `k${n}`);

async function survivesKill(t: { after(fn: () => void): void }, engine: string): Promise<void> {
  const cluster = await startCluster(t, folder(t), 3, ["--engine", engine]);
  const callers = startCallers(t, cluster.gateways, keys);
  await Promise.all(keys.map((key) => callers.next(key)));
  const owner = await cluster.ownerOf("k0");
  const back = cluster.heard(({ event, name }) => event === "ready" && name === owner.name);
  process.kill(owner.pid, "SIGKILL");
  await Promise.all(keys.map((key) => callers.next(key)));
  await back;
  assert.deepEqual(await callers.verify(), []);
  assert.deepEqual(callers.failures, []);
  const gone = cluster.heard(({ event, name }) => event === "stopped" && name === owner.name);
  assert.equal(await cluster.stop(), 0);
  assert.equal((await gone).name, owner.name, "the name it was ready under");
}

const postgres = serverOfThisFile();
const cleanups: (() => void)[] = [];
after(() => {
  for (const cleanup of cleanups) cleanup();
});

serverTest("cluster on PostgreSQL: kill -9 of an owner loses and doubles nothing, and calls go on", async () => {
  await survivesKill({ after: (fn) => void cleanups.push(fn) }, (await postgres()).url());
});

serverTest("cluster on PostgreSQL: another machine joins with a token, and without one it is refused", async () => {
  const keep = { after: (fn: () => void) => void cleanups.push(fn) };
  const [server, one, two] = [await postgres(), folder(keep), folder(keep)];
  await server.sql("CREATE DATABASE machines");
  const engine = ["--engine", server.url("machines"), "--copies", "2"];
  const first = await startServer(one, ["--create", "--name", "one", ...engine]);
  const { data } = JSON.parse((await sheaf(["node", "ls", "--data", one, "--json"])).out) as {
    data: { peer: string }[];
  };
  const address = data[0]?.peer ?? "";
  const args = ["start", ledgerApp, "--data", two, "--port", "0", "--admin-port", "0", "--shards", "4", ...engine];
  for (const create of [[], ["--create"]]) {
    const refused = await sheaf([...args, ...create]);
    assert.equal(refused.code, 4, refused.err);
    assert.match(refused.err, /UNTRUSTED[^]*--join/);
  }
  const token = (await sheaf(["node", "token", "--data", one, "--address", address])).out.trim();
  let second = await startServer(two, ["--name", "two", "--join", token, ...engine]);
  const names = async (): Promise<string> => (await sheaf(["node", "ls", "--data", one, "-q"])).out;
  assert.equal(await names(), "one\ntwo\n");
  assert.equal(await second.end("SIGTERM"), 0);
  // It is a member now: the token was for once.
  second = await startServer(two, ["--name", "two", ...engine]);
  assert.match(await names(), /two/);
  assert.equal(await first.end("SIGTERM"), 0);
  assert.equal(await second.end("SIGTERM"), 0);
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
