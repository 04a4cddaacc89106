// The embedded engine: journals in one SQLite file, journal.db, that any number of node processes on one machine share.
// Appends run on one worker thread, reads on another; snapshots are files (snapshots.ts). What the caller's thread
// does is pack and unpack.

import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { defaultLimits, SheafError, type Millis } from "../../base/index.ts";
import type { Faults } from "../../host/index.ts";
import { checkRegistryEntry, checkRegistryKey } from "../../journal/index.ts";
import type { Cluster, Engine, Head, Page, RegistryLook } from "../../journal/index.ts";
import { appender } from "./appender.ts";
import { maxShards } from "./journal-file.ts";
import { startWorker, type Link } from "./link.ts";
import { unpackEntries } from "./packed.ts";
import type { Facts, PackedPage } from "./reader.ts";
import { beginRestoration } from "./restoration.ts";
import type { RestoreAsk } from "./restoring.ts";
import { fileSnapshots, sweepUnfinished, type PutStep } from "./snapshots.ts";
import { asEngineError } from "./sqlite-error.ts";
import { openWatches } from "./watches.ts";
import type { ReaderAsk, Role, WriterAsk } from "./worker.ts";

export type EmbeddedOptions = {
  /** Folder of journal.db, cluster.json and snapshots; made when missing. */
  readonly dir: string;
  readonly maxRecordBytes?: number | undefined;
  /** How long an append waits for a lock that another process holds. */
  readonly patienceMs?: Millis | undefined;
  /** Told of damage that stops no call yet. */
  readonly report?: ((error: SheafError) => void) | undefined;
  /** Told what was done to go on, such as that a process was killed which stood still with the lock. */
  readonly warn?: ((says: string) => void) | undefined;
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

const unpackPage = ({ entries, first, head }: PackedPage): Page => ({
  entries: unpackEntries(head.shard, entries),
  first,
  head,
});

function checkShards({ shards }: Cluster): void {
  if (shards >= 1 && shards <= maxShards) return;
  throw new SheafError("ENGINE_REFUSED", `the embedded engine holds 1 to ${maxShards} shards, not ${shards}`);
}

/** Resolves once the folder is open and sound. Rejects ENGINE_REFUSED when it cannot be used, CORRUPT when its journal is
 *  missing, lost its tables or is no database, ENGINE_FULL when the disk has no room for an empty journal. */
export async function embeddedEngine(options: EmbeddedOptions): Promise<Engine> {
  const {
    dir,
    maxRecordBytes = defaultLimits.maxRecordBytes,
    patienceMs = defaultLimits.appendPatienceMs * 0.8,
  } = options;
  const role = (name: Role["role"]): Role => ({ role: name, dir, patienceMs });
  const writer = await startWorker(import.meta.url, "worker", role("writer"));
  const reader = await startWorker(import.meta.url, "worker", role("reader")).catch(async (error: unknown) => {
    await writer.end();
    throw error;
  });
  const write = <T>(ask: WriterAsk): Promise<T> => writer.ask<T>(ask);
  const read = <T>(ask: ReaderAsk): Promise<T> => reader.ask<T>(ask);
  const tell = async (act: "put" | "renew", key: string, value: Uint8Array): Promise<void> => {
    checkRegistryEntry(key, value);
    await write({ kind: "change-member", change: { act, key, value: new Uint8Array(value) } });
  };
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
    upkeep ??= startWorker(import.meta.url, "worker", role("reader")).catch((error: unknown) => {
      upkeep = undefined; // Tried again when the next checkpoint is due.
      throw error;
    });
    await (await upkeep).ask({ kind: "checkpoint" } satisfies ReaderAsk);
    await write({ kind: "finish-checkpoint" });
  }

  /** One checkpoint at a time; one that fails is due again soon. */
  function checkpointOnce(): void {
    if (upkeepRuns || closed) return;
    upkeepRuns = checkpoint()
      .catch(() => {})
      .finally(() => (upkeepRuns = undefined));
  }

  const watches = openWatches(reader);
  /** Batches are kept as they are: what is in them is still read, and judged, by whoever asks. */
  let folding = "ok";
  const foldingStopped = (error: SheafError): void => {
    folding = `stopped: ${error.message}`;
    options.report?.(error);
  };
  const append = appender(writer, maxRecordBytes, checkpointOnce, foldingStopped, (says) => options.warn?.(says));
  return {
    name: "embedded",
    maxRecordBytes,
    identify: () => write<Cluster | undefined>({ kind: "identify" }),
    async create(cluster) {
      checkShards(cluster);
      await write({ kind: "create", cluster });
    },
    async restore(cluster, again = false) {
      const step = async (ask: RestoreAsk): Promise<void> => {
        if (await write<boolean>({ kind: "restore", ask })) checkpointOnce();
      };
      checkShards(cluster);
      return beginRestoration({ folder, step, snapshots }, cluster, again);
    },
    async append(batch) {
      if (closed) {
        const error = new SheafError("ENGINE_UNAVAILABLE", "the engine is closed");
        return batch.map(() => ({ kind: "refused", error }));
      }
      return append(batch);
    },
    barrier: (shards) => read<readonly Head[]>({ kind: "heads", shards }),
    async read(shard, from, limit) {
      return unpackPage(await read<PackedPage>({ kind: "page", shard, from, limit }));
    },
    async tail(asks, limit) {
      return (await read<readonly PackedPage[]>({ kind: "tail", asks, limit })).map(unpackPage);
    },
    watch: (onGrown) => (closed ? () => {} : watches.add(onGrown)),
    trim: (shard, through) => write({ kind: "trim", shard, through }),
    snapshots,
    registry: {
      put: (key, value) => tell("put", key, value),
      renew: (key, value) => tell("renew", key, value),
      async delete(key) {
        checkRegistryKey(key);
        await write({ kind: "change-member", change: { act: "delete", key } });
      },
      list: () => read<ReadonlyMap<string, Uint8Array>>({ kind: "members" }),
      async look(since, keys) {
        keys.forEach(checkRegistryKey);
        return read<RegistryLook>({ kind: "look", since, keys });
      },
    },
    async describe() {
      const facts = await read<Facts>({ kind: "facts" });
      const syncMs = await syncMillis(dir).catch((error: unknown) => asEngineError(error).code);
      return { directory: dir, ...facts, syncMs, folding };
    },
    close() {
      watches.end();
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
}
