// `sheaf backup`, `restore` and `engine verify` as processes: from engine to engine, killed midway, on damaged files.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { natsBed, natsCluster, withoutNats } from "../engines/nats/nats-cluster.fixture.ts";
import { serverOfThisFile, serverTest } from "../engines/postgres/server.fixture.ts";
import { embeddedEngine } from "../engines/index.ts";
import { type Cluster, recordCodec } from "../journal/index.ts";
import { realCompress, realCrypto } from "../platform/index.ts";
import { clean, folder, sheaf, startServer, type TestServer } from "./cli.fixture.ts";
import { commandFile } from "./release.ts";

const key = "ab".repeat(32);
const env = { SHEAF_ENCRYPTION_KEY: key };
const accounts = Array.from({ length: 6 }, (_, n) => `acc-${n}`);

async function deposit(server: TestServer, account: string, operation: string): Promise<{ readonly cents: number }> {
  const answer = await fetch(`${server.gateway}/entities/account/${account}/deposit`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": operation },
    body: JSON.stringify({ cents: 1 }),
  });
  assert.equal(answer.status, 200);
  return (await answer.json()) as { cents: number };
}

/** Deposits that were acknowledged, one by one, until told to stop. */
function depositing(server: TestServer, from: number): { stop(): Promise<readonly string[]>; first(): Promise<void> } {
  const done: string[] = [];
  const begun = Promise.withResolvers<void>();
  let going = true;
  const all = Promise.all(
    accounts.map(async (account) => {
      for (let n = from; going; n++) {
        await deposit(server, account, `${account}/${n}`);
        done.push(`${account}/${n}`);
        if (done.length > 30) begun.resolve();
      }
    }),
  );
  return { first: () => begun.promise, stop: async () => ((going = false), await all, done) };
}

/** Every deposit that was acknowledged before the backup began is there, and known: repeating it changes nothing. */
async function holdsAll(server: TestServer, done: readonly string[]): Promise<void> {
  const last = new Map<string, number>();
  for (const account of accounts) last.set(account, (await deposit(server, account, "probe")).cents);
  for (const operation of done) await deposit(server, operation.split("/")[0] as string, operation);
  for (const account of accounts) {
    const { cents } = await deposit(server, account, "probe");
    assert.equal(cents, last.get(account), account);
  }
}

const json = (text: string): Record<string, never> => (JSON.parse(text) as { data: Record<string, never> }).data;

/** Backs up from one engine while its server is written to, restores into the next, and starts a server on it. */
async function moved(
  t: { after(fn: () => void): void },
  from: { server: TestServer; engine: string },
  to: { data: string; engine: string },
  round: number,
): Promise<TestServer> {
  const load = depositing(from.server, round * 10_000);
  await load.first();
  const early = await sheaf(["engine", "verify", "--engine", from.engine, "--json"], { env });
  assert.equal(early.code, 0, early.out + early.err);
  const writer = depositing(from.server, round * 10_000 + 5_000);
  await writer.first();
  const before = await load.stop();
  const dir = join(folder(t), "backup");
  const backup = await sheaf(["backup", dir, "--engine", from.engine, "--json"], { env });
  assert.equal(backup.code, 0, backup.err);
  await writer.stop();
  assert.equal(json(backup.out)["encrypted"], true);
  const verified = await sheaf(["backup", "verify", dir, "--json"], { env });
  assert.equal(verified.code, 0, verified.err);
  const wrong = await sheaf(["restore", dir, "--engine", to.engine], {
    env: { SHEAF_ENCRYPTION_KEY: "cd".repeat(32) },
  });
  assert.equal(wrong.code, 4, wrong.err);
  const restored = await sheaf(["restore", dir, "--engine", to.engine, "--json"], { env });
  assert.equal(restored.code, 0, restored.err);
  assert.equal(json(restored.out)["clusterId"], json(backup.out)["clusterId"]);
  const again = await sheaf(["restore", dir, "--engine", to.engine, "--again"], { env });
  assert.equal(again.code, 5, again.err);
  const server = await startServer(to.data, ["--insecure", "--engine", to.engine], env);
  t.after(() => void server.child.kill("SIGKILL"));
  await holdsAll(server, before);
  assert.equal(await from.server.end("SIGTERM"), 0);
  const sound = await sheaf(["engine", "verify", "--engine", to.engine], { env });
  assert.equal(sound.code, 0, sound.out);
  return server;
}

