import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { Append, AppendResult, Cluster, Engine } from "../../journal/index.ts";
import { postgresEngine } from "./engine.ts";
import { type Server, serverOfThisFile, serverTest as test } from "./server.fixture.ts";

const undo: (() => void)[] = [];
const server = serverOfThisFile();
after(() => {
  for (const step of undo.reverse()) step();
});
const cluster: Cluster = { id: "0f".repeat(16), name: "bank", shards: 8, createdAt: 1 };
let schemas = 0;

const next = (shard: number, expected: number, record = new Uint8Array(100).fill(expected + 1)): Append => ({
  shard,
  generation: 1,
  epoch: 1,
  expected,
  record,
});
/** "durable", "fenced", or the kind with the code of the error. */
const saidOf = (result: AppendResult): string =>
  "error" in result ? `${result.kind} ${(result.error as { code?: string }).code}` : result.kind;
const append = async (engine: Engine, ...batch: Append[]): Promise<readonly string[]> =>
  (await engine.append(batch)).map(saidOf);

/** Page after page, as whoever opens a shard does. */
async function readToEnd(engine: Engine, shard: number): Promise<number> {
  for (let from = 1; ;) {
    const { entries, head } = await engine.read(shard, from, 100);
    from += entries.length;
    if (from > head.seq) return head.seq;
  }
}

type Bed = { readonly it: Server; readonly engine: Engine; readonly schema: string; open(): Promise<Engine> };

/** A cluster with five records on shard 1 and on shard 2. */
async function filled(): Promise<Bed> {
  const it = await server();
  const schema = `damage_${++schemas}`;
  const open = (): Promise<Engine> => postgresEngine({ url: it.url(), schema });
  const engine = await open();
  await engine.create(cluster);
  for (let seq = 0; seq < 5; seq++)
    assert.deepEqual(await append(engine, next(1, seq), next(2, seq)), ["durable", "durable"]);
  return { it, engine, schema, open };
}

test("damage: records that are missing at the start, in the middle or at the end are CORRUPT, the other shards are not", async () => {
  for (const missing of [1, 3, 5]) {
    const { it, engine, schema } = await filled();
    await it.sql(`DELETE FROM ${schema}.record WHERE shard = 1 AND seq = ${missing}`);
    await assert.rejects(readToEnd(engine, 1), {
      code: "CORRUPT",
      message: new RegExp(`record ${missing} is missing`),
    });
    assert.equal((await engine.read(2, 1, 100)).entries.length, 5);
    assert.deepEqual(await append(engine, next(2, 5)), ["durable"]);
    const [page] = await engine.tail([{ shard: 1, from: missing }], 1);
    assert.ok(page!.entries.length === 0 || page!.entries[0]!.seq > missing, "a tail does not make it up");
    await engine.close();
  }
});

test("damage: a head that is missing is CORRUPT, takes no append, and does not spoil the tails of others", async () => {
  const { it, engine, schema } = await filled();
  await it.sql(`DELETE FROM ${schema}.head WHERE shard = 1`);
  await assert.rejects(engine.barrier([1]), { code: "CORRUPT" });
  await assert.rejects(engine.read(1, 1, 100), { code: "CORRUPT" });
  assert.deepEqual(await append(engine, next(1, 0), next(1, 5), next(2, 5)), ["fenced", "fenced", "durable"]);
  const pages = await engine.tail([{ shard: 1, from: 6 }, { shard: 2, from: 6 }], 10); // prettier-ignore
  assert.deepEqual(
    pages.map(({ head, entries }) => [head.shard, head.seq, entries.length]),
    [
      [1, 0, 0],
      [2, 6, 1],
    ],
  );
  await engine.close();
});

test("damage: a shard with records above its head is refused alone, with CORRUPT", async () => {
  const { it, engine, schema } = await filled();
  await it.sql(`INSERT INTO ${schema}.record VALUES (1, 6, 1, 'x')`);
  assert.deepEqual(await append(engine, next(0, 0), next(1, 5), next(2, 5)), ["durable", "refused CORRUPT", "durable"]);
  assert.equal((await engine.barrier([1]))[0]?.seq, 5);
  await engine.close();
});

