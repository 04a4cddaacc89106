// The local store with a million cells of 200 bytes: load, opening, lookups, saves. The limit of lookups is the same query
// on the same file without a thread between. `node store.bench.ts [CELLS] [sealed]` prints one JSON object per line.

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cell, Changes, Position, Store } from "../../shards/index.ts";
import { openStoreFile } from "./store-file.ts";
import { sqliteStore } from "./store.ts";

const cells = Number(process.argv[2] ?? 1_000_000);
const shards = 64;
const perSave = 5000;
const runMs = 1500;
const cluster = "bench";
const encryptionKey = process.argv[3] === "sealed" ? new Uint8Array(32).fill(1) : undefined;
const state = new Uint8Array(200).fill(7);
const dir = mkdtempSync(join(tmpdir(), "sheaf-bench-"));
const rssMiB = (): number => Math.round(process.memoryUsage.rss() / 2 ** 20);
const say = (facts: object): void => console.log(JSON.stringify({ ...facts, rssMiB: rssMiB() }));
const round = (value: number): number => Number(value.toFixed(3));
const position = (seq: number): Position => ({
  generation: 1,
  epoch: 1,
  seq,
  hash: new Uint8Array(32),
  at: 1,
  extra: new Uint8Array(0),
});
const key = (n: number): string => `account-${n}`;
const anyCell = (): number => Math.floor(Math.random() * cells);
const open = (): Store => sqliteStore({ dir, cluster: async () => cluster, encryptionKey });

type Spans = { readonly spans: number[]; readonly ops: number; readonly seconds: number; readonly cpuUs: number };

async function timed(perTurn: number, turn: () => Promise<unknown> | void): Promise<Spans> {
  for (let i = 0; i < 20; i++) await turn();
  const spans: number[] = [];
  const cpu = process.cpuUsage();
  const from = performance.now();
  while (performance.now() - from < runMs) {
    const began = performance.now();
    await turn();
    spans.push(performance.now() - began);
  }
  const { user, system } = process.cpuUsage(cpu);
  const ops = spans.length * perTurn;
  return {
    spans: spans.sort((a, b) => a - b),
    ops,
    seconds: (performance.now() - from) / 1000,
    cpuUs: (user + system) / ops,
  };
}

function report(name: string, concurrency: number, { spans, ops, seconds, cpuUs }: Spans, limit?: number): number {
  const at = (share: number): number => round(spans[Math.floor(spans.length * share)] ?? 0);
  const opsPerSec = Math.round(ops / seconds);
  say({
    name,
    concurrency,
    opsPerSec,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuUsPerOp: round(cpuUs),
    ratioToLimit: limit && round(opsPerSec / limit),
  });
  return opsPerSec;
}

/** Changes of the cells with these numbers, one entry for each shard that has any. */
function changesOf(numbers: readonly number[], seq: number): Changes[] {
  const byShard = new Map<number, Cell[]>();
  for (const n of numbers) {
    const mine = byShard.get(n % shards) ?? [];
    byShard.set(n % shards, mine);
    mine.push({ type: "account", key: key(n), version: seq, schema: 1, state });
  }
  return Array.from(byShard, ([shard, mine]) => ({
    shard,
    position: position(seq),
    cells: mine,
    ops: [],
    forgetOps: [],
  }));
}

async function load(store: Store): Promise<void> {
  const from = performance.now();
  const cpu = process.cpuUsage();
  for (let n = 0; n < cells; n += perSave)
    await store.save(
      changesOf(
        Array.from({ length: Math.min(perSave, cells - n) }, (_, i) => n + i),
        1,
      ),
    );
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - from) / 1000;
  const fileMiB = Math.round(statSync(join(dir, "state.db")).size / 2 ** 20);
  say({
    name: `load ${cells} cells`,
    opsPerSec: Math.round(cells / seconds),
    seconds: round(seconds),
    cpuUsPerOp: round((user + system) / cells),
    fileMiB,
  });
}

async function opening(): Promise<Store> {
  const from = performance.now();
  const store = open();
  await Promise.all(Array.from({ length: shards }, (_, shard) => store.position(shard)));
  say({ name: "open, and read all positions", ms: round(performance.now() - from) });
  return store;
}

async function lookups(store: Store): Promise<void> {
  for (const together of [1, 64, 512]) {
    const direct = openStoreFile(dir, cluster, encryptionKey);
    const names = (): number[] => Array.from({ length: together }, anyCell);
    const limit = report(
      "get on the same thread",
      together,
      await timed(together, () => names().forEach((n) => void direct.cell(n % shards, "account", key(n)))),
    );
    direct.close();
    const run = await timed(together, () => Promise.all(names().map((n) => store.cell(n % shards, "account", key(n)))));
    report("get", together, run, limit);
  }
}

async function others(store: Store): Promise<void> {
  report(
    "save 1,000 changed cells",
    1,
    await timed(1, () => store.save(changesOf(Array.from({ length: 1000 }, anyCell), 2))),
  );
  let from = performance.now();
  let read = 0;
  const image = await store.image(0);
  for await (const page of image!.cells) read += page.length;
  for await (const page of image!.ops) read += page.length;
  say({ name: "image of one shard", cells: read, ms: round(performance.now() - from) });
  from = performance.now();
  await store.search("account", "account-5", undefined, 100);
  say({ name: "search over all shards", ms: round(performance.now() - from) });
}

let store = open();
await load(store);
await store.close();
store = await opening();
await lookups(store);
await others(store);
await store.close();
rmSync(dir, { recursive: true });
