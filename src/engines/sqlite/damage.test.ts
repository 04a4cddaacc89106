import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import type { Append, AppendResult, Cluster, Engine, SnapshotName } from "../../journal/index.ts";
import { embeddedEngine } from "./engine.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-damage-"));
const undo: (() => void)[] = [];
after(() => {
  for (const step of undo.reverse()) step();
  rmSync(root, { recursive: true, force: true });
});
const folder = (): string => mkdtempSync(join(root, "d-"));

const cluster: Cluster = { id: "0f".repeat(16), name: "bank", shards: 8, createdAt: 1 };
const next = (shard: number, expected: number, record = new Uint8Array(100).fill(expected + 1)): Append => ({
  shard,
  generation: 1,
  epoch: 1,
  expected,
  record,
});
const append = async (engine: Engine, ...batch: Append[]): Promise<AppendResult> =>
  (await engine.append(batch))[0] as AppendResult;
const codeIn = (result: AppendResult): unknown =>
  "error" in result ? (result.error as { code?: unknown }).code : undefined;

/** A folder with a cluster and `count` records on shard 1, closed. */
async function filled(count = 3, dir = folder()): Promise<string> {
  const engine = await embeddedEngine({ dir });
  await engine.create(cluster);
  for (let seq = 0; seq < count; seq++) assert.equal((await append(engine, next(1, seq))).kind, "durable");
  await engine.close();
  return dir;
}

/** A file system of its own of a few megabytes. Needs root, or sudo that does not ask. */
function smallDisk(megabytes: number): { dir: string; remountReadOnly(): void } {
  const dir = folder();
  const privileged = (...command: string[]): void => {
    const [program, ...args] = process.getuid?.() === 0 ? command : ["sudo", "-n", ...command];
    try {
      execFileSync(program as string, args, { stdio: "pipe" });
    } catch (error) {
      throw new Error(
        `this guarantee is proved on a small file system, and ${command[0]} is not allowed here: run as root`,
        { cause: error },
      );
    }
  };
  privileged("mount", "-t", "tmpfs", "-o", `size=${megabytes}m,mode=0777`, "tmpfs", dir);
  undo.push(() => privileged("umount", "-l", dir));
  return { dir, remountReadOnly: () => privileged("mount", "-o", "remount,ro", dir) };
}

test("embedded engine: a full disk refuses appends with ENGINE_FULL, loses nothing, and takes them again once there is room (P17)", async () => {
  const { dir } = smallDisk(8);
  writeFileSync(join(dir, "ballast"), new Uint8Array(2 * 1024 * 1024));
  const engine = await embeddedEngine({ dir });
  await engine.create(cluster);
  let seq = 0;
  let result: AppendResult;
  for (;;) {
    result = await append(engine, next(1, seq, new Uint8Array(50_000).fill(seq)));
    if (result.kind !== "durable") break;
    seq++;
  }
  assert.equal(result.kind, "refused");
  assert.equal(codeIn(result), "ENGINE_FULL");
  assert.equal(
    (await append(engine, next(1, seq, new Uint8Array(50_000)), next(2, 0, new Uint8Array(50_000)))).kind,
    "refused",
  );
  await assert.rejects(
    engine.snapshots.put({ shard: 1, generation: 1, epoch: 1, seq: 1, hash: "ab".repeat(32) }, [
      new Uint8Array(4_000_000),
    ]),
    { code: "ENGINE_FULL" },
  );
  assert.deepEqual(await engine.snapshots.list(1), []);
  assert.equal((await engine.barrier([1]))[0]?.seq, seq);
  assert.equal((await engine.barrier([2]))[0]?.seq, 0);
  rmSync(join(dir, "ballast"));
  for (let more = 0; more < 10; more++)
    assert.equal((await append(engine, next(1, seq++, new Uint8Array(50_000).fill(seq - 1)))).kind, "durable");
  await engine.close();
  const again = await embeddedEngine({ dir });
  const { entries } = await again.read(1, 1, 10_000);
  assert.equal(entries.length, seq);
  entries.forEach(({ record }, i) => assert.deepEqual(Buffer.from(record), Buffer.alloc(50_000, i)));
  await again.close();
});

