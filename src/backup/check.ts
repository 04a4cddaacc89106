// Checking all that is kept of a cluster, in an engine or in a backup: every record and every snapshot is read.
//
// V1. Checksums, the hash chain, contiguous sequences, and the head, of every journal.
// V2. Every snapshot is whole, of the record that it names, and one at least reaches the journal's first record.
// V3. A snapshot holds what the one before it and the records between them add up to, where payloads can be read.

import { bytesEqual, fromHex, messageOf, type Seq, type Shard, SheafError, toHex } from "../base/index.ts";
import {
  checkSnapshot,
  decodeSnapshot,
  type Cluster,
  type Engine,
  keyFits,
  type RecordCodec,
  recordCodec,
  type SnapshotName,
} from "../journal/index.ts";
import type { Folder } from "./folder.ts";
import { Agreement } from "./agreement.ts";
import type { Kept } from "./journal-file.ts";
import { clusterOf, type Manifest } from "./manifest.ts";
import { forEach, type Meter, meterOf, type Work } from "./pool.ts";
import { backupSource, engineSource, type Source } from "./sources.ts";
import { Walk } from "./walk.ts";

/** One thing wrong. */
export type Finding = {
  readonly shard: Shard;
  /** Such as "record 17" or "snapshot at 400". */
  readonly place: string;
  readonly says: string;
  /** What to do about it. */
  readonly fix: string;
};

export type ShardReport = {
  readonly shard: Shard;
  readonly generation: number;
  readonly epoch: number;
  readonly first: Seq;
  readonly seq: Seq;
  readonly records: number;
  /** Records of owners that had been replaced, which count for nothing. */
  readonly voided: number;
  readonly bytes: number;
  readonly snapshots: number;
  /** The largest record. */
  readonly largest: number;
};

export type Report = {
  readonly shards: readonly ShardReport[];
  readonly findings: readonly Finding[];
  /** Whether payloads were read too: false without the key of an encrypted cluster. */
  readonly opened: boolean;
};

/** Throws WRONG_KEY when this is not the cluster's key, or the cluster is not encrypted. */
export function checkKey({ host, key }: Work, cluster: Cluster): void {
  if (!key) return;
  if (!cluster.keyCheck)
    throw new SheafError("WRONG_KEY", `the cluster "${cluster.name}" is not encrypted; it was created without a key`);
  if (!keyFits(host.crypto, key, cluster.id, cluster.keyCheck)) throw new SheafError("WRONG_KEY");
}

export type CheckEngineOptions = Work & {
  readonly engine: Engine;
  /** All when left out. */
  readonly shards?: readonly Shard[] | undefined;
};

/** Rejects NO_CLUSTER, WRONG_KEY, CANCELLED, ENGINE_UNAVAILABLE; damage is in the report. */
export async function checkEngine(options: CheckEngineOptions): Promise<Report> {
  const { engine } = options;
  const cluster = await engine.identify();
  if (!cluster) throw new SheafError("NO_CLUSTER");
  const shards = options.shards ?? Array.from({ length: cluster.shards }, (_, shard) => shard);
  const beyond = shards.find((shard) => shard >= cluster.shards);
  if (beyond !== undefined)
    throw new SheafError("NOT_FOUND", `there is no shard ${beyond}: the cluster has ${cluster.shards}`);
  return check(
    options,
    cluster,
    shards.map((shard) => engineSource(engine, options.host, shard)),
  );
}

/** Rejects as `checkEngine`; the manifest was read. */
export async function checkBackup(
  options: Work & { readonly folder: Folder; readonly manifest: Manifest },
): Promise<Report> {
  const { folder, manifest } = options;
  return check(
    options,
    clusterOf(manifest),
    manifest.shards.map((kept) => backupSource(folder, kept)),
  );
}

async function check(work: Work, cluster: Cluster, sources: readonly Source[]): Promise<Report> {
  checkKey(work, cluster);
  const opened = cluster.keyCheck === undefined || work.key !== undefined;
  const meter = meterOf(work, "checking", sources.length);
  const codec = recordCodec({ ...work.host, key: work.key, cluster: cluster.id });
  const findings: Finding[] = [];
  const shards: ShardReport[] = [];
  await forEach(sources, async (source) => {
    const one = new ShardCheck(source, { work, cluster, codec, meter, opened });
    shards.push(await one.run());
    findings.push(...one.findings);
    meter.shardDone();
  });
  const byShard = (a: { shard: Shard }, b: { shard: Shard }): number => a.shard - b.shard;
  return { shards: shards.toSorted(byShard), findings: findings.toSorted(byShard), opened };
}

type Ground = {
  readonly work: Work;
  readonly cluster: Cluster;
  readonly codec: RecordCodec;
  readonly meter: Meter;
  readonly opened: boolean;
};

class ShardCheck {
  readonly findings: Finding[] = [];
  readonly #source: Source;
  readonly #ground: Ground;
  #walk: Walk;
  /** The record that is looked at. */
  #at: Seq = 1;
  /** Hashes of the records that snapshots name. */
  readonly #hashes = new Map<Seq, Uint8Array | undefined>();

  constructor(source: Source, ground: Ground) {
    this.#source = source;
    this.#ground = ground;
    this.#walk = new Walk(ground.codec, ground.opened);
  }

