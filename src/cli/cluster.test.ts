// One cluster of three real processes on the embedded engine, under callers that never stop: nodes are killed, stopped and
// continued, and restarted one after another. Whatever happens, what was acknowledged is there exactly once.

import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startBalanced } from "./balanced.fixture.ts";
import { benchApp, type Callers, type RealCluster, startCallers, startCluster, until } from "./cluster.fixture.ts";
import { folder, sheaf } from "./cli.fixture.ts";

const keys = Array.from({ length: 8 }, (_, n) => `k${n}`);

/** Kills the owner of a key three times, and waits for the key to be served again each time, and for the node to be back. */
async function killOwners(cluster: RealCluster, callers: Callers): Promise<void> {
  for (const key of keys.slice(0, 3)) {
    await callers.next(key);
    const owner = await cluster.ownerOf(key);
    const ended = cluster.heard(({ event, name }) => event === "ended" && name === owner.name);
    const back = cluster.heard(({ event, name }) => event === "ready" && name === owner.name);
    process.kill(owner.pid, "SIGKILL");
    await callers.next(key);
    assert.equal((await ended).how, "SIGKILL");
    assert.notEqual((await back).pid, owner.pid);
  }
}

/** One that held the journal's write lock while it stood still has been killed by the others. */
function goOn(pid: number): void {
  try {
    process.kill(pid, "SIGCONT");
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
  }
}

/** Stops the owner of a key for longer than the others are patient, and lets it go on. */
async function freezeOwner(cluster: RealCluster, callers: Callers): Promise<void> {
  const [key = ""] = keys;
  const owner = await cluster.ownerOf(key);
  process.kill(owner.pid, "SIGSTOP");
  try {
    await sleep(2_000);
  } finally {
    goOn(owner.pid);
  }
  await Promise.all(keys.map((each) => callers.next(each)));
}

/** A drained node serves nothing and answers still; taken back, it serves again. Names and ids are told. */
async function steer(data: string): Promise<void> {
  const json = async <T>(...args: string[]): Promise<T> => {
    const ran = await sheaf([...args, "--data", data, "--json"]);
    assert.equal(ran.code, 0, ran.err);
    return (JSON.parse(ran.out) as { data: T }).data;
  };
  type Row = { id: string; name: string; state: string; owns: number; cordoned: boolean };
  const nodes = (): Promise<Row[]> => json("node", "ls");
  const first = (await nodes()).find(({ state }) => state === "ready");
  assert.ok(first);
  const now = async (): Promise<Row | undefined> => (await nodes()).find(({ id }) => id === first.id);
  await json("node", "drain", first.name);
  assert.deepEqual([(await now())?.state, (await now())?.owns], ["draining", 0]);
  assert.deepEqual(await json("shard", "ls", "--node", first.name), []);
  await json("node", "undrain", first.id);
  await json("node", "cordon", first.name);
  assert.equal((await now())?.cordoned, true);
  await json("node", "uncordon", first.name);
  await until("it serves again", async () => ((await now())?.owns ?? 0) > 0 || undefined);
  assert.equal((await sheaf(["node", "remove", first.name, "--data", data])).code, 5, "it answers");
  const wrong = await sheaf(["node", "drain", `${first.name}x`, "--data", data]);
  assert.equal(wrong.code, 3);
  assert.ok(wrong.err.includes(first.name), "names the nearest");
}