test("embedded engine: a read-only folder is refused with what to do", async () => {
  const { dir, remountReadOnly } = smallDisk(8);
  await filled(1, dir);
  remountReadOnly();
  await assert.rejects(embeddedEngine({ dir }), { code: "ENGINE_REFUSED", hint: /writable/ });
});

test("embedded engine: a file that is no database is CORRUPT and left as it is", async () => {
  const dir = await filled();
  const garbage = Buffer.from("nothing that SQLite ever wrote. ".repeat(1000));
  writeFileSync(join(dir, "journal.db"), garbage);
  await assert.rejects(embeddedEngine({ dir }), { code: "CORRUPT" });
  assert.deepEqual(readFileSync(join(dir, "journal.db")), garbage);
});

test("embedded engine: pages that were overwritten are CORRUPT when read, never skipped", async () => {
  const dir = await filled(400);
  const bytes = readFileSync(join(dir, "journal.db"));
  bytes.fill(0xff, 4096 * 5);
  writeFileSync(join(dir, "journal.db"), bytes);
  const engine = await embeddedEngine({ dir });
  await assert.rejects(engine.read(1, 1, 5000), { code: "CORRUPT" });
  await engine.close();
});

test("embedded engine: a journal that vanished is CORRUPT and is not recreated (F8)", async () => {
  for (const leave of ["nothing", "an empty file", "no tables", "no cluster"]) {
    const dir = await filled();
    const path = join(dir, "journal.db");
    if (leave === "no cluster") {
      const db = new DatabaseSync(path);
      db.exec("DELETE FROM cluster");
      db.close();
      const engine = await embeddedEngine({ dir });
      await assert.rejects(engine.identify(), { code: "CORRUPT", message: /"bank"/ });
      await engine.close();
      continue;
    }
    rmSync(path);
    if (leave === "an empty file") writeFileSync(path, "");
    if (leave === "no tables") new DatabaseSync(path).exec("CREATE TABLE other (x)");
    await assert.rejects(embeddedEngine({ dir }), { code: "CORRUPT" }, leave);
    assert.equal(readdirSync(dir).includes("journal.db"), leave !== "nothing");
  }
});

test("embedded engine: a journal removed while in use acknowledges nothing more (P29)", async () => {
  const dir = await filled(1);
  const engine = await embeddedEngine({ dir });
  assert.equal((await append(engine, next(1, 1))).kind, "durable");
  rmSync(join(dir, "journal.db"));
  const result = await append(engine, next(1, 2));
  assert.deepEqual([result.kind, codeIn(result)], ["unknown", "CORRUPT"]);
  await engine.close();
  await assert.rejects(embeddedEngine({ dir }), { code: "CORRUPT", message: /"bank"/ });
});

