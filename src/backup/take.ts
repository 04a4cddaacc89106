// Taking a backup of a running or a stopped cluster.
//
// T1. Of each shard, all that is kept is copied: records from the first on, and the snapshots that stand for those before.
// T2. All journals end at heads that one barrier gave, asked for when everything up to then had been copied: what was
//     acknowledged before that is in the backup. How far the heads of several shards are of one moment is the engine's affair.
// T3. Nothing is decrypted: what is copied is checked by its hashes, and read back, before the manifest makes it a backup.

import { type Seq, type Shard, SheafError, toHex } from "../base/index.ts";
import {
  checkSnapshot,
  type Cluster,
  type Engine,
  type Head,
  type RecordCodec,
  recordCodec,
  type SnapshotName,
} from "../journal/index.ts";
import type { Folder } from "./folder.ts";
import { framed } from "./journal-file.ts";
import {
  keptCluster,
  type KeptShard,
  type KeptSnapshot,
  type Manifest,
  manifestFile,
  manifestText,
  readManifest,
  unfinishedFile,
} from "./manifest.ts";
import { forEach, type Meter, meterOf, type Work } from "./pool.ts";
import { pageWith } from "./page.ts";
import { checkBackup } from "./check.ts";
import { Walk } from "./walk.ts";

export type TakeOptions = Omit<Work, "key"> & {
  readonly engine: Engine;
  /** Empty. */
  readonly folder: Folder;
  /** Of the program that takes it. */
  readonly version: string;
  /** Told of damage that the backup goes around. */
  readonly onWarning?: ((says: string) => void) | undefined;
};

/** Journals that are trimmed faster than they are read are tried so often. */
const mostCuts = 5;

/** Copies the engine's cluster to the folder. Rejects USAGE when the folder is not empty, NO_CLUSTER, CORRUPT when what is to
 *  be copied is damaged, CANCELLED. Whatever it rejects with, what it wrote is removed again. */
export async function takeBackup(options: TakeOptions): Promise<Manifest> {
  const { engine, folder, host, version } = options;
  if ((await folder.list()).length > 0)
    throw new SheafError("USAGE", "the folder of a backup must be empty", {
      hint: "name a new folder for each backup; an unfinished one can be removed",
    });
  const cluster = await engine.identify();
  if (!cluster) throw new SheafError("NO_CLUSTER");
  // If another backup was quicker to begin in this folder, what is there is not ours to remove.
  await folder.append(unfinishedFile, new Uint8Array(0));
  const written = new Set<string>([unfinishedFile]);
  try {
    const { shards, cutFrom, cutTo } = await copyAll(options, cluster, written);
    const manifest = { cluster: keptCluster(cluster), engine: engine.name, version, cutFrom, cutTo, shards };
    await folder.append(unfinishedFile, new TextEncoder().encode(manifestText(host.crypto, manifest)));
    await folder.sync(unfinishedFile);
    const { findings } = await checkBackup({ ...options, manifest: { ...manifest, format: 1 } });
    const [found] = findings;
    if (found) throw new SheafError("CORRUPT", `what was written does not read back: ${found.place}: ${found.says}`);
    await folder.rename(unfinishedFile, manifestFile);
  } catch (error) {
    for (const name of written) await folder.remove(name).catch(() => {});
    throw error;
  }
  return readManifest(folder, host.crypto);
}

type Cut = { readonly shards: readonly KeptShard[]; readonly cutFrom: number; readonly cutTo: number };