/** A shard that is sent elsewhere stays there, until it is let go. */
async function send(cluster: RealCluster, data: string): Promise<void> {
  const json = async <T>(...args: string[]): Promise<T> => {
    const ran = await sheaf([...args, "--data", data, "--json"]);
    assert.equal(ran.code, 0, ran.err);
    return (JSON.parse(ran.out) as { data: T }).data;
  };
  type Move = { shard: number; from: string; to: string; state: string; fromName: string; toName: string };
  await until("every shard is where it belongs", async () => {
    const { nodes } = await cluster.status();
    return (nodes.length === 2 && (await json<Move[]>("shard", "rebalance", "--dry-run")).length === 0) || undefined;
  });
  const status = await cluster.status();
  const home = status.shards[3]?.owner ?? "";
  const other = status.nodes.find(({ id }) => id !== home)!;
  const at = async (owner: string, pinned: string | null): Promise<void> => {
    const shard = (await cluster.status()).shards[3];
    assert.deepEqual([shard?.owner, shard?.pinned], [owner, pinned]);
  };
  assert.equal((await json<{ dryRun: boolean }>("shard", "move", "3", "--to", other.name, "--dry-run")).dryRun, true);
  await at(home, null);
  await json("shard", "move", "3", "--to", other.name);
  await at(other.id, other.name);
  const planned = await json<Move[]>("shard", "rebalance", "--dry-run");
  assert.deepEqual(
    planned.map(({ shard, from, to, state }) => ({ shard, from, to, state })),
    [{ shard: 3, from: other.id, to: home, state: "pinned" }],
  );
  const homeName = status.nodes.find(({ id }) => id === home)?.name;
  assert.deepEqual([planned[0]?.fromName, planned[0]?.toName], [other.name, homeName]);
  await at(other.id, other.name);
  await json("shard", "rebalance");
  await at(home, null);
  assert.equal((await sheaf(["shard", "move", "99", "--to", other.name, "--data", data])).code, 3);
  assert.equal((await sheaf(["shard", "move", "3", "--data", data])).code, 2);
}

test("cluster: a shard goes where it is sent and stays, until pins are taken away", { timeout: 240_000 }, async (t) => {
  const data = folder(t);
  const cluster = await startCluster(t, data, 2);
  const callers = startCallers(t, cluster.gateways, keys);
  await send(cluster, data);
  assert.deepEqual(await callers.verify(), []);
  assert.deepEqual(callers.failures, []);
  assert.equal(await cluster.stop(), 0);
});

test(
  "cluster: kill -9 of owners and a node that stands still lose and double nothing, and calls go on",
  { timeout: 240_000 },
  async (t) => {
    const data = folder(t);
    const cluster = await startCluster(t, data, 3);
    const callers = startCallers(t, cluster.gateways, keys);
    await killOwners(cluster, callers);
    assert.deepEqual(callers.failures, [], "no call failed while nodes were killed");
    await freezeOwner(cluster, callers);
    assert.deepEqual(await callers.verify(), []);
    await until("three nodes serve all shards", async () => {
      const { nodes, shards } = await cluster.status();
      const ready = nodes.filter(({ state }) => state === "ready").map(({ name }) => name);
      return (ready.join() === "node-1,node-2,node-3" && shards.every(({ state }) => state === "serving")) || undefined;
    });
    const told = await sheaf(["status", "--data", data]);
    assert.match(told.out, /^node-1\tready\t\d+\t/m);
    assert.equal(await cluster.stop(), 0);
  },
);

test("cluster: restarting its nodes one after another, under load, fails no call", { timeout: 600_000 }, async (t) => {
  const cluster = await startCluster(t, folder(t), 3, ["--grace", "3s"]);
  const callers = startCallers(t, cluster.gateways, keys);
  const balanced = startBalanced(t, cluster.gateways, ["p0", "p1", "p2"]);
  for (const name of ["node-1", "node-2", "node-3"]) {
    await Promise.all([...keys.map((key) => callers.next(key)), balanced.turn()]);
    const { pid, gateway } = cluster.nodes.get(name)!;
    const ended = cluster.heard((event) => event.event === "ended" && event.name === name);
    const back = cluster.heard((event) => event.event === "ready" && event.name === name);
    process.kill(pid, "SIGTERM");
    await balanced.heard(gateway, false);
    assert.equal((await ended).how, "code 0");
    await back;
    await balanced.heard(gateway, true);
  }
  assert.deepEqual([...(await callers.verify()), ...(await balanced.verify())], []);
  assert.deepEqual([...callers.failures, ...balanced.failures], []);
  for (const [gateway, count] of balanced.answered) assert.ok(count > 0, `${gateway} answered nothing`);
  assert.equal(await cluster.stop(), 0);
});