test("embedded engine: records missing below the head are CORRUPT, at the start, the end and between, folded or not", async () => {
  const spoil = [
    "DELETE FROM batch WHERE id = 4",
    "DELETE FROM batch WHERE id >= 2",
    "DELETE FROM batch",
    "DELETE FROM batch WHERE id = 400",
    "DELETE FROM run",
    "UPDATE run SET id = id + 1",
  ];
  for (const sql of spoil) {
    const dir = await filled(sql.includes("run") ? 400 : 10);
    const db = new DatabaseSync(join(dir, "journal.db"));
    const count = (table: string): number =>
      (db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n;
    assert.equal(count("run") > 0, sql.includes("run"), "the guarantee is tried on what it names");
    db.exec(sql.replace("400", "10"));
    db.close();
    const engine = await embeddedEngine({ dir });
    await assert.rejects(engine.read(1, 1, 500), { code: "CORRUPT" }, sql);
    await engine.close();
  }
});

test("embedded engine: a shard with records above its head is refused alone, with CORRUPT", async () => {
  const above = [
    "INSERT INTO run VALUES ((1 << 37) + 12, '[1,1]', x'00')",
    "UPDATE batch SET places = replace(places, '[1,1,10,', '[1,1,11,')",
  ];
  for (const sql of above) {
    const dir = await filled(10);
    const db = new DatabaseSync(join(dir, "journal.db"));
    assert.equal(Number(db.prepare(sql).run().changes) > 0, true);
    db.close();
    const engine = await embeddedEngine({ dir });
    const results = await engine.append([next(0, 0), next(1, 10), next(2, 0)]);
    assert.deepEqual(
      results.map(({ kind }) => kind),
      ["durable", "refused", "durable"],
      sql,
    );
    assert.equal(codeIn(results[1] as AppendResult), "CORRUPT");
    await engine.close();
  }
});

test("embedded engine: heads that cannot be read are CORRUPT for their shards alone", async () => {
  const dir = await filled(3);
  const db = new DatabaseSync(join(dir, "journal.db"));
  db.exec("UPDATE head SET shards = '[1,1,'");
  db.close();
  const engine = await embeddedEngine({ dir });
  await assert.rejects(engine.barrier([1]), { code: "CORRUPT" });
  const results = await engine.append([next(1, 3), next(70, 0)]);
  assert.deepEqual(
    results.map(({ kind }) => kind),
    ["refused", "durable"],
  );
  assert.equal(codeIn(results[0] as AppendResult), "CORRUPT");
  await engine.close();
});

test("embedded engine: a trim that waits for another process's lock holds up no append", async () => {
  const dir = await filled(10);
  const engine = await embeddedEngine({ dir });
  const other = new DatabaseSync(join(dir, "journal.db"));
  other.exec("BEGIN EXCLUSIVE");
  const trimmed = engine.trim(1, 5);
  const appended = append(engine, next(2, 0));
  other.exec("COMMIT");
  assert.equal((await appended).kind, "durable");
  await trimmed;
  assert.equal((await engine.read(1, 1, 100)).first, 6);
  other.exec("BEGIN EXCLUSIVE");
  const hasty = await embeddedEngine({ dir, patienceMs: 20 });
  await assert.rejects(hasty.trim(1, 6), { code: "ENGINE_UNAVAILABLE" });
  other.close();
  await Promise.all([engine.close(), hasty.close()]);
});

test("embedded engine: the journal of another cluster under this one's marker is WRONG_CLUSTER (P34)", async () => {
  const dir = await filled();
  const marker = join(dir, "cluster.json");
  writeFileSync(marker, readFileSync(marker, "utf8").replace(cluster.id, "ee".repeat(16)));
  const engine = await embeddedEngine({ dir });
  await assert.rejects(engine.identify(), { code: "WRONG_CLUSTER" });
  await engine.close();
});

test("embedded engine: a lost marker is written again", async () => {
  const dir = await filled();
  const before = readFileSync(join(dir, "cluster.json"), "utf8");
  rmSync(join(dir, "cluster.json"));
  const engine = await embeddedEngine({ dir });
  assert.equal((await engine.identify())?.id, cluster.id);
  assert.equal(readFileSync(join(dir, "cluster.json"), "utf8"), before);
  await engine.close();
});

test("embedded engine: appends wait for a lock that another process holds, reads do not, and past the bound they are refused", async () => {
  const dir = await filled(1);
  const engine = await embeddedEngine({ dir });
  const hasty = await embeddedEngine({ dir, patienceMs: 20 });
  const other = new DatabaseSync(join(dir, "journal.db"));
  other.exec("BEGIN EXCLUSIVE");
  const patient = append(engine, next(1, 1));
  assert.equal((await engine.read(1, 1, 10)).entries.length, 1);
  const refused = await append(hasty, next(2, 0));
  assert.deepEqual([refused.kind, codeIn(refused)], ["refused", "ENGINE_UNAVAILABLE"]);
  other.exec("COMMIT");
  assert.equal((await patient).kind, "durable");
  assert.equal((await append(hasty, next(2, 0))).kind, "durable");
  other.close();
  await Promise.all([engine.close(), hasty.close()]);
});

const snapshot = (seq: number): SnapshotName => ({ shard: 1, generation: 1, epoch: 1, seq, hash: "cd".repeat(32) });
async function chunksOf(engine: Engine, name: SnapshotName): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of engine.snapshots.get(name)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("embedded engine: killed at any step of a snapshot, the older one stands and the new one is whole or absent (P10)", async () => {
  for (const step of ["written", "synced", "renamed", "folder-synced", "trim"]) {
    const dir = await filled(60);
    const script = `
      import { embeddedEngine } from ${JSON.stringify(import.meta.resolve("./engine.ts"))};
      const die = () => process.kill(process.pid, "SIGKILL");
      let armed = false;
      const engine = await embeddedEngine({ dir: ${JSON.stringify(dir)}, reached: (step) => armed && step === "${step}" && die() });
      const name = (seq) => ({ shard: 1, generation: 1, epoch: 1, seq, hash: "cd".repeat(32) });
      await engine.snapshots.put(name(20), [Buffer.alloc(5000, 20)]);
      armed = true;
      await engine.snapshots.put(name(50), [Buffer.alloc(5000, 50), Buffer.alloc(9, 50)]);
      const trimmed = engine.trim(1, 19);
      setImmediate(die);
      await trimmed;
      await new Promise(() => {});`;
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script],
      { stdio: "inherit" },
    );
    assert.deepEqual(await once(child, "exit"), [null, "SIGKILL"], step);
    const engine = await embeddedEngine({ dir });
    const listed = (await engine.snapshots.list(1)).map(({ seq }) => seq);
    assert.ok(listed.at(-1) === 20 && listed.length <= 2, `${step}: ${listed.join()}`);
    if (["folder-synced", "trim"].includes(step)) assert.deepEqual(listed, [50, 20], step);
    for (const seq of listed)
      assert.deepEqual(await chunksOf(engine, snapshot(seq)), Buffer.alloc(seq === 50 ? 5009 : 5000, seq));
    const { first, head } = await engine.read(1, 1, 1);
    assert.ok(first <= 20 && head.seq === 60);
    assert.deepEqual(
      readdirSync(join(dir, "snapshots")).filter((name) => name.endsWith(".tmp")),
      [],
      step,
    );
    await engine.snapshots.put(snapshot(50), [Buffer.alloc(1)]);
    assert.deepEqual(await chunksOf(engine, snapshot(50)), Buffer.alloc(1));
    await engine.close();
  }
});

