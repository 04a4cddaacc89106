import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Append, Engine } from "../../journal/index.ts";
import { embeddedEngine } from "./engine.ts";
import { openGrowth, type Grown } from "./growth.ts";
import { openJournal, prepareFolder } from "./journal-file.ts";
import { packAppends } from "./packed.ts";
import { openReader } from "./reader.ts";
import { openWriter } from "./writer.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-growth-"));
after(() => rmSync(root, { recursive: true, force: true }));
const folder = (): string => mkdtempSync(join(root, "d-"));
const next = (shard: number, expected: number): Append => ({
  shard,
  generation: 1,
  epoch: 0,
  expected,
  record: Uint8Array.of(shard, expected),
});

/** The next hint that an engine gives. */
const nextHint = (engine: Engine): Promise<readonly number[] | undefined> =>
  new Promise((resolve) => {
    const end = engine.watch((shards) => (end(), resolve(shards)));
  });

test("embedded engine: an append in another process is told of, by its shards, and a tail shows it", async () => {
  const dir = folder();
  const engine = await embeddedEngine({ dir });
  const other = spawn(process.execPath, [
    fileURLToPath(new URL("./growth.fixture.ts", import.meta.url)),
    dir,
    "3",
    "9",
  ]);
  const lines = createInterface({ input: other.stdout })[Symbol.asyncIterator]();
  const done = async (): Promise<void> => assert.equal((await lines.next()).value, "done");
  try {
    await done();
    const heard = new Set<number>();
    let enough = (): void => {};
    const end = engine.watch((shards) => {
      for (const shard of shards ?? []) heard.add(shard);
      if (heard.has(3) && heard.has(9)) enough();
    });
    const both = new Promise<void>((resolve) => (enough = resolve));
    await engine.tail([], 1); // The reader's thread has begun to watch: it takes calls in order.
    other.stdin.write("again\n");
    await both;
    await done();
    assert.deepEqual(
      [...heard].sort((a, b) => a - b),
      [3, 9],
    );
    const pages = await engine.tail(
      [3, 4, 9].map((shard) => ({ shard, from: 1 })),
      10,
    );
    assert.deepEqual(
      pages.map(({ entries }) => entries.map(({ record }) => [...record])),
      [[[3, 0]], [[9, 0]]],
    );
    end();
  } finally {
    other.stdin.end();
    await once(other, "exit");
    await engine.close();
  }
});

test("embedded engine: growth of many batches, of folded ones and where the file system tells nothing is told of, too", async (t) => {
  for (const blind of [false, true]) {
    const dir = folder();
    prepareFolder(dir, 1000);
    const writer = openWriter(dir, 1000);
    const db = openJournal(dir, 1000);
    const growth = openGrowth(blind ? join(dir, "nowhere") : dir, db);
    t.after(() => growth.stop());
    const grown = (): Promise<Grown> => new Promise((resolve) => growth.next(resolve));
    const first = grown();
    writer.append([packAppends([next(2, 0), next(5, 0)])]);
    assert.deepEqual(await first, [2, 5], `blind: ${blind}`);
    for (let i = 1; i <= 300; i++) writer.append([packAppends([next(2, i)])]);
    assert.deepEqual(await grown(), [2]);
    const folded = grown();
    for (let i = 301; i <= 700; i++) writer.append([packAppends([next(2, i)])]);
    for (let slices = 0; slices < 3; slices++) writer.foldSlice();
    assert.equal(await folded, "any");
    const stopped = grown();
    growth.stop();
    assert.deepEqual(await stopped, []);
    db.close();
    writer.close();
  }
});

test("embedded engine: a commit is told of without waiting for a timer, however long ago the last one was", async (t) => {
  const dir = folder();
  prepareFolder(dir, 1000);
  const writer = openWriter(dir, 1000);
  const db = openJournal(dir, 1000);
  let now = 0;
  t.mock.timers.enable({ apis: ["setTimeout"] }); // and none is ever due
  const growth = openGrowth(dir, db, () => now);
  for (const shard of [2, 5, 7]) {
    const told: Promise<Grown> = new Promise((resolve) => growth.next(resolve));
    writer.append([packAppends([next(shard, 0)])]);
    assert.deepEqual(await told, [shard]);
    now += 100;
  }
  growth.stop();
  db.close();
  writer.close();
});

test("embedded engine: what changes no journal (the registry, a fold, a trim) is no growth", async () => {
  const dir = folder();
  prepareFolder(dir, 1000);
  const writer = openWriter(dir, 1000);
  const db = openJournal(dir, 1000);
  for (let i = 0; i < 20; i++) writer.append([packAppends([next(2, i)])]);
  const growth = openGrowth(dir, db);
  const told: Promise<Grown> = new Promise((resolve) => growth.next(resolve));
  assert.equal(writer.changeMember({ act: "put", key: "node-1", value: Uint8Array.of(1) }), "done");
  writer.foldSlice();
  writer.trimSlice(2, 5);
  writer.append([packAppends([next(7, 0)])]);
  assert.deepEqual(await told, [7]);
  growth.stop();
  db.close();
  writer.close();
});