test("rollback: a journal set back to an older copy shows its older head, and fences whoever knew more (F8, P28)", async () => {
  const { it, engine, schema } = await filled();
  await it.sql(`CREATE TABLE ${schema}_old AS SELECT * FROM ${schema}.head`);
  for (let seq = 5; seq < 9; seq++) await append(engine, next(1, seq));
  await it.sql(`UPDATE ${schema}.head h SET seq = o.seq FROM ${schema}_old o WHERE h.shard = o.shard;
    DELETE FROM ${schema}.record WHERE shard = 1 AND seq > 5`);
  assert.deepEqual(await append(engine, next(1, 9)), ["fenced"]);
  assert.equal((await engine.barrier([1]))[0]?.seq, 5);
  const [page] = await engine.tail([{ shard: 1, from: 10 }], 10);
  assert.equal(page?.head.seq, 5, "a tail tells of it");
  await engine.close();
});

test("wiped: a schema that vanished under an open engine is CORRUPT everywhere, and is not made again (F8, P29)", async () => {
  const { it, engine, schema, open } = await filled();
  await it.sql(`DROP SCHEMA ${schema} CASCADE`);
  assert.deepEqual(await append(engine, next(1, 5), next(3, 0)), ["refused CORRUPT", "refused CORRUPT"]);
  const asked = [
    () => engine.barrier([1]),
    () => engine.read(1, 1, 1),
    () => engine.tail([{ shard: 1, from: 6 }], 1),
    () => engine.trim(1, 1),
    () => engine.identify(),
    () => engine.snapshots.list(1),
    () => engine.registry.list(),
  ];
  for (const ask of asked) await assert.rejects(ask(), { code: "CORRUPT", message: /vanished/ }, String(ask));
  assert.deepEqual(await it.sql("SELECT 1 FROM pg_namespace WHERE nspname = $1", [schema]), []);
  const fresh = await open();
  assert.equal(await fresh.identify(), undefined, "whoever comes new sees an empty engine, and has to create");
  await assert.rejects(fresh.barrier([1]), { code: "NO_CLUSTER" });
  assert.deepEqual(await append(fresh, next(1, 0)), ["refused NO_CLUSTER"]);
  await fresh.close();
  await engine.close();
});

test("foreign cluster: one that was made in the schema of another is told apart, and gets no record from it (F8, P34)", async () => {
  const { it, engine, schema, open } = await filled();
  await it.sql(`DROP SCHEMA ${schema} CASCADE`);
  const other = await open();
  await other.create({ ...cluster, id: "1e".repeat(16), name: "staging" });
  assert.deepEqual(await append(engine, next(1, 5), next(3, 0)), ["refused WRONG_CLUSTER", "refused WRONG_CLUSTER"]);
  const asked = [
    () => engine.barrier([1]),
    () => engine.read(1, 1, 1),
    () => engine.tail([{ shard: 1, from: 6 }], 1),
    () => engine.identify(),
    () => engine.registry.list(),
  ];
  for (const ask of asked) await assert.rejects(ask(), { code: "WRONG_CLUSTER" }, String(ask));
  const name = { shard: 1, generation: 1, epoch: 1, seq: 1, hash: "ab".repeat(32) };
  await assert.rejects(engine.snapshots.put(name, [Uint8Array.of(1)]));
  await engine.registry.put("mine", Uint8Array.of(1)).catch(() => {});
  assert.equal((await other.barrier([3]))[0]?.seq, 0);
  assert.deepEqual([(await other.snapshots.list(1)).length, (await other.registry.list()).size], [0, 0]);
  await other.close();
  await engine.close();
});

