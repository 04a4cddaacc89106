import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test as plainTest } from "node:test";
import { inspect } from "node:util";
import type { Cluster, Engine } from "../../journal/index.ts";
import { openEngine } from "../index.ts";
import { addressOf } from "./address.ts";
import { postgresEngine } from "./engine.ts";
import { transactionPooler } from "./pooler.fixture.ts";
import { type Session, whyRefused } from "./server-check.ts";
import { type Server, serverOfThisFile, serverTest as test, startServer } from "./server.fixture.ts";

const server = serverOfThisFile();
const cluster: Cluster = { id: "0f".repeat(16), name: "bank", shards: 4, createdAt: 1 };

/** What an engine rejects with when it is opened. */
async function refusal(
  options: Parameters<typeof postgresEngine>[0],
): Promise<{ code: string; message: string; hint: string }> {
  let engine: Engine;
  try {
    engine = await postgresEngine({ patienceMs: 400, ...options });
  } catch (error) {
    return error as { code: string; message: string; hint: string };
  }
  await engine.close();
  throw new Error("it was not refused");
}
async function setting(it: Server, name: string, value: string): Promise<void> {
  await it.sql(`ALTER SYSTEM SET ${name} = ${value}`);
  await it.sql("SELECT pg_reload_conf()");
  while ((await it.sql(`SELECT current_setting('${name}') AS value`))[0]?.["value"] !== value) continue;
}

test("unsafe server: fsync and full_page_writes that are off are refused by name, with what to change", async () => {
  const it = await server();
  for (const name of ["fsync", "full_page_writes"]) {
    await setting(it, name, "off");
    const { code, message, hint } = await refusal({ url: it.url() });
    await setting(it, name, "on");
    assert.equal(code, "ENGINE_REFUSED");
    assert.match(message, new RegExp(`${name} = off`));
    assert.match(hint, new RegExp(`set ${name} = on`));
  }
  await (await postgresEngine({ url: it.url() })).close();
});

test("unsafe server: synchronous_commit is on for our sessions, whatever the server, database or role says", async () => {
  const it = await server();
  await setting(it, "synchronous_commit", "off");
  await it.sql("ALTER ROLE sheaf SET synchronous_commit = local");
  const engine = await postgresEngine({ url: it.url() });
  assert.equal((await engine.describe())["synchronousCommit"], "on");
  await engine.close();
  await it.sql("ALTER ROLE sheaf RESET synchronous_commit");
  await setting(it, "synchronous_commit", "on");
});

test("unsafe server: a role's own isolation level, encoding and bytea form change nothing", async () => {
  const it = await server();
  await it.sql(`ALTER ROLE sheaf SET default_transaction_isolation = serializable;
    ALTER ROLE sheaf SET bytea_output = escape; ALTER ROLE sheaf SET client_encoding = LATIN1`);
  const engine = await postgresEngine({ url: it.url(), schema: "odd_role" });
  await engine.create({ ...cluster, name: "bänk" });
  assert.equal((await engine.identify())?.name, "bänk");
  const record = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (let n = 0; n < 3; n++) await engine.append([{ shard: 1, generation: 1, epoch: 1, expected: n, record }]);
  assert.deepEqual(new Uint8Array((await engine.read(1, 3, 1)).entries[0]!.record), record);
  await engine.close();
  await it.sql("ALTER ROLE sheaf RESET ALL");
});

plainTest("unsafe server: one older than 15 is refused by its version, and each unsafe setting alone is enough", () => {
  const sound: Session = {
    version: 150_000,
    fsync: "on",
    full_page_writes: "on",
    synchronous_commit: "on",
    standby: false,
    read_only: "off",
  };
  assert.equal(whyRefused(sound), undefined);
  assert.equal(whyRefused({ ...sound, version: 180_001, synchronous_commit: "remote_apply" }), undefined);
  const unsafe: [Partial<Session>, RegExp][] = [
    [{ version: 140_019 }, /PostgreSQL 14 is too old/],
    [{ version: 90_624 }, /PostgreSQL 9 is too old/],
    [{ fsync: "off" }, /fsync = off/],
    [{ full_page_writes: "off" }, /full_page_writes = off/],
    [{ synchronous_commit: "off" }, /synchronous_commit is off/],
    [{ synchronous_commit: "local" }, /synchronous_commit is local/],
    [{ synchronous_commit: "remote_write" }, /synchronous_commit is remote_write/],
    [{ standby: true }, /standby/],
    [{ read_only: "on" }, /read-only/],
  ];
  for (const [change, says] of unsafe) {
    const error = whyRefused({ ...sound, ...change });
    assert.equal(error?.code, "ENGINE_REFUSED");
    assert.match(error.message, says);
    assert.ok(error.hint, "it says what to change");
  }
});

