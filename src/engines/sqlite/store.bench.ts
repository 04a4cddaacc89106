// The local store with a million cells: load, lookups, opening. `node store.bench.ts [CELLS]` prints JSON lines.

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Changes, Position } from "../../shards/index.ts";
import { sqliteStore } from "./store.ts";

const cells = Number(process.argv[2] ?? 1_000_000);
const shards = 64;
const perSave = 5000;
const dir = mkdtempSync(join(tmpdir(), "sheaf-bench-"));
const say = (facts: object): void => console.log(JSON.stringify({ ...facts, rssMiB: Math.round(process.memoryUsage.rss() / 2 ** 20) }));
const position = (seq: number): Position => ({ generation: 1, epoch: 1, seq, hash: new Uint8Array(32), at: 1, extra: new Uint8Array(0) });
const key = (n: number): string => `account-${n}`;

let store = sqliteStore({ dir, cluster: async () => "bench" });
const state = new Uint8Array(200).fill(7);
let from = performance.now();
for (let n = 0; n < cells; ) {
  const changes: Changes[] = Array.from({ length: shards }, (_, shard) => ({ shard, position: position(n), cells: [], ops: [], forgetOps: [] }));
  for (const end = Math.min(cells, n + perSave); n < end; n++) (changes[n % shards]!.cells as object[]).push({ type: "account", key: key(n), version: 1, schema: 1, state });
  await store.save(changes);
}
let seconds = (performance.now() - from) / 1000;
say({ name: `load ${cells} cells of 200 B`, seconds, perSec: Math.round(cells / seconds), fileMiB: Math.round(statSync(join(dir, "state.db")).size / 2 ** 20) });

await store.close();
from = performance.now();
store = sqliteStore({ dir, cluster: async () => "bench" });
const opened = performance.now();
await Promise.all(Array.from({ length: shards }, (_, shard) => store.position(shard)));
say({ name: "open", openMs: opened - from, positionsMs: performance.now() - opened });

for (const together of [1, 64, 512]) {
  let gets = 0;
  from = performance.now();
  while (performance.now() - from < 2000) {
    await Promise.all(
      Array.from({ length: together }, () => {
        const n = Math.floor(Math.random() * cells);
        return store.cell(n % shards, "account", key(n));
      }),
    );
    gets += together;
  }
  seconds = (performance.now() - from) / 1000;
  say({ name: `get, ${together} together`, perSec: Math.round(gets / seconds) });
}

from = performance.now();
let read = 0;
for await (const page of (await store.image(0))!.cells) read += page.length;
say({ name: "image of one shard", cells: read, ms: performance.now() - from });
from = performance.now();
await store.search("account", "account-5", undefined, 100);
say({ name: "search over all shards", ms: performance.now() - from });
await store.close();
rmSync(dir, { recursive: true });
