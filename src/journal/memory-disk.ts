// What a memory engine's handles share: the "machine" that keeps the journals. It outlives every node, and can lose
// power, be set back to an older copy, or rot, as real ones do.
//
// D1. A write is durable before anyone can see it or hear of it, as with a database that syncs its log on commit. Only a
//     disk made with `acknowledgeUnsynced` breaks this, on purpose.
// D2. Entries of a shard are contiguous from `first` to the head.

import { defaultLimits, invariant, type Seq, type Shard, SheafError } from "../base/index.ts";
import type {
  Append,
  AppendResult,
  Ask,
  Cluster,
  Entry,
  Head,
  Page,
  Restoration,
  SnapshotName,
  Snapshots,
} from "./engine.ts";
import { MemoryRegistry } from "./memory-registry.ts";
import { checkContinues, unfinishedRestoration } from "./restoration.ts";
import { hasNews, maxPageBytes } from "./tail.ts";

export type MemoryDiskOptions = {
  readonly maxRecordBytes?: number | undefined;
  /** A dishonest disk: answers durable, and is so only at the next `sync`. For tests that must notice. */
  readonly acknowledgeUnsynced?: boolean | undefined;
};

export type MemoryDisk = {
  readonly maxRecordBytes: number;
  /** Power is lost: requests that have not arrived never will, their senders hear nothing, and with `loseUnsynced` the
   *  registry is empty and all writes not yet durable are gone but for the oldest `keep` of them (a log loses its end).
   *  Returns how many. */
  crash(loss: { readonly loseUnsynced: boolean; readonly keep?: number }): number;
  /** Makes all writes so far durable. An honest disk did that itself. */
  sync(): void;
  /** A copy of everything, to `restore` later: an engine rolled back behind its nodes' backs (F8). */
  copy(): MemoryCopy;
  restore(copy: MemoryCopy): void;
  /** Flips one bit of a stored record. */
  rot(shard: Shard, seq: Seq, bit: number): void;
  /** Total of records kept, for bounds in tests. */
  entryCount(): number;
  /** For engine handles of this folder only. */
  readonly inside: Inside;
};

export type MemoryCopy = {
  readonly cluster: Cluster | undefined;
  readonly journals: ReadonlyMap<Shard, Journal>;
  readonly snapshots: ReadonlyMap<string, Snapshot>;
  readonly registry: MemoryRegistry;
};

/** One shard's journal. */
type Journal = { head: Head; readonly entries: Stored[] };
type Stored = Entry & { readonly write: number };
type Snapshot = { readonly name: SnapshotName; readonly chunks: readonly Uint8Array[] };

/** The disk as handles use it. Every call is atomic and immediate; waiting and lying are the engine's part. */
export type Inside = {
  /** Counts power losses: a request that began before one must not act after it. */
  life(): number;
  identify(): Cluster | undefined;
  create(cluster: Cluster): void;
  /** As `Engine.restore`; snapshots are put by `put`. */
  restore(cluster: Cluster, again: boolean, put: Snapshots["put"]): Restoration;
  /** `byExpectedOnly` forgets the epoch, as engines do that fence by sequence alone. */
  append(one: Append, byExpectedOnly?: boolean): AppendResult;
  head(shard: Shard): Head;
  /** `behind` shows the journal as it was that many entries ago. */
  read(shard: Shard, from: Seq, limit: number, behind: number): Page;
  tail(asks: readonly Ask[], limit: number, behind: number): readonly Page[];
  /** Calls `onGrown` at once for each entry stored, until the returned function is called. */
  watch(onGrown: (shard: Shard) => void): () => void;
  trim(shard: Shard, through: Seq): void;
  putSnapshot(name: SnapshotName, chunks: readonly Uint8Array[]): void;
  getSnapshot(name: SnapshotName): readonly Uint8Array[];
  listSnapshots(shard: Shard): readonly SnapshotName[];
  deleteSnapshot(name: SnapshotName): void;
  registry(): MemoryRegistry;
};

const emptyJournal = (shard: Shard): Journal => ({ head: { shard, generation: 1, epoch: 0, seq: 0 }, entries: [] });
const nameOf = (n: SnapshotName): string => `${n.shard} ${n.generation} ${n.epoch} ${n.seq} ${n.hash}`;
const newestFirst = (a: SnapshotName, b: SnapshotName): number =>
  b.generation - a.generation || b.seq - a.seq || b.epoch - a.epoch;

