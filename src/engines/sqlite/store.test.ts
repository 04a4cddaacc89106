import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { toHex } from "../../base/index.ts";
import type { Log } from "../../host/index.ts";
import type { Store } from "../../shards/index.ts";
import { memoryStore } from "../../shards/index.ts";
import { storeContract } from "../../shards/store-contract.ts";
import { sealOf } from "./seal.ts";
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
const encryptionKey = new Uint8Array(32).fill(9);
storeContract("sealed sqlite", { test, assert }, async () => {
  const dir = folder();
  return {
    open: async () => sqliteStore({ dir, cluster: async () => "c1", encryptionKey }),
    destroy: async () => rmSync(dir, { recursive: true }),
  };
});
storeContract("memory", { test, assert }, async () => {
  const store = memoryStore();
  return { open: async () => store, destroy: async () => {} };
});

/** Opens, and tells why what was there was discarded. */
async function reopened(
  dir: string,
  cluster = "c1",
  encryptionKey?: Uint8Array,
): Promise<{ store: Store; because: unknown }> {
  let because: unknown;
  const quiet = (): void => {};
  const log: Log = { debug: quiet, info: quiet, error: quiet, warn: (_, fields) => (because = fields?.["because"]) };
  const store = sqliteStore({ dir, cluster: async () => cluster, encryptionKey, log });
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

const secret = (text: string): Uint8Array => new TextEncoder().encode(`${text} hunter2 `.repeat(20));
const folded = { generation: 1, epoch: 1, seq: 1, hash: new Uint8Array(32), at: 1 };

/** A sealed store with two cells, an operation and a note, closed. */
async function sealedFolder(): Promise<string> {
  const dir = folder();
  const { store } = await reopened(dir, "c1", encryptionKey);
  const cells = ["a", "b"].map((key) => ({ type: "t", key, version: 1, schema: 1, state: secret(key) }));
  const op = { id: "k", seq: 1, at: 1, issuedAt: undefined, fingerprint: secret("print").slice(0, 16), version: 1 };
  const change = { shard: 0, position: { ...folded, extra: secret("note") }, cells, forgetOps: [] };
  await store.save([{ ...change, ops: [{ ...op, reply: secret("reply") }] }]);
  await store.close();
  return dir;
}

test("sealed store: no file of it holds a value in clear", async () => {
  const dir = await sealedFolder();
  const names = readdirSync(dir);
  assert.ok(names.includes("state.db"));
  for (const name of names) assert.ok(!readFileSync(join(dir, name)).includes("hunter2"), name);
  const { store } = await reopened(dir, "c1", encryptionKey);
  assert.deepEqual((await store.cell(0, "t", "a"))?.state, secret("a"));
  assert.deepEqual((await store.ops(0))[0]?.fingerprint, secret("print").slice(0, 16));
  await store.close();
});

test("sealed store: a value that was altered or moved is CORRUPT, and the next start begins anew", async () => {
  const changes = [
    "UPDATE cell SET state = (SELECT state FROM cell WHERE key = 'b') WHERE key = 'a'",
    "UPDATE cell SET version = 2 WHERE key = 'a'",
    "UPDATE cell SET state = X'00' WHERE key = 'a'",
    "UPDATE cell SET state = CAST(substr(state, 1, 20) || X'00' || substr(state, 22) AS BLOB) WHERE key = 'a'",
  ];
  for (const sql of changes) {
    const dir = await sealedFolder();
    const db = new DatabaseSync(join(dir, "state.db"));
    db.exec(sql);
    db.close();
    const { store, because } = await reopened(dir, "c1", encryptionKey);
    assert.equal(because, undefined, sql);
    assert.deepEqual((await store.cell(0, "t", "b"))?.state, secret("b"));
    await assert.rejects(store.cell(0, "t", "a"), (error: { code: string }) => error.code === "CORRUPT", sql);
    await store.close();
    const next = await reopened(dir, "c1", encryptionKey);
    assert.match(String(next.because), /damaged/);
    await next.store.close();
  }
});

test("sealed store: one of another key, or of none, is discarded", async () => {
  const dir = await sealedFolder();
  for (const key of [undefined, new Uint8Array(32).fill(8), encryptionKey]) {
    const { store, because } = await reopened(dir, "c1", key);
    assert.match(String(because), /another key/);
    assert.equal(await store.position(0), undefined);
    await store.close();
  }
});

test("seal: no two values share a nonce, and the same value is never sealed alike", () => {
  const seal = sealOf(encryptionKey, "c1");
  const nonces = Array.from({ length: 1000 }, () => toHex(seal.seal(secret("x"), "place").subarray(0, 12)));
  assert.equal(new Set(nonces).size, 1000);
  assert.notEqual(nonces[0]?.slice(0, 16), toHex(sealOf(encryptionKey, "c1").seal(secret("x"), "p")).slice(0, 16));
});
