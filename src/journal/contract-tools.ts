// Shorthand for the engine kit: making appends, reading back, naming outcomes.

import { type Seq, type Shard, SheafError } from "../base/index.ts";
import type { Append, Cluster, Engine, Entry, SnapshotName } from "./engine.ts";

/** What the kit needs of a test runner. `node:test` and `node:assert/strict` fit as they are. */
export type KitTools = {
  test(name: string, run: () => Promise<void>): unknown;
  readonly assert: {
    equal(actual: unknown, expected: unknown, message?: string): void;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
    ok(value: unknown, message?: string): void;
  };
};

/** What a rule plays on: an empty engine, openable several times as by several processes. */
export type Stage = { readonly open: () => Promise<Engine>; readonly assert: KitTools["assert"] };

/** One guarantee. */
export type Rule = { readonly says: string; holds(stage: Stage): Promise<void> };

export const kitCluster: Cluster = {
  id: "00112233445566778899aabbccddeeff",
  name: "kit",
  shards: 64,
  createdAt: 1_700_000_000_000,
  apart: [{ entities: ["order", "cart"], first: 48, shards: 16 }],
  keyCheck: Uint8Array.of(0, 1, 254, 255),
};

export const bytesOf = (...bytes: readonly number[]): Uint8Array => Uint8Array.from(bytes);

/** An append of a small record that tells its writer. */
export const entry = (
  shard: Shard,
  epoch: number,
  expected: Seq,
  record: Uint8Array = bytesOf(shard, epoch, expected + 1),
): Append => ({
  shard,
  generation: 1,
  epoch,
  expected,
  record,
});

/** Appends and gives the kinds of the results. */
export const kinds = async (engine: Engine, ...batch: readonly Append[]): Promise<readonly string[]> =>
  (await engine.append(batch)).map((result) => result.kind);

/** The whole journal of a shard, page by page. */
export async function readAll(engine: Engine, shard: Shard, from: Seq = 1, limit = 1000): Promise<readonly Entry[]> {
  const all: Entry[] = [];
  for (;;) {
    const { entries, head } = await engine.read(shard, from + all.length, limit);
    for (const { seq, epoch, record, ...at } of entries)
      all.push({ shard: at.shard, seq, epoch, record: new Uint8Array(record) });
    if (entries.length === 0 || entries.at(-1)!.seq >= head.seq) return all;
  }
}

/** An engine that holds the kit's cluster. */
export async function created(stage: Stage): Promise<Engine> {
  const engine = await stage.open();
  await engine.create(kitCluster);
  return engine;
}

/** The code a promise rejects with; "resolved" or the error's text when it does something else. */
export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof SheafError ? error.code : String(error)),
  );

export const snapshotAt = (shard: Shard, seq: Seq, generation = 1, hash = "ab".repeat(32)): SnapshotName => ({
  shard,
  generation,
  epoch: 1,
  seq,
  hash,
});

export async function gather(chunks: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(new Uint8Array(chunk));
  return all;
}
