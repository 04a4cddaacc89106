import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { journalFile, prepareFolder } from "./journal-file.ts";
import { packAppends, type Packed } from "./packed.ts";
import { openReader } from "./reader.ts";
import { openWalSync } from "./wal-sync.ts";
import { openWriter, type Verdicts, type Writer } from "./writer.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-sync-"));
after(() => rmSync(root, { recursive: true, force: true }));
function folder(): string {
  const dir = mkdtempSync(join(root, "d-"));
  prepareFolder(dir, 1000);
  return dir;
}

const next = (shard: number, expected: number): Packed =>
  packAppends([{ shard, generation: 1, epoch: 1, expected, record: Uint8Array.of(shard, expected) }]);
const append = (writer: Writer, shard: number, expected: number): Verdicts | undefined =>
  writer.append([next(shard, expected)])[0];

/** A disk that is told when to fail, and counts its syncs. */
function disk(): { syncs: number; broken: boolean; during: () => void; sync: () => void } {
  const self = {
    syncs: 0,
    broken: false,
    during: (): void => {},
    sync(): void {
      self.syncs++;
      self.during();
      if (self.broken) throw Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO" });
    },
  };
  return self;
}

test("embedded engine: an append is answered after a sync that followed its commit, and other processes write meanwhile", () => {
  const dir = folder();
  const slow = disk();
  const writer = openWriter(dir, 1000, slow.sync);
  const other = openWriter(dir, 0);
  const heads = openReader(dir, 1000);
  let others = 0;
  slow.during = () => {
    assert.equal(heads.heads([1])[0]?.seq, 1, "it syncs what is committed");
    assert.deepEqual(append(other, 2, 0)?.each, ["durable"], "no lock is held while the disk works");
    others++;
  };
  assert.deepEqual(append(writer, 1, 0)?.each, ["durable"]);
  assert.equal(others, 1);
  for (const each of [writer, other, heads]) each.close();
});

test("embedded engine: what was committed but not synced is unknown, and nothing is durable again before it was carried into the file", () => {
  const dir = folder();
  const failing = disk();
  const writer = openWriter(dir, 1000, failing.sync);
  assert.deepEqual(append(writer, 1, 0)?.each, ["durable"]);
  const old = new DatabaseSync(join(dir, journalFile));
  old.exec("BEGIN");
  old.prepare("SELECT count(*) FROM batch").get();
  failing.broken = true;
  const lost = append(writer, 1, 1);
  assert.deepEqual(lost?.each, ["unknown"]);
  assert.equal(lost?.error?.code, "ENGINE_UNAVAILABLE");
  failing.broken = false;
  const { syncs } = failing;
  const refused = append(writer, 2, 0);
  assert.deepEqual(
    refused?.each,
    ["refused"],
    "a sync that succeeds proves nothing of what one before it failed to keep",
  );
  assert.match(refused?.error?.message ?? "", /did not sync the journal: EIO/);
  assert.equal(failing.syncs, syncs);
  old.exec("COMMIT"); // Nobody needs the file as it was: the log can be carried over.
  assert.deepEqual(append(writer, 2, 0)?.each, ["durable"]);
  assert.deepEqual(append(writer, 1, 2)?.each, ["durable"]);
  old.close();
  writer.close();
});

test("embedded engine: after a sync that failed, another's checkpoint that is not done yet makes nothing good", async () => {
  const path = join(folder(), journalFile);
  const [db, old, looking] = [0, 0, 0].map(() => new DatabaseSync(path)) as [DatabaseSync, DatabaseSync, DatabaseSync];
  old.exec("BEGIN");
  old.prepare("SELECT count(*) FROM batch").get();
  db.exec("INSERT INTO floor (shard, first) VALUES (1, 1)");
  const failing = disk();
  const wal = openWalSync(db, path, failing.sync);
  failing.broken = true;
  assert.throws(() => wal.sync(), /did not sync the journal: EIO/);
  failing.broken = false;
  // It waits for who reads the file as it was, and keeps others from checkpoints meanwhile.
  const code = `const { DatabaseSync } = require("node:sqlite");
    new DatabaseSync(require("node:worker_threads").workerData, { timeout: 600_000 }).exec("PRAGMA wal_checkpoint(FULL)");`;
  const another = new Worker(code, { eval: true, workerData: path });
  const done = once(another, "exit");
  const isAtIt = (): boolean => looking.prepare("PRAGMA wal_checkpoint(PASSIVE)").get()?.["busy"] === 1;
  while (!isAtIt()) await new Promise((resolve) => setImmediate(resolve));
  assert.throws(() => wal.sync(), /did not sync the journal: EIO/);
  old.exec("COMMIT");
  await done;
  wal.sync();
  wal.close();
  for (const each of [db, old, looking]) each.close();
});

test("embedded engine: records are given out once they are durable, whoever committed them; heads wait for nothing", () => {
  const dir = folder();
  const held: ((error: Error | null) => void)[] = [];
  const reader = openReader(dir, 1000, (_, done) => void held.push(done));
  const theirs = disk();
  const other = openWriter(dir, 1000, theirs.sync);
  theirs.broken = true; // As if that process had been killed between its commit and its sync.
  assert.deepEqual(append(other, 1, 0)?.each, ["unknown"]);
  const told: (string | undefined)[] = [];
  const give = (): void => reader.durable((error) => told.push(error?.code));
  assert.equal(reader.page(1, 1, 10).entries.bytes.length, 2);
  give();
  assert.equal(reader.tail([{ shard: 1, from: 1 }], 10)[0]?.entries.bytes.length, 2);
  give();
  assert.equal(reader.heads([1])[0]?.seq, 1);
  assert.deepEqual([told.length, held.length], [0, 1], "one sync at a time");
  held.shift()?.(Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO" }));
  assert.deepEqual(told, ["ENGINE_UNAVAILABLE"]);
  held.shift()?.(null);
  assert.deepEqual(told, ["ENGINE_UNAVAILABLE", undefined]);
  reader.page(1, 1, 10);
  give();
  assert.deepEqual([told.length, held.length], [3, 0], "what was synced is not synced again");
  other.close();
  reader.close();
});