test("embedded engine: a put snapshot is listed when put resolves; a mutant that resolves early (M7) is noticed", async () => {
  async function listedAtOnce(mutant: boolean): Promise<number> {
    const dir = await filled(1);
    const engine = await embeddedEngine({ dir, faults: { mutant: (name) => mutant && name === "M7" } });
    let finish = (): void => {};
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const put = engine.snapshots.put(
      snapshot(1),
      (async function* () {
        yield new Uint8Array(10);
        if (mutant) await gate;
      })(),
    );
    await put;
    const { length } = await engine.snapshots.list(1);
    finish();
    await engine.close();
    return length;
  }
  assert.deepEqual([await listedAtOnce(false), await listedAtOnce(true)], [1, 0]);
});

test("embedded engine: a snapshot with one bit flipped, or cut anywhere, or under another's name, is CORRUPT (P11)", async () => {
  const dir = await filled(1);
  const engine = await embeddedEngine({ dir });
  await engine.snapshots.put(snapshot(1), [Buffer.alloc(300, 7), Buffer.alloc(0), Buffer.alloc(200, 8)]);
  const folderOf = join(dir, "snapshots");
  const path = join(folderOf, readdirSync(folderOf)[0] as string);
  const whole = readFileSync(path);
  for (let n = 0; n < 100; n++) {
    const bent = Buffer.from(whole);
    const at = Math.floor((n * whole.length) / 100);
    bent[at]! ^= 1 << (n % 8);
    writeFileSync(path, bent);
    await assert.rejects(chunksOf(engine, snapshot(1)), { code: "CORRUPT" }, `bit at ${at}`);
    writeFileSync(path, whole.subarray(0, at));
    await assert.rejects(chunksOf(engine, snapshot(1)), { code: "CORRUPT" }, `cut at ${at}`);
  }
  mkdirSync(folderOf, { recursive: true });
  writeFileSync(path.replace("1-1-1-1-", "1-1-1-2-"), whole);
  await assert.rejects(chunksOf(engine, snapshot(2)), { code: "CORRUPT" });
  await engine.close();
});
