import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import type { SheafError } from "../../base/index.ts";
import { embeddedEngine } from "./engine.ts";
import { prepareFolder } from "./journal-file.ts";
import { packAppends, unpackEntries } from "./packed.ts";
import { openReader } from "./reader.ts";
import { openWriter } from "./writer.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-fold-"));
after(() => rmSync(root, { recursive: true, force: true }));
const record = (shard: number, seq: number): Uint8Array => Buffer.from(`${shard}:${seq}:${"x".repeat((seq * 7) % 50)}`);

test("embedded engine: every record reads the same before, while and after batches are folded, between trims, by two writers", () => {
  const dir = mkdtempSync(join(root, "d-"));
  prepareFolder(dir, 1000);
  const writers = [openWriter(dir, 1000), openWriter(dir, 1000)];
  const reader = openReader(dir, 1000);
  const heads = [0, 0, 0];
  const floors = [1, 1, 1];
  function check(): void {
    heads.forEach((seq, shard) => {
      for (const from of [1, floors[shard]!, floors[shard]! + 3, seq - 1, seq, seq + 1]) {
        const page = reader.page(shard, from, 10_000);
        assert.deepEqual([page.first, page.head.seq], [floors[shard], seq]);
        const wanted = Array.from({ length: seq }, (_, i) => i + 1).filter(
          (one) => one >= from && one >= floors[shard]!,
        );
        const found = unpackEntries(shard, page.entries);
        assert.deepEqual(
          found.map((entry) => entry.seq),
          wanted,
        );
        for (const entry of found) assert.deepEqual(Buffer.from(entry.record), record(shard, entry.seq));
      }
    });
  }
  for (let n = 1; n <= 400; n++) {
    const writer = writers[n % 2]!;
    const shards = [0, 1, 2].filter((shard) => shard === 0 || n % (shard * 3) === 0);
    const batch = shards.map((shard) => ({
      shard,
      generation: 1,
      epoch: 1,
      expected: heads[shard]!,
      record: record(shard, heads[shard]! + 1),
    }));
    const [verdicts] = writer.append([packAppends(batch)]);
    assert.ok(verdicts?.each.every((verdict) => verdict === "durable"));
    for (const shard of shards) heads[shard]!++;
    if (n % 37 === 0) assert.notEqual(writers[(n >> 1) % 2]!.foldSlice(), "busy");
    if (n % 90 === 0) {
      floors[0] = n - 40;
      while (writer.trimSlice(0, n - 41) !== "done");
    }
    if (n % 20 === 0 || n > 380) check();
  }
  const db = new DatabaseSync(join(dir, "journal.db"), { readOnly: true });
  const count = (table: string): number => (db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n;
  assert.ok(count("run") > 3 && count("batch") < 40, `${count("run")} runs, ${count("batch")} batches`);
  db.close();
  for (const one of [...writers, reader]) one.close();
});

test("embedded engine: a writer whose heads are old never appends past another's, however much was folded between (J2)", () => {
  const dir = mkdtempSync(join(root, "d-"));
  prepareFolder(dir, 1000);
  const [stale, other] = [openWriter(dir, 1000), openWriter(dir, 1000)];
  const append = (writer: typeof stale, expected: number): unknown =>
    writer.append([packAppends([{ shard: 0, generation: 1, epoch: 1, expected, record: record(0, expected + 1) }])])[0]
      ?.each[0];
  assert.equal(append(stale, 0), "durable");
  // Were the last batch folded, the other's would get its number, and the stale writer would see nothing new.
  other.foldSlice();
  assert.equal(append(other, 1), "durable");
  assert.equal(append(stale, 1), "fenced");
  assert.equal(append(stale, 2), "durable");
  stale.close();
  other.close();
});

test("embedded engine: trims and folds come back when another process holds the lock, instead of waiting for it", () => {
  const dir = mkdtempSync(join(root, "d-"));
  prepareFolder(dir, 5000);
  const writer = openWriter(dir, 5000);
  for (let seq = 0; seq < 5; seq++)
    writer.append([packAppends([{ shard: 0, generation: 1, epoch: 1, expected: seq, record: record(0, seq + 1) }])]);
  const other = new DatabaseSync(join(dir, "journal.db"));
  other.exec("BEGIN EXCLUSIVE");
  assert.deepEqual([writer.trimSlice(0, 3), writer.foldSlice()], ["busy", "busy"]);
  other.exec("COMMIT");
  assert.deepEqual([writer.trimSlice(0, 3), writer.foldSlice()], ["done", "done"]);
  other.close();
  writer.close();
});

test("embedded engine: records that contradict each other stop the folding and nothing else, and that is told once", async () => {
  const dir = mkdtempSync(join(root, "d-"));
  const told: SheafError[] = [];
  const engine = await embeddedEngine({ dir, report: (error) => void told.push(error) });
  await engine.create({ id: "0f".repeat(16), name: "bank", shards: 2, createdAt: 1 });
  let seq = 0;
  const grow = async (to: number): Promise<void> => {
    for (; seq < to; seq++) {
      const append = { shard: 1, generation: 1, epoch: 1, expected: seq, record: record(1, seq + 1) };
      assert.equal((await engine.append([append]))[0]?.kind, "durable");
    }
  };
  await grow(100);
  assert.equal((await engine.describe())["folding"], "ok");
  const other = new DatabaseSync(join(dir, "journal.db"), { timeout: 5000 });
  other.exec("DELETE FROM batch WHERE id = 50");
  other.close();
  await grow(400);
  for (const until = performance.now() + 10_000; told.length === 0 && performance.now() < until;) await grow(seq + 1);
  await grow(seq + 300);
  assert.deepEqual(
    told.map(({ code }) => code),
    ["CORRUPT"],
  );
  assert.match(String((await engine.describe())["folding"]), /^stopped: record \d+ of shard 1 is out of order/);
  await engine.close();
});