/** Everything a disk holds. Writes are numbered; those up to `synced` are durable. */
type Kept = {
  readonly maxRecordBytes: number;
  readonly syncsItself: boolean;
  cluster: Cluster | undefined;
  /** The cluster that is being filled in; another object for each attempt. */
  restoring: Cluster | undefined;
  journals: Map<Shard, Journal>;
  snapshots: Map<string, Snapshot>;
  registry: MemoryRegistry;
  readonly watchers: Set<(shard: Shard) => void>;
  life: number;
  writes: number;
  synced: number;
};

export function memoryDisk(options: MemoryDiskOptions = {}): MemoryDisk {
  const kept: Kept = {
    maxRecordBytes: options.maxRecordBytes ?? defaultLimits.maxRecordBytes,
    syncsItself: options.acknowledgeUnsynced !== true,
    cluster: undefined,
    restoring: undefined,
    journals: new Map(),
    snapshots: new Map(),
    registry: new MemoryRegistry(),
    watchers: new Set(),
    life: 0,
    writes: 0,
    synced: 0,
  };
  return {
    maxRecordBytes: kept.maxRecordBytes,
    inside: insideOf(kept),
    crash({ loseUnsynced, keep = 0 }) {
      kept.life++;
      const last = loseUnsynced ? Math.min(kept.writes, kept.synced + keep) : kept.writes;
      const lost = kept.writes - last;
      if (lost > 0) for (const journal of kept.journals.values()) cutAfterWrite(journal, last);
      kept.writes = last;
      kept.synced = last;
      if (loseUnsynced) kept.registry = new MemoryRegistry();
      return lost;
    },
    sync: () => sync(kept),
    copy: () => ({
      cluster: kept.cluster,
      journals: copyOf(kept.journals),
      snapshots: new Map(kept.snapshots),
      registry: kept.registry.copy(),
    }),
    restore(copy) {
      kept.life++;
      kept.cluster = copy.cluster;
      kept.journals = copyOf(copy.journals);
      kept.snapshots = new Map(copy.snapshots);
      kept.registry = copy.registry.copy();
    },
    rot(shard, seq, bit) {
      const { entries } = journalOf(kept, shard);
      const index = entries.findIndex((entry) => entry.seq === seq);
      const entry = entries[index];
      if (entry === undefined) throw new SheafError("NOT_FOUND", `shard ${shard} keeps no record ${seq}`);
      const record = entry.record.slice();
      record[bit >> 3]! ^= 1 << (bit & 7);
      entries[index] = { ...entry, record };
    },
    entryCount: () => [...kept.journals.values()].reduce((sum, journal) => sum + journal.entries.length, 0),
  };
}

function insideOf(kept: Kept): Inside {
  return {
    life: () => kept.life,
    identify() {
      if (kept.restoring) throw unfinishedRestoration("this engine", kept.restoring.name);
      return kept.cluster;
    },
    create(given) {
      needEmpty(kept, false);
      kept.cluster = structuredClone(given);
    },
    restore(given, again, put) {
      needEmpty(kept, again);
      empty(kept);
      const mine = structuredClone(given);
      kept.restoring = mine;
      return restoration(kept, mine, put);
    },
    append: (one, byExpectedOnly = false) => append(kept, one, byExpectedOnly),
    head: (shard) => journalOf(kept, shard).head,
    read: (shard, from, limit, behind) => page(journalOf(kept, shard), from, limit, behind),
    tail: (asks, limit, behind) => tail(kept, asks, limit, behind),
    watch(onGrown) {
      kept.watchers.add(onGrown);
      return () => void kept.watchers.delete(onGrown);
    },
    trim(shard, through) {
      const { head, entries } = journalOf(kept, shard);
      const end = Math.min(through, head.seq - 1);
      entries.splice(0, Math.max(0, end + 1 - (entries[0]?.seq ?? end + 1)));
      sync(kept);
    },
    putSnapshot: (name, chunks) => void kept.snapshots.set(nameOf(name), { name: { ...name }, chunks }),
    getSnapshot(name) {
      const found = kept.snapshots.get(nameOf(name));
      if (found === undefined) throw new SheafError("NOT_FOUND", `there is no snapshot ${nameOf(name)}`);
      return found.chunks;
    },
    listSnapshots: (shard) =>
      [...kept.snapshots.values()].flatMap(({ name }) => (name.shard === shard ? [name] : [])).toSorted(newestFirst),
    deleteSnapshot: (name) => void kept.snapshots.delete(nameOf(name)),
    registry: () => kept.registry,
  };
}

function needEmpty({ cluster, restoring }: Kept, again: boolean): void {
  if (restoring && !again) throw unfinishedRestoration("this engine", restoring.name);
  if (cluster) throw new SheafError("WRONG_CLUSTER", `this engine holds the cluster ${cluster.name} (${cluster.id})`);
}

