// The embedded engine against its physical limit: a raw file append and fdatasync, measured in the same run.
// `node engine.bench.ts` prints one JSON object per line.

import { once } from "node:events";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import type { Engine } from "../../journal/index.ts";
import { embeddedEngine } from "./engine.ts";

const runMs = 2000;

type Run = { readonly name: string; readonly spans: number[]; readonly records: number; readonly seconds: number };

function report({ name, spans, records, seconds }: Run, limit?: number): number {
  spans.sort((a, b) => a - b);
  const at = (share: number): number => Number((spans[Math.floor(spans.length * share)] ?? 0).toFixed(3));
  const opsPerSec = Math.round(records / seconds);
  const ratioToLimit = limit === undefined ? undefined : Number((opsPerSec / limit).toFixed(2));
  const commitsPerSec = Math.round(spans.length / seconds);
  console.log(JSON.stringify({ name, opsPerSec, commitsPerSec, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1 - 1e-9), ratioToLimit }));
  return opsPerSec;
}

function rawFile(dir: string, perSync: number, size: number): Run {
  const fd = openSync(join(dir, "raw"), "w");
  const bytes = Buffer.alloc(size * perSync, 1);
  const spans: number[] = [];
  const from = performance.now();
  while (performance.now() - from < runMs) {
    const began = performance.now();
    writeSync(fd, bytes);
    fdatasyncSync(fd);
    spans.push(performance.now() - began);
  }
  closeSync(fd);
  return { name: `file append and fdatasync, ${perSync} × ${size} B`, spans, records: spans.length * perSync, seconds: (performance.now() - from) / 1000 };
}

/** Appends to `shards` in one call at a time, as a node's commit loop does. */
async function appends(engine: Engine, name: string, shards: readonly number[], size: number): Promise<Run> {
  const heads = (await engine.barrier(shards)).map((head) => ({ ...head }));
  const record = new Uint8Array(size).fill(1);
  const spans: number[] = [];
  const from = performance.now();
  while (performance.now() - from < runMs) {
    const began = performance.now();
    const results = await engine.append(heads.map(({ shard, generation, epoch, seq }) => ({ shard, generation, epoch, expected: seq, record })));
    if (results.some(({ kind }) => kind !== "durable")) throw new Error(JSON.stringify(results));
    spans.push(performance.now() - began);
    for (const head of heads) head.seq++;
  }
  return { name, spans, records: spans.length * shards.length, seconds: (performance.now() - from) / 1000 };
}

if (isMainThread) {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-bench-"));
  const engine = await embeddedEngine({ dir });
  const many = Array.from({ length: 64 }, (_, shard) => shard);
  for (let round = 0; round < 3; round++) {
    const one = report(rawFile(dir, 1, 200));
    report(await appends(engine, "embedded, 1 shard × 200 B", [0], 200), one);
    const batch = report(rawFile(dir, 64, 200));
    report(await appends(engine, "embedded, 64 shards × 200 B", many, 200), batch);
    const big = report(rawFile(dir, 1, 65_536));
    report(await appends(engine, "embedded, 1 shard × 64 KiB", [1], 65_536), big);
  }
  // Three writers on one file, as three node processes: none may starve.
  const writers = [0, 1, 2].map((n) => new Worker(new URL(import.meta.url), { workerData: { dir, shard: 100 + n } }));
  const runs = (await Promise.all(writers.map((writer) => once(writer, "message")))).map(([run]) => run as Run);
  for (const run of runs) report(run);
  console.log(JSON.stringify(await engine.describe()));
  await engine.close();
  rmSync(dir, { recursive: true });
} else {
  const { dir, shard } = workerData as { dir: string; shard: number };
  const engine = await embeddedEngine({ dir });
  await appends(engine, "warm-up", [shard], 200);
  const run = await appends(engine, `one of three writers, shard ${shard}`, [shard], 200);
  await engine.close();
  parentPort?.postMessage(run);
}