test("unsafe server: a standby and a read-only role are refused, and so is a proxy that pools transactions", async () => {
  const it = await server();
  await it.sql("CREATE ROLE looker LOGIN; ALTER ROLE looker SET default_transaction_read_only = on");
  assert.match((await refusal({ url: it.url().replace("sheaf@", "looker@") })).message, /read-only/);

  const pooler = await transactionPooler({ path: `${it.dir}/.s.PGSQL.5432` });
  const { code, message, hint } = await refusal({ url: `postgres://sheaf@127.0.0.1:${pooler.port}/postgres` }).finally(
    pooler.close,
  );
  assert.equal(code, "ENGINE_REFUSED");
  assert.match(message, /pools transactions/);
  assert.match(hint, /pool_mode = session/);

  const standby = await startServer();
  await standby.stop("fast");
  writeFileSync(join(standby.dir, "data", "standby.signal"), "");
  await standby.start();
  const refused = await refusal({ url: standby.url() });
  await standby.destroy();
  assert.deepEqual([refused.code, /standby/.test(refused.message)], ["ENGINE_REFUSED", true]);
});

test("unsafe server: one that is not there, a database or role that is not there: each says so", async () => {
  const it = await server();
  const gone = await refusal({ url: "postgres://me@127.0.0.1:1/x" });
  assert.deepEqual([gone.code, /127\.0\.0\.1:1\/x/.test(gone.message)], ["ENGINE_UNAVAILABLE", true]);
  assert.deepEqual((await refusal({ url: it.url("nowhere") })).code, "ENGINE_REFUSED");
  assert.match((await refusal({ url: it.url().replace("sheaf@", "nobody@") })).message, /role "nobody" does not exist/);
});

test("privileges: a role that may create a schema, or owns one, can be a cluster's; any other is refused by name", async () => {
  const it = await server();
  await it.sql("CREATE ROLE plain LOGIN; CREATE SCHEMA given AUTHORIZATION plain");
  const url = it.url().replace("sheaf@", "plain@");
  const poor = await postgresEngine({ url });
  assert.equal(await poor.identify(), undefined);
  await assert.rejects(poor.create(cluster), { code: "ENGINE_REFUSED", message: /permission denied/ });
  await poor.close();
  const owner = await postgresEngine({ url: `${url}&schema=given` });
  await owner.create(cluster);
  const one = { shard: 1, generation: 1, epoch: 1, expected: 0, record: Uint8Array.of(1) };
  assert.equal((await owner.append([one]))[0]?.kind, "durable");
  assert.equal((await owner.barrier([1]))[0]?.seq, 1);
  assert.equal(typeof (await owner.describe())["commitMs"], "number");
  await owner.close();
});

test("secrets: a password is in no error and no description, whether it is right, wrong or in a broken address", async () => {
  const it = await server();
  const secret = "hunter2";
  const rules = join(it.dir, "data", "pg_hba.conf");
  await it.sql(`CREATE ROLE secretive LOGIN SUPERUSER PASSWORD '${secret}'`);
  writeFileSync(rules, `local all secretive scram-sha-256\n${readFileSync(rules, "utf8")}`);
  await it.sql("SELECT pg_reload_conf()");
  const address = (password: string): string => it.url().replace("sheaf@", `secretive:${password}@`);
  const shown: unknown[] = [];
  const engine = await openEngine(address(secret));
  shown.push(await engine.describe());
  await engine.close();
  await assert.rejects(engine.barrier([1]), (error) => shown.push(error) > 0);
  const wrong = ["hunter2x", "hunter2%", "hunter2%2Gx"].map(address);
  const broken = [
    `postgres://me:${secret}@host:notaport/db`,
    `postgres://me:${secret}@[::/db`,
    `postgres://me:${secret}@127.0.0.1:1/x`,
    `postgresql://me:${secret}@127.0.0.1:1/x?sslmode=verify-full&sslrootcert=/nowhere/ca.pem`,
    `postgres://me:${secret}@127.0.0.1:1/x?schema=A%20b`,
  ];
  for (const url of [...wrong, ...broken]) {
    const error: unknown = await openEngine(url, { patienceMs: 200 }).then(
      () => assert.fail(url),
      (thrown: unknown) => thrown,
    );
    assert.ok(
      ["ENGINE_REFUSED", "ENGINE_UNAVAILABLE", "USAGE"].includes((error as { code: string }).code),
      inspect(error),
    );
    shown.push(error);
  }
  for (const one of shown) assert.ok(!inspect(one, { depth: 20, showHidden: true }).includes(secret), inspect(one));
});

plainTest("address: the schema is told apart from what pg reads, and is a plain name", () => {
  const found = addressOf("postgres://me:x@db.example:6000/bank?schema=green&sslmode=disable");
  assert.deepEqual([found.schema, found.shown], ["green", "db.example:6000/bank"]);
  assert.equal(found.connectionString, "postgres://me:x@db.example:6000/bank?sslmode=disable");
  assert.equal(addressOf("postgres://me@h/db").schema, "sheaf");
  assert.equal(addressOf("postgres://me@h/db?schema=a", "b").schema, "b");
  for (const name of ["", "A", "a-b", "a b", 'a"', "a;drop", "pg_x", "1a", "a".repeat(49)])
    assert.throws(() => addressOf("postgres://me@h/db", name), { code: "USAGE" }, name);
});
