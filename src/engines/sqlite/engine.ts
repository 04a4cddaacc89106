// The embedded engine: journals in one SQLite file, journal.db, that any number of node processes on one machine share.
// Appends run on one worker thread, reads on another; snapshots are files (snapshots.ts). What the caller's thread
// does is pack and unpack.

import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { defaultLimits, SheafError, type Millis } from "../../base/index.ts";
import type { Faults } from "../../host/index.ts";
import type { Append, AppendResult, Cluster, Engine, Head } from "../../journal/index.ts";
import { maxShards } from "./journal-file.ts";
import { startWorker, untold, type Link } from "./link.ts";
import { packAppends, unpackEntries } from "./packed.ts";
import type { Facts, PackedPage } from "./reader.ts";
import { fileSnapshots, sweepUnfinished, type PutStep } from "./snapshots.ts";
import { asEngineError } from "./sqlite-error.ts";
import type { AppendReply, ReaderAsk, Role, WriterAsk } from "./worker.ts";

export type EmbeddedOptions = {
  /** Folder of journal.db, cluster.json and snapshots; made when missing. */
  readonly dir: string;
  readonly maxRecordBytes?: number | undefined;
  /** How long an append waits for a lock that another process holds. */
  readonly patienceMs?: Millis | undefined;
  /** Planted defects, for tests. */
  readonly faults?: Faults | undefined;
  /** Called while a snapshot is put, for tests that stop the process there. */
  readonly reached?: ((step: PutStep) => void) | undefined;
};

/** How long one small write and sync takes on the disk of `dir`: the median of a few. */
async function syncMillis(dir: string): Promise<Millis> {
  const path = join(dir, `.sync-probe-${process.pid}`);
  const file = await open(path, "w");
  try {
    const spans: Millis[] = [];
    for (let i = 0; i < 9; i++) {
      const from = performance.now();
      await file.write(Buffer.alloc(4096), 0, 4096, i * 4096);
      await file.datasync();
      spans.push(performance.now() - from);
    }
    return spans.sort((a, b) => a - b)[4] as Millis;
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}

/** Resolves once the folder is open and sound. Rejects ENGINE_REFUSED when it cannot be used, CORRUPT when its journal is
 *  missing, lost its tables or is no database, ENGINE_FULL when the disk has no room for an empty journal. */
export async function embeddedEngine(options: EmbeddedOptions): Promise<Engine> {
  const { dir, maxRecordBytes = defaultLimits.maxRecordBytes, patienceMs = defaultLimits.appendPatienceMs * 0.8 } = options;
  const role = (name: Role["role"]): Role => ({ role: name, dir, patienceMs });
  const writer = await startWorker(import.meta.url, "worker", role("writer"));
  const reader = await startWorker(import.meta.url, "worker", role("reader")).catch(async (error: unknown) => {
    await writer.end();
    throw error;
  });
  const write = <T>(ask: WriterAsk, transfer: ArrayBuffer[] = []): Promise<T> => writer.ask<T>(ask, transfer);
  const read = <T>(ask: ReaderAsk): Promise<T> => reader.ask<T>(ask);
  const folder = join(dir, "snapshots");
  await sweepUnfinished(folder).catch(() => {});
  let upkeep: Promise<Link> | undefined;
  let upkeepRuns: Promise<void> | undefined;
  let closed: Promise<void> | undefined;
  const whileOpen = (): void => {
    if (closed) throw new SheafError("ENGINE_UNAVAILABLE", "the engine is closed");
  };
  const snapshots = fileSnapshots({ dir: folder, whileOpen, faults: options.faults, reached: options.reached });

  /** Folds the write-ahead log into the file on a thread of its own: done by a commit it would be that commit's spike. */
  async function checkpoint(): Promise<void> {
    upkeep ??= startWorker(import.meta.url, "worker", role("reader"));
    await (await upkeep).ask({ kind: "checkpoint" } satisfies ReaderAsk);
    await write({ kind: "finish-checkpoint" });
  }

  async function appendFitting(batch: readonly Append[]): Promise<readonly AppendResult[]> {
    const packed = packAppends(batch);
    try {
      const reply = await write<AppendReply>({ kind: "append", packed }, [packed.numbers.buffer, packed.bytes.buffer]);
      if (reply.checkpointDue && !upkeepRuns && !closed) {
        upkeepRuns = checkpoint()
          .catch(() => {})
          .finally(() => (upkeepRuns = undefined));
      }
      const error = reply.error && untold(reply.error);
      return batch.map((_, i): AppendResult => {
        const kind = reply.each?.[i] ?? "durable";
        return kind === "durable" || kind === "fenced" ? { kind } : { kind, error };
      });
    } catch (error) {
      return batch.map(() => ({ kind: "unknown", error }));
    }
  }

  const engine: Engine = {
    name: "embedded",
    maxRecordBytes,
    identify: () => write<Cluster | undefined>({ kind: "identify" }),
    async create(cluster) {
      if (!(cluster.shards >= 1 && cluster.shards <= maxShards)) {
        throw new SheafError("ENGINE_REFUSED", `the embedded engine holds 1 to ${maxShards} shards, not ${cluster.shards}`);
      }
      await write({ kind: "create", cluster });
    },
    async append(batch) {
      if (closed) {
        const error = new SheafError("ENGINE_UNAVAILABLE", "the engine is closed");
        return batch.map(() => ({ kind: "refused", error }));
      }
      const fits = batch.filter(({ record }) => record.length <= maxRecordBytes);
      if (fits.length === batch.length) return appendFitting(batch);
      const results = fits.length > 0 ? await appendFitting(fits) : [];
      let next = 0;
      return batch.map(({ shard, record }): AppendResult => {
        if (record.length <= maxRecordBytes) return results[next++] as AppendResult;
        const says = `the record of shard ${shard} has ${record.length} bytes; the engine takes ${maxRecordBytes}`;
        return { kind: "refused", error: new SheafError("TOO_LARGE", says) };
      });
    },
    barrier: (shards) => read<readonly Head[]>({ kind: "heads", shards }),
    async read(shard, from, limit) {
      const { entries, first, head } = await read<PackedPage>({ kind: "page", shard, from, limit });
      return { entries: unpackEntries(shard, entries), first, head };
    },
    trim: (shard, through) => write({ kind: "trim", shard, through }),
    snapshots,
    async describe() {
      const facts = await read<Facts>({ kind: "facts" });
      const syncMs = await syncMillis(dir).catch((error: unknown) => asEngineError(error).code);
      return { directory: dir, ...facts, syncMs };
    },
    close() {
      closed ??= (async () => {
        await upkeepRuns;
        await upkeep?.then((link) => link.end()).catch(() => {});
        // The reader first: the last connection to close folds the log into the file.
        await reader.end();
        await writer.end();
      })();
      return closed;
    },
  };
  return engine;
}