test("identity: tables that are lost are CORRUPT, a newer format and somebody else's schema are refused by name, none is made good", async () => {
  const { it, engine, schema, open } = await filled();
  await engine.close();
  const spoilt: [string, string, string, RegExp][] = [
    [`ALTER TABLE ${schema}.record RENAME TO away`, `ALTER TABLE ${schema}.away RENAME TO record`, "CORRUPT", /record/],
    [
      `ALTER TABLE ${schema}.cluster RENAME TO away`,
      `ALTER TABLE ${schema}.away RENAME TO cluster`,
      "CORRUPT",
      /cluster/,
    ],
    [
      `UPDATE ${schema}.cluster SET format = 2`,
      `UPDATE ${schema}.cluster SET format = 1`,
      "ENGINE_REFUSED",
      /format 2/,
    ],
    [`DELETE FROM ${schema}.cluster`, "", "CORRUPT", /identity/],
  ];
  for (const [spoil, mend, code, message] of spoilt) {
    await it.sql(spoil);
    const one = await open();
    await assert.rejects(one.identify(), { code, message }, spoil);
    await assert.rejects(one.create(cluster), { code }, spoil);
    await one.close();
    if (mend) await it.sql(mend);
  }
  await it.sql(`CREATE SCHEMA others_${schema}; CREATE TABLE others_${schema}.accounts (id int)`);
  const stranger = await postgresEngine({ url: it.url(), schema: `others_${schema}` });
  await assert.rejects(stranger.identify(), { code: "ENGINE_REFUSED", message: /not Sheaf's/ });
  await assert.rejects(stranger.create(cluster), { code: "ENGINE_REFUSED" });
  await stranger.close();
});

test("identity: two clusters in two schemas of one database share nothing", async () => {
  const [a, b] = [await filled(), await filled()];
  await a.engine.registry.put("a", Uint8Array.of(1));
  assert.equal((await b.engine.registry.list()).size, 0);
  assert.deepEqual(await append(b.engine, next(3, 0)), ["durable"]);
  assert.equal((await a.engine.barrier([3]))[0]?.seq, 0);
  await a.engine.close();
  await b.engine.close();
});

/** A file system of its own of a few megabytes. Needs root, or sudo that does not ask. */
function smallDisk(megabytes: number): string {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-small-"));
  const privileged = (...command: string[]): void => {
    const [program, ...args] = process.getuid?.() === 0 ? command : ["sudo", "-n", ...command];
    execFileSync(program as string, args, { stdio: "pipe" });
  };
  privileged("mount", "-t", "tmpfs", "-o", `size=${megabytes}m,mode=0777`, "tmpfs", dir);
  undo.push(() => {
    privileged("umount", "-l", dir);
    rmSync(dir, { recursive: true, force: true });
  });
  chmodSync(dir, 0o777);
  return dir;
}

test("full disk: appends are refused with ENGINE_FULL, certainly not stored, and go on once there is room (P17)", async () => {
  const it = await server();
  const dir = smallDisk(12);
  await it.sql("SELECT 1");
  const inside = join(dir, "space");
  // The program reads what it is given: one that ends sooner breaks the pipe, and the statement with it.
  await it.sql(`COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir -m 700 ${inside}'`);
  await it.sql(`CREATE TABLESPACE small LOCATION '${inside}'`);
  await it.sql("CREATE DATABASE tight");
  await it.sql("ALTER DATABASE tight SET default_tablespace = small");
  const engine = await postgresEngine({ url: it.url("tight") });
  await engine.create(cluster);
  await it.sql("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)", [], "tight");
  const big = new Uint8Array(200_000).fill(7);
  let seq = 0;
  let said = "durable";
  while (said === "durable") {
    [said = ""] = await append(engine, next(1, seq, big));
    if (said === "durable") seq++;
  }
  assert.equal(said, "refused ENGINE_FULL");
  assert.equal((await engine.barrier([1]))[0]?.seq, seq);
  await it.sql("DROP TABLE ballast", [], "tight");
  await it.sql("CHECKPOINT", [], "tight");
  assert.deepEqual(await append(engine, next(1, seq, big)), ["durable"]);
  assert.equal((await engine.read(1, seq + 1, 1)).entries[0]?.record.length, big.length);
  await engine.close();
  await it.sql("ALTER DATABASE tight RESET default_tablespace");
});