test("embedded engine: a journal of an earlier build, without a registry, opens, lists nobody, and takes the first member", async () => {
  const dir = folder();
  prepareFolder(dir, 1000);
  const db = new DatabaseSync(join(dir, "journal.db"));
  const tables = (): number =>
    (db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'registry'").get() as { n: number }).n;
  const [engine, other] = [await embeddedEngine({ dir }), await embeddedEngine({ dir })];
  await engine.append([next(1, 0)]);
  assert.equal(tables(), 0);
  assert.deepEqual(await engine.registry.list(), new Map());
  await engine.registry.delete("nobody");
  await other.registry.put("node-1", Uint8Array.of(1));
  assert.deepEqual([...((await engine.registry.list()).get("node-1") ?? [])], [1]);
  assert.equal(tables(), 1);
  assert.equal((db.prepare("PRAGMA user_version").get() as { user_version: number }).user_version, 1);
  db.close();
  await engine.close();
  await other.close();
  const again = await embeddedEngine({ dir });
  assert.equal((await again.barrier([1]))[0]?.seq, 1);
  await again.close();
});

test("embedded engine: a registry of an earlier build is told whole, and numbers what is put into it from then on", async () => {
  const dir = folder();
  prepareFolder(dir, 1000);
  const db = new DatabaseSync(join(dir, "journal.db"));
  db.exec("CREATE TABLE registry (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID");
  const earlier = db.prepare("INSERT OR REPLACE INTO registry (key, value) VALUES (?, ?)");
  earlier.run("old", Uint8Array.of(1));
  const { registry, close } = await embeddedEngine({ dir });
  const before = await registry.look(undefined, ["old"]);
  assert.deepEqual([[...before.told.keys()], [...before.found.keys()]], [["old"], ["old"]]);
  await registry.put("new", Uint8Array.of(2));
  const whole = await registry.look(before.cursor, ["old"]);
  assert.deepEqual([...whole.told.keys()].toSorted(), ["new", "old"]);
  earlier.run("old", Uint8Array.of(3));
  const after = await registry.look(whole.cursor, ["old"]);
  assert.deepEqual([after.told.size, [...(after.found.get("old") ?? [])]], [0, [3]]);
  db.close();
  await close();
});

test("embedded engine: a change of the registry that waits for another process's lock holds up no list, and is refused past its bound", async () => {
  const dir = folder();
  const [engine, hasty] = [await embeddedEngine({ dir }), await embeddedEngine({ dir, patienceMs: 20 })];
  await engine.registry.put("node-1", Uint8Array.of(1));
  const lock = new DatabaseSync(join(dir, "journal.db"));
  lock.exec("BEGIN IMMEDIATE");
  const waiting = engine.registry.put("node-1", Uint8Array.of(2));
  assert.deepEqual([...((await hasty.registry.list()).get("node-1") ?? [])], [1]);
  await assert.rejects(hasty.registry.put("node-2", Uint8Array.of(2)), { code: "ENGINE_UNAVAILABLE" });
  lock.exec("COMMIT");
  lock.close();
  await waiting;
  const members = await hasty.registry.list();
  assert.deepEqual([...members.keys()], ["node-1"]);
  assert.deepEqual([...(members.get("node-1") ?? [])], [2]);
  await Promise.all([engine.close(), hasty.close()]);
});

test("embedded engine: a shard that cannot be read has an empty page in a tail, and holds up no other shard", async () => {
  const dir = folder();
  const engine = await embeddedEngine({ dir });
  for (let i = 0; i < 3; i++) await engine.append([next(1, i), next(2, i)]);
  for (let i = 3; i < 6; i++) await engine.append([next(1, i)]);
  const db = new DatabaseSync(join(dir, "journal.db"));
  db.exec("DELETE FROM batch WHERE id = 4");
  db.close();
  const pages = await engine.tail(
    [1, 2].map((shard) => ({ shard, from: 2 })),
    100,
  );
  assert.deepEqual(
    pages.map(({ head, entries }) => [head.shard, head.seq, entries.map(({ seq }) => seq)]),
    [
      [1, 6, []],
      [2, 3, [2, 3]],
    ],
  );
  await assert.rejects(engine.read(1, 2, 100), { code: "CORRUPT" });
  assert.deepEqual(
    (await engine.tail([{ shard: 1, from: 5 }], 100)).map(({ entries }) => entries.length),
    [2],
  );
  await engine.close();
});

test("embedded engine: a tail shows every record once and in order while batches are folded and trimmed between", () => {
  const dir = folder();
  prepareFolder(dir, 1000);
  const writer = openWriter(dir, 1000);
  const reader = openReader(dir, 1000);
  const heads = [0, 0, 0];
  for (let n = 1; n <= 600; n++) {
    const shards = [0, 1, 2].filter((shard) => n % (shard + 1) === 0);
    const [verdicts] = writer.append([packAppends(shards.map((shard) => next(shard, heads[shard]!)))]);
    assert.ok(verdicts?.each.every((verdict) => verdict === "durable"));
    for (const shard of shards) heads[shard]!++;
    if (n % 150 === 0) writer.foldSlice();
    if (n === 450) while (writer.trimSlice(0, 100) !== "done");
    if (n % 60 > 0) continue;
    for (const back of [0, 1, 7, 400]) {
      const asks = heads.map((seq, shard) => ({ shard, from: Math.max(1, seq + 1 - back) }));
      const pages = reader.tail(asks, 1000);
      for (const { shard, from } of asks) {
        const page = pages.find(({ head }) => head.shard === shard);
        const seqs = page
          ? Array.from({ length: page.entries.numbers.length / 3 }, (_, i) => page.entries.numbers[i * 3])
          : [];
        const start = Math.max(from, page?.first ?? 1);
        assert.deepEqual(
          seqs,
          Array.from({ length: heads[shard]! + 1 - start }, (_, i) => start + i),
        );
      }
    }
  }
  reader.close();
  writer.close();
});

test("embedded engine: a hint comes for each of several watchers, and to one that began when all others had ended", async () => {
  const engine = await embeddedEngine({ dir: folder() });
  for (let i = 0; i < 20; i++) {
    const hints = [nextHint(engine), nextHint(engine)];
    await engine.tail([], 1);
    await engine.append([next(1, i)]);
    for (const shards of await Promise.all(hints)) assert.deepEqual(shards, [1]);
  }
  await engine.close();
});