const postgres = serverOfThisFile();

serverTest(
  "backup: from the embedded engine to PostgreSQL and back, under load and encrypted, nothing acknowledged is lost",
  async () => {
    const cleanups: (() => void)[] = [];
    const t = { after: (fn: () => void) => void cleanups.push(fn) };
    try {
      const [one, two] = [folder(t), folder(t)];
      const first = await startServer(one, ["--create", "--insecure"], env);
      t.after(() => void first.child.kill("SIGKILL"));
      const url = (await postgres()).url();
      const second = await moved(t, { server: first, engine: `sqlite:${one}` }, { data: two, engine: url }, 1);
      const three = folder(t);
      const third = await moved(t, { server: second, engine: url }, { data: three, engine: `sqlite:${three}` }, 2);
      assert.equal(await third.end("SIGTERM"), 0);
    } finally {
      for (const cleanup of cleanups.toReversed()) cleanup();
    }
  },
);

test(
  "backup: from the embedded engine to NATS and back, under load and encrypted, nothing acknowledged is lost",
  { skip: withoutNats, timeout: 240_000 },
  async (t) => {
    const servers = await natsCluster();
    t.after(() => servers.end());
    const url = `nats://${servers.addresses.join(",")}/${natsBed(servers).options.space}`;
    const [one, two, three] = [folder(t), folder(t), folder(t)];
    const first = await startServer(one, ["--create", "--insecure"], env);
    t.after(() => void first.child.kill("SIGKILL"));
    const second = await moved(t, { server: first, engine: `sqlite:${one}` }, { data: two, engine: url }, 1);
    const third = await moved(t, { server: second, engine: url }, { data: three, engine: `sqlite:${three}` }, 2);
    assert.equal(await third.end("SIGTERM"), 0);
  },
);

/** An engine with so much in it, 30 records a page and shard, that copying it takes a moment. */
async function large(dir: string, pages = 2): Promise<void> {
  const cluster: Cluster = { id: "5e".repeat(16), name: "large", shards: 6, createdAt: 1_700_000_000_000 };
  const plain = { crypto: realCrypto, compress: realCompress, compressFromBytes: 1e9 };
  const codec = recordCodec({ ...plain, cluster: cluster.id });
  const engine = await embeddedEngine({ dir });
  const begun = await engine.restore(cluster);
  for (let shard = 0; shard < cluster.shards; shard++) {
    let prev: Uint8Array = new Uint8Array(32);
    for (let page = 0; page < pages; page++) {
      const entries = Array.from({ length: 30 }, (_, i) => {
        const seq = page * 30 + i + 1;
        const id = realCrypto.sha256(prev).join("").repeat(600);
        const header = { cluster: cluster.id, shard, generation: 1, epoch: 1, seq, prev, at: 1 };
        const { bytes, hash } = codec.encode({ header, payload: { kind: "park", id, reason: "", parked: true } });
        prev = hash;
        return { shard, seq, epoch: 1, record: bytes };
      });
      await begun.load(shard, 1, entries);
    }
  }
  await begun.finish();
  await engine.close();
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await sleep(2);
};
const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** Runs the command until the condition holds, then sends it the signal. */
async function cutOff(args: readonly string[], when: () => boolean, signal: NodeJS.Signals): Promise<number | null> {
  const child = spawn(process.execPath, [commandFile, ...args], { env: clean, stdio: "ignore" });
  const exit = once(child, "exit") as Promise<[number | null]>;
  let ended = false;
  void exit.then(() => (ended = true));
  await until(() => when() || ended);
  assert.ok(!ended, "it ended before it could be cut off");
  child.kill(signal);
  return (await exit)[0];
}

