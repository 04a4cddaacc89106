import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import type { Log } from "../../host/index.ts";
import type { Store } from "../../shards/index.ts";
import { memoryStore } from "../../shards/index.ts";
import { storeContract } from "../../shards/store-contract.ts";
import { sqliteStore } from "./store.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-store-"));
after(() => rmSync(root, { recursive: true, force: true }));
const folder = (): string => mkdtempSync(join(root, "d-"));

storeContract("sqlite", { test, assert }, async () => {
  const dir = folder();
  return {
    open: async () => sqliteStore({ dir, cluster: async () => "c1" }),
    destroy: async () => rmSync(dir, { recursive: true }),
  };
});
storeContract("memory", { test, assert }, async () => {
  const store = memoryStore();
  return { open: async () => store, destroy: async () => {} };
});

/** Opens, and tells why what was there was discarded. */
async function reopened(dir: string, cluster = "c1"): Promise<{ store: Store; because: unknown }> {
  let because: unknown;
  const quiet = (): void => {};
  const log: Log = { debug: quiet, info: quiet, error: quiet, warn: (_, fields) => (because = fields?.["because"]) };
  const store = sqliteStore({ dir, cluster: async () => cluster, log });
  await store.position(0).catch(() => undefined);
  return { store, because };
}

async function filled(): Promise<string> {
  const dir = folder();
  const { store } = await reopened(dir, "c1");
  const position = { generation: 1, epoch: 1, seq: 1, hash: new Uint8Array(32), at: 1, extra: new Uint8Array(0) };
  const cells = Array.from({ length: 2000 }, (_, i) => ({
    type: "t",
    key: `k${i}`,
    version: 1,
    schema: 1,
    state: new Uint8Array(200),
  }));
  await store.save([{ shard: 0, position, cells, ops: [], forgetOps: [] }]);
  await store.close();
  return dir;
}

test("sqlite store: what was stored is kept for the same cluster on the same run of the machine", async () => {
  const { store, because } = await reopened(await filled(), "c1");
  assert.equal(because, undefined);
  assert.equal((await store.position(0))?.seq, 1);
  await store.close();
});

test("sqlite store: what another cluster, another boot, another format or damage left is discarded, and said so", async () => {
  const spoil: [RegExp, string, (path: string) => void][] = [
    [/another cluster/, "c2", () => {}],
    [/restarted/, "c1", (path) => change(path, "UPDATE about SET boot = 'another'")],
    [/format is 99/, "c1", (path) => change(path, "PRAGMA user_version = 99")],
    [/damaged/, "c1", (path) => writeFileSync(path, "this is not a database, whatever it is called".repeat(100))],
  ];
  function change(path: string, sql: string): void {
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
  }
  for (const [why, cluster, how] of spoil) {
    const dir = await filled();
    how(join(dir, "state.db"));
    const { store, because } = await reopened(dir, cluster);
    assert.match(String(because), why);
    assert.equal(await store.position(0), undefined);
    await store.close();
    assert.equal(
      (await reopened(dir, cluster).then(async (again) => (await again.store.close(), again))).because,
      undefined,
    );
  }
});

test("sqlite store: damage found while reading is CORRUPT, and the next start begins anew", async () => {
  const dir = await filled();
  const { open } = await import("node:fs/promises");
  const file = await open(join(dir, "state.db"), "r+");
  const { size } = await file.stat();
  // All pages after the first, which holds the schema, and those that hold the small tables' roots.
  await file.write(new Uint8Array(size - 4096 * 8).fill(0xff), 0, size - 4096 * 8, 4096 * 8);
  await file.close();
  const { store } = await reopened(dir, "c1");
  await assert.rejects(Promise.all(Array.from({ length: 2000 }, (_, i) => store.cell(0, "t", `k${i}`))), {
    code: "CORRUPT",
  });
  await store.close();
  const next = await reopened(dir, "c1");
  assert.match(String(next.because), /damaged/);
  assert.equal(await next.store.position(0), undefined);
  await next.store.close();
});

test("sqlite store: the cluster is asked for at the first use, so a store may be made before its cluster", async () => {
  let id = "";
  const dir = await filled();
  const store = sqliteStore({ dir, cluster: async () => id });
  id = "c1";
  assert.equal((await store.position(0))?.seq, 1);
  await store.close();
  const unused = sqliteStore({ dir: join(root, "never-made"), cluster: async () => assert.fail("not asked") });
  await unused.close();
  await assert.rejects(unused.position(0), { code: "ENGINE_UNAVAILABLE" });
});

test("sqlite store: one that could not be opened is tried again at its next use", async () => {
  const dir = join(folder(), "node");
  writeFileSync(dir, "a file where the folder is to be");
  const store = sqliteStore({ dir, cluster: async () => "c1" });
  await assert.rejects(store.position(0));
  rmSync(dir);
  assert.equal(await store.position(0), undefined);
  await store.close();
});
