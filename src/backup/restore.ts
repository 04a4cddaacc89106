// Restoring a backup into an empty engine.
//
// R1. All of the backup is checked before the engine is touched, and again as it is read for the engine.
// R2. The engine holds no cluster before everything is in it: whoever dies half-way leaves nothing that a node would start on.
// R3. Every journal goes on in a higher generation, behind a record that names where (F8): what was written after the backup
//     elsewhere, by owners or into local stores, is of another one and never mixed in. Generations count the seconds since the
//     cluster was created, so that two restorations of one backup differ.

import { SheafError, toHex } from "../base/index.ts";
import { type Cluster, type Engine, type Entry, recordCodec, type Restoration } from "../journal/index.ts";
import { checkBackup, checkKey, type Report } from "./check.ts";
import type { Folder } from "./folder.ts";
import { entriesIn } from "./journal-file.ts";
import {
  bytesOf,
  clusterOf,
  type KeptShard,
  type Manifest,
  readManifest,
  recordsOf,
  snapshotName,
  useAnother,
} from "./manifest.ts";
import { forEach, type Meter, meterOf, type Work } from "./pool.ts";
import { Walk } from "./walk.ts";

export type RestoreOptions = Work & {
  readonly engine: Engine;
  readonly folder: Folder;
  /** Removes first what an unfinished restoration has left in the engine. */
  readonly again?: boolean | undefined;
};

export type Restored = {
  readonly manifest: Manifest;
  /** In which all journals go on. */
  readonly generation: number;
  readonly records: number;
  readonly bytes: number;
};

/** Rejects NOT_FOUND when the folder holds no backup, CORRUPT when it is damaged, WRONG_KEY, WRONG_CLUSTER when the engine is
 *  not empty, ENGINE_REFUSED when it holds an unfinished restoration, CANCELLED. The engine is empty again
 *  then; or it holds the cluster, whole, when only the last answer was lost. */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { engine, folder, host, again = false } = options;
  const manifest = await readManifest(folder, host.crypto);
  const cluster = clusterOf(manifest);
  if (cluster.keyCheck && !options.key)
    throw new SheafError("WRONG_KEY", `the cluster "${cluster.name}" is encrypted and no key was given`);
  checkKey(options, cluster);
  await checkEmpty(engine, again);
  const report = await checkBackup({ ...options, manifest });
  refuseDamaged(report, engine);
  const begun = await engine.restore(cluster, again);
  try {
    const filled = await fill(options, manifest, cluster, begun);
    await begun.finish();
    return { manifest, ...filled };
  } catch (error) {
    await begun.abandon().catch(() => {});
    throw error;
  }
}

/** A look that spares reading all of a backup in vain; the engine itself decides later. */
async function checkEmpty(engine: Engine, again: boolean): Promise<void> {
  const held = await engine.identify().catch((error: unknown) => {
    if (again && error instanceof SheafError && error.code === "ENGINE_REFUSED") return undefined;
    throw error;
  });
  if (held)
    throw new SheafError("WRONG_CLUSTER", `this engine holds the cluster "${held.name}" (${held.id}) already`, {
      hint: "restore into an empty engine: another folder, schema or space",
    });
}

function refuseDamaged({ findings, shards }: Report, engine: Engine): void {
  const [found] = findings;
  if (found) {
    const more = findings.length > 1 ? `, and ${findings.length - 1} more` : "";
    throw new SheafError("CORRUPT", `shard ${found.shard}, ${found.place}: ${found.says}${more}`, { hint: useAnother });
  }
  const largest = Math.max(0, ...shards.map((shard) => shard.largest));
  if (largest > engine.maxRecordBytes)
    throw new SheafError("TOO_LARGE", `a record has ${largest} bytes; the engine takes ${engine.maxRecordBytes}`, {
      hint: "give a higher limit: --limit maxRecordBytes=…",
    });
}

async function fill(
  options: RestoreOptions,
  manifest: Manifest,
  cluster: Cluster,
  begun: Restoration,
): Promise<Omit<Restored, "manifest">> {
  const { host, key } = options;
  const meter = meterOf(options, "restoring", manifest.shards.length);
  const seconds = Math.floor((host.clock.now() - cluster.createdAt) / 1000);
  const generation = Math.max(1 + seconds, ...manifest.shards.map((kept) => kept.generation)) + 1;
  const why = `restored from a backup of ${new Date(manifest.cutTo).toISOString()}`;
  const codec = recordCodec({ ...host, key, cluster: cluster.id });
  await forEach(manifest.shards, async (kept) => {
    const walk = new Walk(codec, true);
    await loadRecords(options.folder, kept, walk, begun, meter);
    await begun.load(kept.shard, generation, [raised(kept, walk)]);
    for (const one of kept.snapshots)
      await begun.put(snapshotName(kept.shard, one), counted(options.folder, one.file, meter));
    meter.shardDone();
  });
  const total = (count: (kept: KeptShard) => number): number =>
    manifest.shards.reduce((sum, kept) => sum + count(kept), 0);
  return { generation, records: total(recordsOf), bytes: total(bytesOf) };

  /** The record with which the journal goes on. */
  function raised({ shard, snapshots }: KeptShard, { tip, at }: Walk): Entry {
    const { seq: last, hash: prev, generation: was } = tip ?? { seq: 0, hash: new Uint8Array(32), generation: 1 };
    const seq = last + 1;
    const epoch = Math.max(tip?.epoch ?? 0, ...snapshots.map((snapshot) => snapshot.epoch)) + 1;
    const header = { cluster: cluster.id, shard, generation, epoch, seq, prev, at };
    return { shard, seq, epoch, record: codec.encode({ header, payload: { kind: "generation", was, why } }).bytes };
  }
}

async function loadRecords(
  folder: Folder,
  { shard, file, first, seq, hash }: KeptShard,
  walk: Walk,
  begun: Restoration,
  meter: Meter,
): Promise<void> {
  if (file === undefined) return;
  for await (const page of entriesIn(folder.read(file), shard, first)) {
    const runs: { readonly generation: number; readonly entries: Entry[] }[] = [];
    let bytes = 0;
    for (const kept of page) {
      const { header } = walk.next(kept);
      if (runs.at(-1)?.generation !== header.generation) runs.push({ generation: header.generation, entries: [] });
      runs.at(-1)?.entries.push({ ...kept, epoch: header.epoch });
      bytes += kept.record.length;
    }
    for (const { generation, entries } of runs) await begun.load(shard, generation, entries);
    meter.add(page.length, bytes);
  }
  if (walk.seq !== seq || !walk.tip || toHex(walk.tip.hash) !== hash)
    throw new SheafError("CORRUPT", `shard ${shard}: the backup changed while it was read`);
}

async function* counted(folder: Folder, file: string, meter: Meter): AsyncGenerator<Uint8Array> {
  for await (const chunk of folder.read(file)) {
    meter.add(0, chunk.length);
    yield chunk;
  }
}
