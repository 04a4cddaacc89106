// Scripted writers for the tests of faults: each resolves doubt as an owner does (F5), and remembers what it was promised.

import assert from "node:assert/strict";
import type { Append, Cluster, Engine, Entry } from "../../journal/index.ts";
import { until } from "./nats-cluster.fixture.ts";

export const sample: Cluster = { id: "0f".repeat(16), name: "faults", shards: 64, createdAt: 1_700_000_000_000 };

export const appendOf = (shard: number, epoch: number, expected: number, text: string): Append => ({
  shard,
  generation: 1,
  epoch,
  expected,
  record: new TextEncoder().encode(text),
});

export const textOf = ({ record }: Entry): string => new TextDecoder().decode(record);

export async function wholeJournal(engine: Engine, shard: number): Promise<readonly Entry[]> {
  const all: Entry[] = [];
  for (;;) {
    const { entries, head } = await engine.read(shard, all.length + 1, 1000);
    all.push(...entries);
    if (entries.length === 0 || all.length >= head.seq) return all;
  }
}

/** One owner of a shard. `durable` and `resolved` are what it was told at once, and what it found out by reading. */
export type Writer = {
  readonly shard: number;
  readonly kept: readonly string[];
  readonly counts: { durable: number; resolved: number; notKept: number };
  /** Appends until one more record is known to be kept. */
  write(): Promise<void>;
};

export function writer(engine: Engine, shard: number, epoch = 1): Writer {
  const kept: string[] = [];
  const counts = { durable: 0, resolved: 0, notKept: 0 };
  let tries = 0;
  return {
    shard,
    kept,
    counts,
    async write() {
      for (;;) {
        const seq = kept.length;
        const text = `${shard}/${seq + 1}/${++tries}`;
        const [result] = await engine.append([appendOf(shard, epoch, seq, text)]);
        if (result?.kind === "durable") {
          counts.durable++;
          kept.push(text);
          return;
        }
        // Only what stands at its place decides.
        const isKept = await until(`${text} is resolved`, async () => {
          await engine.barrier([shard]);
          const page = await engine.read(shard, seq + 1, 1);
          assert.ok(page.head.seq <= seq + 1, "nobody else writes here");
          return { entry: page.entries[0] };
        });
        if (isKept.entry === undefined) {
          counts.notKept++;
          continue;
        }
        assert.equal(textOf(isKept.entry), text);
        counts.resolved++;
        kept.push(text);
        return;
      }
    },
  };
}

/** The journal of each writer is what it was promised, in order, once each. */
export async function checkKept(engine: Engine, writers: readonly Writer[]): Promise<void> {
  for (const { shard, kept } of writers) {
    const entries = await wholeJournal(engine, shard);
    assert.deepEqual(
      entries.map(({ seq }) => seq),
      kept.map((_, i) => i + 1),
    );
    assert.deepEqual(entries.map(textOf), kept);
  }
}
