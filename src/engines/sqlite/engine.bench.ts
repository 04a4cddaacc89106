// The embedded engine against its physical limit: the same bytes appended to a raw file with fdatasync, in turns in the
// same run, so that a noisy machine is noisy for both. Then three node processes on one file, none of which may starve.
// `node engine.bench.ts` prints one JSON object per line.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Engine } from "../../journal/index.ts";
import { embeddedEngine } from "./engine.ts";

const turnMs = 700;
const turns = 5;

/** One turn of one contender. */
type Turn = { readonly spans: readonly number[]; readonly seconds: number; readonly cpuUs: number };
type Contender = {
  readonly name: string;
  readonly concurrency: number;
  readonly commit: () => Promise<unknown> | void;
};

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
const round = (value: number): number => Number(value.toFixed(3));

async function run(commit: Contender["commit"], ms: number): Promise<Turn> {
  const spans: number[] = [];
  const cpu = process.cpuUsage();
  const from = performance.now();
  while (performance.now() - from < ms) {
    const began = performance.now();
    await commit();
    spans.push(performance.now() - began);
  }
  const { user, system } = process.cpuUsage(cpu);
  return {
    spans: spans.sort((a, b) => a - b),
    seconds: (performance.now() - from) / 1000,
    cpuUs: (user + system) / spans.length,
  };
}

function report({ name, concurrency }: Contender, mine: readonly Turn[], limits?: readonly Turn[]): void {
  const rate = ({ spans, seconds }: Turn): number => spans.length / seconds;
  const at = (share: number): number =>
    round(median(mine.map(({ spans }) => spans[Math.min(spans.length - 1, Math.floor(spans.length * share))] ?? 0)));
  const ratio = (of: (turn: Turn) => number): number | undefined =>
    limits && round(median(mine.map((turn, i) => of(turn) / of(limits[i] as Turn))));
  console.log(
    JSON.stringify({
      name,
      concurrency,
      opsPerSec: Math.round(median(mine.map(rate)) * concurrency),
      commitsPerSec: Math.round(median(mine.map(rate))),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      maxMs: round(Math.max(...mine.map(({ spans }) => spans.at(-1) ?? 0))),
      cpuUsPerCommit: Math.round(median(mine.map(({ cpuUs }) => cpuUs))),
      ratioToLimit: ratio(rate),
      p50ToLimit: ratio(({ spans }) => median(spans)),
    }),
  );
}

async function inTurns(limit: Contender, ours: Contender): Promise<void> {
  const found: [Turn[], Turn[]] = [[], []];
  await run(ours.commit, turnMs);
  for (let n = 0; n < turns; n++) {
    found[0].push(await run(limit.commit, turnMs));
    found[1].push(await run(ours.commit, turnMs));
  }
  report(limit, found[0]);
  report(ours, found[1], found[0]);
}

/** Appends one record to each of the shards in one call, as a node's commit loop does. */
async function appends(
  engine: Engine,
  shards: readonly number[],
  sizes: readonly number[],
): Promise<Contender["commit"]> {
  const heads = (await engine.barrier(shards)).map((head) => ({ ...head }));
  const records = sizes.map((size) => new Uint8Array(size).fill(7));
  return async () => {
    const results = await engine.append(
      heads.map(({ shard, generation, epoch, seq }, i) => ({
        shard,
        generation,
        epoch,
        expected: seq,
        record: records[i] as Uint8Array,
      })),
    );
    if (results.some(({ kind }) => kind !== "durable")) throw new Error(JSON.stringify(results));
    for (const head of heads) head.seq++;
  };
}

async function againstRaw(dir: string, engine: Engine): Promise<void> {
  const many = Array.from({ length: 64 }, (_, shard) => shard);
  const shapes: [string, readonly number[], readonly number[]][] = [
    ["1 shard × 200 B", [0], [200]],
    ["64 shards × 200 B", many, many.map(() => 200)],
    ["64 shards × 200 B to 4 KiB", many, many.map((n) => 200 + Math.floor((n / 63) * 3896))],
    ["1 shard × 64 KiB", [1], [65_536]],
  ];
  for (const [name, shards, sizes] of shapes) {
    const fd = openSync(join(dir, "raw"), "w");
    const bytes = Buffer.alloc(
      sizes.reduce((sum, size) => sum + size, 0),
      7,
    );
    const raw = (): void => {
      writeSync(fd, bytes);
      fdatasyncSync(fd);
    };
    const concurrency = shards.length;
    await inTurns(
      { name: `file append and fdatasync, ${name}`, concurrency, commit: raw },
      { name: `embedded, ${name}`, concurrency, commit: await appends(engine, shards, sizes) },
    );
    closeSync(fd);
    console.log(
      JSON.stringify({
        name: `write-ahead log after ${name}`,
        walMiB: round(statSync(join(dir, "journal.db-wal")).size / 2 ** 20),
      }),
    );
  }
}

async function threeProcesses(dir: string): Promise<void> {
  const children = [0, 1, 2].map((n) =>
    spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", fileURLToPath(import.meta.url), dir, String(100 + n)],
      { stdio: ["ignore", "pipe", "inherit"] },
    ),
  );
  const outputs = await Promise.all(
    children.map(async (child) => [await text(child.stdout), await once(child, "exit")] as const),
  );
  for (const [output] of outputs) process.stdout.write(output);
}

const [sharedDir, shard] = process.argv.slice(2);
if (sharedDir === undefined) {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-bench-"));
  const engine = await embeddedEngine({ dir });
  await againstRaw(dir, engine);
  await threeProcesses(dir);
  console.log(
    JSON.stringify({ name: "engine", ...(await engine.describe()), directory: undefined, bootId: undefined }),
  );
  await engine.close();
  rmSync(dir, { recursive: true });
} else {
  const engine = await embeddedEngine({ dir: sharedDir });
  const commit = await appends(engine, [Number(shard)], [200]);
  await run(commit, turnMs);
  report({ name: `one of three processes, shard ${shard} × 200 B`, concurrency: 1, commit }, [
    await run(commit, 5 * turnMs),
  ]);
  await engine.close();
}
