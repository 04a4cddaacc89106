// Where what is checked comes from: an engine that may be in use meanwhile, or a backup.

import { type Seq, type Shard, SheafError, toHex } from "../base/index.ts";
import type { Engine, Entry, SnapshotName } from "../journal/index.ts";
import type { Folder } from "./folder.ts";
import { entriesIn, type Kept } from "./journal-file.ts";
import { type KeptShard, type KeptSnapshot, snapshotName, useAnother } from "./manifest.ts";
import { pageWith } from "./page.ts";
import type { Work } from "./pool.ts";
import type { Walk } from "./walk.ts";

/** What is kept of one shard. */
export type Source = {
  readonly shard: Shard;
  /** Pages of its records; `restart` when the next ones do not follow, since those between were trimmed meanwhile. */
  records(): AsyncIterable<{ readonly restart: boolean; readonly page: readonly Kept[] }>;
  /** Where it must end, once it was read. */
  end(walk: Walk): Promise<string | undefined>;
  snapshots(): Promise<readonly SnapshotName[]>;
  get(name: SnapshotName): AsyncIterable<Uint8Array>;
  /** The end that a snapshot must have, where that is known. */
  endOf(name: SnapshotName): string | undefined;
  /** Of a damaged record or snapshot. */
  readonly fix: string;
};

export function engineSource(engine: Engine, host: Work["host"], shard: Shard): Source {
  let head: Seq = 0;
  async function* records(): ReturnType<Source["records"]> {
    const [now] = await engine.barrier([shard]);
    head = now?.seq ?? 0;
    for (let next = 1; next <= head;) {
      const { entries } = await pageWith(engine, host, shard, next);
      const from = (entries[0] as Entry).seq;
      yield { restart: next > 1 && from > next, page: entries };
      next = (entries.at(-1) as Entry).seq + 1;
    }
  }
  return {
    shard,
    records,
    async end(walk) {
      if (walk.seq < head) return `the journal ends at ${walk.seq}, and the engine says at ${head}`;
      const [now] = await engine.barrier([shard]);
      if (!now || !walk.tip || now.seq !== walk.seq) return undefined; // It has grown since.
      if (now.generation !== walk.tip.generation || now.epoch !== walk.epoch)
        return `the engine says generation ${now.generation}, epoch ${now.epoch}; the last record says ${walk.tip.generation}, ${walk.epoch}`;
      return undefined;
    },
    snapshots: () => engine.snapshots.list(shard),
    get: (name) => engine.snapshots.get(name),
    endOf: () => undefined,
    fix: "keep the engine as it is, and restore the last backup that is whole into an empty one",
  };
}

export function backupSource(folder: Folder, shardKept: KeptShard): Source {
  const { shard, file, first } = shardKept;
  const kept = (name: SnapshotName): KeptSnapshot | undefined =>
    shardKept.snapshots.find(({ seq, hash }) => seq === name.seq && hash === name.hash);
  async function* records(): ReturnType<Source["records"]> {
    if (file === undefined) return;
    for await (const page of entriesIn(found(folder, file), shard, first)) yield { restart: false, page };
  }
  return {
    shard,
    records,
    async end({ seq, tip }) {
      if (seq !== shardKept.seq && (tip || shardKept.file !== undefined))
        return `it ends at ${seq}, the manifest says at ${shardKept.seq}`;
      return tip && toHex(tip.hash) !== shardKept.hash
        ? "its last record is not the one that was backed up"
        : undefined;
    },
    snapshots: () => Promise.resolve(shardKept.snapshots.map((one) => snapshotName(shard, one))),
    get: (name) => found(folder, kept(name)?.file ?? ""),
    endOf: (name) => kept(name)?.end,
    fix: useAnother,
  };
}

/** A file of the backup that is not there is damage, not an address that does not exist. */
async function* found(folder: Folder, name: string): AsyncGenerator<Uint8Array> {
  try {
    yield* folder.read(name);
  } catch (error) {
    if (!(error instanceof SheafError) || error.code !== "NOT_FOUND") throw error;
    throw new SheafError("CORRUPT", `the file ${name} is missing`);
  }
}