function empty(kept: Kept): void {
  kept.restoring = undefined;
  kept.journals = new Map();
  kept.snapshots = new Map();
}

function restoration(kept: Kept, mine: Cluster, put: Snapshots["put"]): Restoration {
  const needMine = (): void => {
    if (kept.restoring !== mine) throw new SheafError("IN_USE", "another restoration has taken this one's place");
  };
  return {
    async load(shard, generation, entries) {
      needMine();
      const last = entries.at(-1);
      if (!last) return;
      const journal = journalOf(kept, shard);
      checkContinues(journal.head, entries);
      for (const { seq, epoch, record } of entries)
        journal.entries.push({ shard, seq, epoch, record: record.slice(), write: ++kept.writes });
      journal.head = { shard, generation, epoch: last.epoch, seq: last.seq };
    },
    async put(name, chunks) {
      needMine();
      await put(name, chunks);
    },
    async finish() {
      needMine();
      kept.cluster = mine;
      kept.restoring = undefined;
      sync(kept);
    },
    async abandon() {
      needMine();
      empty(kept);
    },
  };
}

function sync(kept: Kept): void {
  kept.synced = kept.writes;
}

function journalOf(kept: Kept, shard: Shard): Journal {
  let found = kept.journals.get(shard);
  if (found === undefined) kept.journals.set(shard, (found = emptyJournal(shard)));
  return found;
}

function append(kept: Kept, one: Append, byExpectedOnly: boolean): AppendResult {
  const { length } = one.record;
  if (length > kept.maxRecordBytes)
    return {
      kind: "refused",
      error: new SheafError("TOO_LARGE", `a record of ${length} bytes is over ${kept.maxRecordBytes}`),
    };
  const journal = journalOf(kept, one.shard);
  const { head } = journal;
  const epochFits = byExpectedOnly || one.epoch >= head.epoch;
  if (head.generation !== one.generation || head.seq !== one.expected || !epochFits) return { kind: "fenced" };
  const seq = one.expected + 1;
  journal.entries.push({
    shard: one.shard,
    seq,
    epoch: one.epoch,
    record: new Uint8Array(one.record),
    write: ++kept.writes,
  });
  journal.head = { ...head, epoch: one.epoch, seq };
  if (kept.syncsItself) sync(kept);
  for (const onGrown of kept.watchers) onGrown(one.shard);
  return { kind: "durable" };
}

function tail(kept: Kept, asks: readonly Ask[], limit: number, behind: number): readonly Page[] {
  const pages: Page[] = [];
  let room = maxPageBytes;
  for (const { shard, from } of asks) {
    const found = page(journalOf(kept, shard), from, limit, behind, room);
    const { entries } = found;
    const bytes = entries.reduce((sum, { record }) => sum + record.length, 0);
    if (bytes > room && room < maxPageBytes) break;
    room -= bytes;
    if (hasNews(from, found)) pages.push(found);
  }
  return pages;
}

function page({ head, entries }: Journal, from: Seq, limit: number, behind: number, room = maxPageBytes): Page {
  const first = entries[0]?.seq ?? head.seq + 1;
  const last = behind === 0 ? head.seq : Math.max(first, head.seq - behind);
  const found: Entry[] = [];
  let bytes = 0;
  for (let i = Math.max(0, from - first); i < entries.length && found.length < limit; i++) {
    const { shard, seq, epoch, record } = entries[i]!;
    if (seq > last || (found.length > 0 && bytes + record.length > room)) break;
    bytes += record.length;
    found.push({ shard, seq, epoch, record: record.slice() });
  }
  return {
    entries: found,
    first,
    head: { ...head, seq: Math.min(head.seq, last), epoch: entries[last - first]?.epoch ?? head.epoch },
  };
}

/** Takes the entries of later writes away. Trimming syncs, so what was trimmed was never among them. */
function cutAfterWrite(journal: Journal, last: number): void {
  const { head, entries } = journal;
  while (entries.length > 0 && entries.at(-1)!.write > last) {
    const { seq } = entries.pop()!;
    invariant(entries.length > 0 || seq === 1, "an entry that was trimmed behind was durable");
  }
  journal.head = { ...head, epoch: entries.at(-1)?.epoch ?? 0, seq: entries.at(-1)?.seq ?? 0 };
}

const copyOf = (journals: ReadonlyMap<Shard, Journal>): Map<Shard, Journal> =>
  new Map([...journals].map(([shard, { head, entries }]) => [shard, { head, entries: [...entries] }]));