async function copyAll(options: TakeOptions, cluster: Cluster, written: Set<string>): Promise<Cut> {
  const { engine, host } = options;
  const meter = meterOf(options, "copying", cluster.shards);
  const codec = recordCodec({ ...host, cluster: cluster.id });
  const copies = Array.from(
    { length: cluster.shards },
    (_, shard) => new ShardCopy(shard, { options, cluster, codec, meter, written }),
  );
  for (let cuts = 0; cuts < mostCuts; cuts++) {
    await forEach(copies, (copy) => copy.begin());
    const cutFrom = host.clock.now();
    const heads = await engine.barrier(copies.map(({ shard }) => shard));
    const cutTo = host.clock.now();
    let whole = true;
    await forEach(copies, async (copy) => {
      if (!(await copy.end(heads[copy.shard] as Head))) whole = false;
    });
    if (whole) return { cutFrom, cutTo, shards: copies.map((copy, i) => copy.kept(heads[i] as Head)) };
  }
  throw trimmedAway();
}

const trimmedAway = (): SheafError =>
  new SheafError("ENGINE_UNAVAILABLE", "journals are trimmed faster than they can be copied", {
    hint: "take the backup when there is less to do, or from a machine nearer to the engine",
  });

type Ground = {
  readonly options: TakeOptions;
  readonly cluster: Cluster;
  readonly codec: RecordCodec;
  readonly meter: Meter;
  readonly written: Set<string>;
};

/** A journal that is trimmed while it is copied is begun anew so often. */
const mostStarts = 5;

class ShardCopy {
  readonly shard: Shard;
  readonly #ground: Ground;
  readonly #file: string;
  #walk: Walk;
  #fileBytes = 0;
  #snapshots: KeptSnapshot[] = [];
  #begun = false;
  #ended = false;

  constructor(shard: Shard, ground: Ground) {
    this.shard = shard;
    this.#ground = ground;
    this.#file = `shard-${String(shard).padStart(5, "0")}.journal`;
    this.#walk = new Walk(ground.codec, false);
  }