test(
  "cluster: a node that stops says so at /readyz while it goes on answering, and a second signal ends it at once",
  { timeout: 120_000 },
  async (t) => {
    const cluster = await startCluster(t, folder(t), 2, ["--grace", "1h"], false);
    const { gateway, pid, name } = cluster.nodes.get("node-1")!;
    const post = { method: "POST", body: '{"by":1,"memo":""}', headers: { "content-type": "application/json" } };
    const add = (): Promise<Response> => fetch(`${gateway}/entities/counter/a/add`, post);
    assert.deepEqual([(await add()).status, (await fetch(`${gateway}/readyz`)).status], [200, 200]);
    process.kill(pid, "SIGTERM");
    await until("it is not ready", async () => (await fetch(`${gateway}/readyz`)).status === 503 || undefined);
    const checks = (await (await fetch(`${gateway}/readyz?verbose`)).json()) as { checks: Record<string, string> };
    assert.equal(checks.checks["node"], "it is stopping");
    await until(
      "it serves nothing",
      async () => (await cluster.status()).nodes.some((node) => node.name === name && node.owns === 0) || undefined,
    );
    const answer = await add();
    assert.deepEqual([answer.status, answer.headers.get("connection")], [200, "close"]);
    const ended = cluster.heard((event) => event.event === "ended" && event.name === name);
    process.kill(pid, "SIGTERM");
    assert.equal((await ended).how, "code 143");
  },
);

test(
  "cluster: two commands with folders of their own on one journal are one cluster, steered from any of them",
  { timeout: 120_000 },
  async (t) => {
    const [journal, one, two] = [folder(t), folder(t), folder(t)];
    const engine = ["--engine", `sqlite:${journal}`];
    const first = await startCluster(t, one, 1, engine);
    const second = await startCluster(t, two, 2, engine);
    const names = (await second.status()).nodes.map(({ name }) => name);
    assert.equal(new Set(names).size, 3, names.join());
    const callers = startCallers(t, [...first.gateways, ...second.gateways], keys);
    await Promise.all(keys.map((key) => callers.next(key)));
    assert.equal(await first.stop(), 0);
    await Promise.all(keys.map((key) => callers.next(key)));
    await steer(two);
    await Promise.all(keys.map((key) => callers.next(key)));
    assert.deepEqual(await callers.verify(), []);
    assert.deepEqual(callers.failures, []);
    assert.equal(await second.stop(), 0);
  },
);

test(
  "cluster: a second node of a name is refused while the first lives, and not after it was killed",
  {
    timeout: 120_000,
  },
  async (t) => {
    const [journal, one, two] = [folder(t), folder(t), folder(t)];
    const named = ["--engine", `sqlite:${journal}`, "--name", "same"];
    const first = await startCluster(t, one, 1, named, false);
    const second = ["start", benchApp, "--data", two, "--port", "0", "--admin-port", "0", "--insecure", ...named];
    const refused = await sheaf(second);
    assert.equal(refused.code, 5);
    assert.match(refused.err, /IN_USE .*the name same is in the cluster: process \d+ at /);
    assert.match(refused.err, /--name/);
    const exit = once(first.child, "exit");
    first.child.kill("SIGKILL");
    await exit;
    const again = await startCluster(t, two, 1, named, false);
    assert.equal(await again.stop(), 0);
  },
);

test(
  "cluster: without --restart a node that ends stays down, and when the last has ended so has the command",
  { timeout: 120_000 },
  async (t) => {
    const cluster = await startCluster(t, folder(t), 2, [], false);
    const exit = once(cluster.child, "exit") as Promise<[number | null]>;
    for (const { pid, name } of cluster.nodes.values()) {
      const ended = cluster.heard((event) => event.event === "ended" && event.name === name);
      process.kill(pid, "SIGKILL");
      const { how, restartsInMs } = await ended;
      assert.deepEqual([how, restartsInMs], ["SIGKILL", null]);
    }
    assert.equal((await exit)[0], 1);
    assert.match((await sheaf(["start", benchApp, "--nodes", "2"], { cwd: folder(t) })).err, /NO_CLUSTER/);
  },
);