test("backup: killed midway it leaves no backup, told to stop it leaves nothing", async (t) => {
  const [data, out] = [folder(t), folder(t)];
  await large(data);
  const dir = join(out, "killed");
  const begun = (at: string) => (): boolean =>
    readdirSync(out).length > 0 && sizeOf(join(at, "shard-00000.journal")) > 0;
  assert.equal(await cutOff(["backup", dir, "--data", data], begun(dir), "SIGKILL"), null);
  const files = readdirSync(dir);
  assert.ok(files.includes("manifest.json.unfinished") && !files.includes("manifest.json"), files.join());
  for (const args of [
    ["backup", "verify", dir],
    ["restore", dir, "--data", join(out, "new")],
  ]) {
    const refused = await sheaf(args);
    assert.equal(refused.code, 3, refused.err);
    assert.match(refused.err, /not finished/);
  }
  assert.equal((await sheaf(["backup", dir, "--data", data])).code, 2);
  const stopped = join(out, "stopped");
  assert.equal(await cutOff(["backup", stopped, "--data", data], begun(stopped), "SIGINT"), 130);
  assert.equal(existsSync(stopped), false);
  assert.equal((await sheaf(["backup", stopped, "--data", data])).code, 0);
});

test("restore: killed midway the engine is refused by everything but another restore; told to stop it is empty", async (t) => {
  const [data, out] = [folder(t), folder(t)];
  await large(data);
  const dir = join(out, "backup");
  assert.equal((await sheaf(["backup", dir, "--data", data])).code, 0);
  const target = join(out, "target");
  const begun = (at: string) => (): boolean => sizeOf(join(at, "journal.db-wal")) > 1024 * 1024;
  assert.equal(await cutOff(["restore", dir, "--data", target], begun(target), "SIGKILL"), null);
  const app = [
    "start",
    join(import.meta.dirname, "bench-app.ts"),
    "--data",
    target,
    "--port",
    "0",
    "--admin-port",
    "0",
  ];
  for (const args of [
    ["engine", "verify", "--data", target],
    ["backup", join(out, "no"), "--data", target],
    ["restore", dir, "--data", target],
    [...app, "--create", "--cluster", "large"],
  ]) {
    const refused = await sheaf(args);
    assert.equal(refused.code, 1, refused.err);
    assert.match(refused.err, /ENGINE_REFUSED[^]*was not finished[^]*--again/);
  }
  assert.equal((await sheaf(["restore", dir, "--data", target, "--again"])).code, 0);
  assert.equal((await sheaf(["engine", "verify", "--data", target])).code, 0);
  const stopped = join(out, "stopped");
  assert.equal(await cutOff(["restore", dir, "--data", stopped], begun(stopped), "SIGINT"), 130);
  const empty = await sheaf(["engine", "verify", "--data", stopped]);
  assert.equal(empty.code, 3, empty.err);
  assert.equal((await sheaf(["restore", dir, "--data", stopped])).code, 0);
});

test("backup verify and engine verify: a flipped bit is told with its place and what to do, with exit code 6", async (t) => {
  const [data, out] = [folder(t), folder(t)];
  await large(data, 1);
  const dir = join(out, "backup");
  assert.equal((await sheaf(["backup", dir, "--data", data])).code, 0);
  const file = join(dir, "shard-00003.journal");
  const bytes = readFileSync(file);
  bytes[bytes.length - 100]! ^= 4;
  writeFileSync(file, bytes);
  const found = await sheaf(["backup", "verify", dir]);
  assert.equal(found.code, 6, found.err);
  assert.match(found.out, /3\trecord 30\t.*checksum[^]*1 found[^]*use another backup/);
  const told = await sheaf(["backup", "verify", dir, "--json"]);
  assert.equal(told.code, 6);
  const { findings } = json(told.out) as unknown as { findings: { shard: number; place: string }[] };
  assert.deepEqual(
    findings.map(({ shard, place }) => [shard, place]),
    [[3, "record 30"]],
  );
  const refused = await sheaf(["restore", dir, "--data", join(out, "new")]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /CORRUPT[^]*shard 3, record 30/);
  assert.equal((await sheaf(["engine", "verify", "--data", join(out, "new")])).code, 3);
  const none = await sheaf(["backup", join(out, "x"), "--data", join(out, "nowhere")]);
  assert.equal(none.code, 3, none.err);
  assert.deepEqual([existsSync(join(out, "nowhere")), existsSync(join(out, "x"))], [false, false]);
  const shard = await sheaf(["engine", "verify", "--data", data, "--shard", "6"]);
  assert.equal(shard.code, 3, shard.err);
  const one = await sheaf(["engine", "verify", "--data", data, "--shard", "3", "--json", "-q"]);
  assert.equal(one.code, 0, one.err);
});