  /** Copies all there is so far, unless that was done before. */
  async begin(): Promise<void> {
    if (this.#begun) return;
    for (let starts = 0; starts < mostStarts; starts++) {
      // Records first: a snapshot that is listed afterwards stands for none that they lack.
      this.#begun = (await this.#copy(undefined)) && (await this.#copySnapshots());
      if (this.#begun) return;
      await this.#startOver();
    }
    throw trimmedAway();
  }

  /** Copies what came since, up to this head. False when some of it was trimmed away meanwhile: then it is to begin again. */
  async end(head: Head): Promise<boolean> {
    const { folder } = this.#ground.options;
    if (!(await this.#copy(head.seq))) {
      await this.#startOver();
      return false;
    }
    this.#checkHead(head);
    if (this.#walk.records > 0) await folder.sync(this.#file);
    if (!this.#ended) this.#ground.meter.shardDone();
    this.#ended = true;
    return true;
  }

  kept({ generation, epoch }: Head): KeptShard {
    const { shard } = this;
    const { seq, first = seq + 1, tip, records } = this.#walk;
    const hash = toHex(tip?.hash ?? new Uint8Array(32));
    const file = records > 0 && { file: this.#file };
    return { shard, generation, epoch, first, seq, hash, ...file, bytes: this.#fileBytes, snapshots: this.#snapshots };
  }

  #checkHead(head: Head): void {
    const { seq, first = 1, tip, epoch } = this.#walk;
    if (seq !== head.seq || (tip && (tip.generation !== head.generation || epoch !== head.epoch)))
      throw this.#corrupt(`the engine says that it ends at ${head.seq}, which is not what its records say`);
    if (!this.#reaches) throw this.#corrupt(`its journal starts at ${first} and no whole snapshot reaches it`);
  }

  async #startOver(): Promise<void> {
    const { options, written } = this.#ground;
    for (const name of [this.#file, ...this.#snapshots.map(({ file }) => file)])
      if (written.delete(name)) await options.folder.remove(name);
    this.#walk = new Walk(this.#ground.codec, false);
    this.#fileBytes = 0;
    this.#snapshots = [];
    this.#begun = false;
  }

  /** Copies records behind those there are, up to `to` or to the end as it is now. False when the next one is gone. */
  async #copy(to: Seq | undefined): Promise<boolean> {
    const { options } = this.#ground;
    const goal = to ?? (await options.engine.read(this.shard, 1, 1)).head.seq;
    while (this.#walk.seq < goal) {
      const next = this.#walk.seq + 1;
      const { entries } = await this.#blamed(pageWith(options.engine, options.host, this.shard, next));
      if (entries[0]?.seq !== next && this.#walk.records > 0) return false;
      await this.#write(entries.filter(({ seq }) => seq <= goal));
      // All up to there was trimmed away: there is nothing before it.
      if (this.#walk.records === 0) return false;
    }
    return true;
  }

  async #write(entries: readonly { shard: Shard; seq: Seq; epoch: number; record: Uint8Array }[]): Promise<void> {
    const { options, meter, written } = this.#ground;
    await this.#blamed(Promise.resolve().then(() => entries.forEach((entry) => this.#walk.next(entry))));
    if (entries.length === 0) return;
    const bytes = framed(entries.map(({ record }) => record));
    written.add(this.#file);
    await options.folder.append(this.#file, bytes);
    this.#fileBytes += bytes.length;
    meter.add(entries.length, bytes.length);
  }

  async #copySnapshots(): Promise<boolean> {
    const { engine } = this.#ground.options;
    const { first = 1 } = this.#walk;
    const listed = await engine.snapshots.list(this.shard);
    // Records up to the newest of them are in the journal by now.
    if (!(await this.#copy(listed[0]?.seq ?? 0))) return false;
    let gone = 0;
    for (const name of listed) if (name.seq >= first - 1 && (await this.#copySnapshot(name)) === "gone") gone++;
    return this.#reaches || gone === 0;
  }

  /** Whether the records, with the snapshots, are all there is to know. */
  get #reaches(): boolean {
    const { first = 1 } = this.#walk;
    return first === 1 || this.#snapshots.some(({ seq }) => seq >= first - 1);
  }

  async #copySnapshot(name: SnapshotName): Promise<"copied" | "damaged" | "gone"> {
    const { options, cluster, meter, written } = this.#ground;
    const { folder, engine, host } = options;
    const { generation, epoch, seq, hash } = name;
    const file = `shard-${String(this.shard).padStart(5, "0")}-${generation}-${epoch}-${seq}.snapshot`;
    const copied = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of engine.snapshots.get(name)) {
        await folder.append(file, chunk);
        meter.add(0, chunk.length);
        yield chunk;
      }
    };
    written.add(file);
    try {
      const { bytes, hash: end } = await checkSnapshot({ ...host, cluster: cluster.id }, name, copied());
      await folder.sync(file);
      this.#snapshots.push({ generation, epoch, seq, hash, file, bytes, end: toHex(end) });
      return "copied";
    } catch (error) {
      if (!(error instanceof SheafError) || (error.code !== "NOT_FOUND" && error.code !== "CORRUPT")) throw error;
      // Deleted meanwhile, as older ones are; or damaged: then another has to reach the journal.
      if (error.code === "CORRUPT")
        options.onWarning?.(`shard ${this.shard}: the snapshot at ${seq} is left out: ${error.message}`);
      if (written.delete(file)) await folder.remove(file).catch(() => {});
      return error.code === "CORRUPT" ? "damaged" : "gone";
    }
  }

  /** Says of which shard what is damaged. */
  async #blamed<T>(act: Promise<T>): Promise<T> {
    try {
      return await act;
    } catch (error) {
      if (!(error instanceof SheafError) || error.code !== "CORRUPT") throw error;
      throw this.#corrupt(error.message, error);
    }
  }

  #corrupt(says: string, cause?: unknown): SheafError {
    return new SheafError("CORRUPT", `shard ${this.shard}: ${says}`, {
      cause,
      hint: "sheaf engine verify tells all that is damaged; restore an older backup",
    });
  }
}