  async run(): Promise<ShardReport> {
    const { shard } = this.#source;
    const names = (await this.#source.snapshots()).toSorted((a, b) => a.seq - b.seq);
    for (const { seq } of names) this.#hashes.set(seq, undefined);
    const agreement = new Agreement(this.#ground.work.host.crypto, names);
    const isWhole = await this.#walkAll(agreement);
    const whole = await this.#checkSnapshots(names, agreement, isWhole);
    const { seq, first = seq + 1, tip, epoch, records, voided, bytes, largest } = this.#walk;
    if (isWhole && first > 1 && !whole.some((name) => name.seq >= first - 1)) {
      // Those that were listed may have been replaced since, and the journal trimmed behind the new ones.
      const later = (await this.#source.snapshots()).filter((name) => !this.#hashes.has(name.seq));
      whole.push(...(await this.#wholeOf(later, false)));
      if (!whole.some((name) => name.seq >= first - 1))
        this.#found(`records before ${first}`, "they were trimmed, and no whole snapshot stands for them");
    }
    const generation = tip?.generation ?? 1;
    return { shard, generation, epoch, first, seq, records, voided, bytes, snapshots: whole.length, largest };
  }

  #found(place: string, says: string): void {
    this.findings.push({ shard: this.#source.shard, place, says, fix: this.#source.fix });
  }

  async #walkAll(agreement: Agreement): Promise<boolean> {
    try {
      for await (const { restart, page } of this.#source.records()) {
        if (restart) {
          this.#walk = new Walk(this.#ground.codec, this.#ground.opened);
          agreement.restart();
        }
        for (const kept of page) this.#follow(kept, agreement);
        this.#ground.meter.add(
          page.length,
          page.reduce((sum, { record }) => sum + record.length, 0),
        );
      }
      const wrong = await this.#source.end(this.#walk);
      if (wrong !== undefined) this.#found("head", wrong);
      return wrong === undefined;
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#found(`record ${this.#at}`, messageOf(error));
      return false;
    }
  }

  #follow(kept: Kept, agreement: Agreement): void {
    if (this.#walk.records === 0) this.#at = kept.seq;
    const followed = this.#walk.next(kept);
    this.#at++;
    if (this.#hashes.has(kept.seq)) this.#hashes.set(kept.seq, followed.hash);
    agreement.record(followed);
  }

  async #checkSnapshots(
    names: readonly SnapshotName[],
    agreement: Agreement,
    isWhole: boolean,
  ): Promise<SnapshotName[]> {
    const whole = await this.#wholeOf(names, isWhole);
    if (!this.#ground.opened || !isWhole) return whole;
    const read = (name: SnapshotName): AsyncIterable<readonly unknown[]> => this.#items(name);
    for (const { name, says } of await agreement.disagreements(whole, this.#walk, read))
      this.#found(`snapshot at ${name.seq}`, says);
    return whole;
  }

  /** `isEnded`: the journal was read to its end, so that no snapshot is of a later record. */
  async #wholeOf(names: readonly SnapshotName[], isEnded: boolean): Promise<SnapshotName[]> {
    const whole: SnapshotName[] = [];
    for (const name of names) {
      const place = `snapshot at ${name.seq}`;
      try {
        await this.#checkSnapshot(name);
        const hash = this.#hashes.get(name.seq);
        if (hash && !bytesEqual(hash, fromHex(name.hash))) this.#found(place, "it is of another journal's record");
        else if (isEnded && name.seq > this.#walk.seq) this.#found(place, "it is of a record behind the journal's end");
        else whole.push(name);
      } catch (error) {
        const isGone = error instanceof SheafError && error.code === "NOT_FOUND";
        if (!isGone && !isDamage(error)) throw error;
        // An older one goes when a newer one was written.
        if (!isGone || (await this.#isListed(name))) this.#found(place, messageOf(error));
      }
    }
    return whole;
  }

  async #isListed(name: SnapshotName): Promise<boolean> {
    return (await this.#source.snapshots()).some(({ seq, hash }) => seq === name.seq && hash === name.hash);
  }

  async #checkSnapshot(name: SnapshotName): Promise<void> {
    const { work, cluster, meter, opened } = this.#ground;
    const { get } = this.#source;
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of get(name)) {
        meter.add(0, chunk.length);
        yield chunk;
      }
    };
    const { hash } = await checkSnapshot({ ...work.host, cluster: cluster.id }, name, counted());
    const end = this.#source.endOf(name);
    if (end !== undefined && end !== toHex(hash))
      throw new SheafError("CORRUPT", "it is another one than was backed up");
    if (opened) for await (const group of this.#items(name)) void group;
  }

  #items(name: SnapshotName): AsyncIterable<readonly unknown[]> {
    const { work, cluster } = this.#ground;
    return decodeSnapshot({ ...work.host, key: work.key, cluster: cluster.id }, name, this.#source.get(name));
  }
}

/** That the key is the cluster's was seen before: what another has encrypted is damage. */
const isDamage = (error: unknown): boolean =>
  error instanceof SheafError && (error.code === "CORRUPT" || error.code === "WRONG_KEY");
