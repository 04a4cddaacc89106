// The engine contract: where journals are stored. What a record means is journal's own affair (record.ts); an engine
// keeps opaque bytes per shard under compare-and-set. Every engine passes the kit in contract.ts.

import type { Apart, Epoch, Generation, Instant, Seq, Shard } from "../base/index.ts";

/** The last record of one shard's journal. A shard that was never claimed has generation 1, epoch 0, seq 0. */
export type Head = { readonly shard: Shard; readonly generation: Generation; readonly epoch: Epoch; readonly seq: Seq };

/** One batch for one shard: stored at `expected + 1` if the head is exactly `(generation, seq = expected)` and its
 *  epoch is not above `epoch`. A claim is an append whose epoch is above the head's. */
export type Append = {
  readonly shard: Shard;
  readonly generation: Generation;
  readonly epoch: Epoch;
  readonly expected: Seq;
  readonly record: Uint8Array;
};

/** `durable`: survives what the engine promises to survive. `fenced`: the head was not as expected; not stored by this
 *  request, but may be the engine meeting its own first copy (F5): read to find out. `unknown`: may or may not be stored,
 *  now or later. `refused`: certainly not stored, nor later; `error` is why (full disk, too large). */
export type AppendResult =
  | { readonly kind: "durable" }
  | { readonly kind: "fenced" }
  | { readonly kind: "unknown"; readonly error: unknown }
  | { readonly kind: "refused"; readonly error: unknown };

export type Entry = { readonly shard: Shard; readonly seq: Seq; readonly epoch: Epoch; readonly record: Uint8Array };

/** What a read found: entries from `from` on, in order, at most `limit`; `first` is the lowest sequence still kept
 *  (head.seq + 1 when none is); `head` as of the read. */
export type Page = { readonly entries: readonly Entry[]; readonly first: Seq; readonly head: Head };

/** Where one shard is read from. */
export type Ask = { readonly shard: Shard; readonly from: Seq };

/** Identity of a cluster, written once when it is created. */
export type Cluster = {
  /** 32 hexadecimal digits, random. */
  readonly id: string;
  readonly name: string;
  readonly shards: number;
  readonly createdAt: Instant;
  /** Entities that are kept in shards of their own; absent when none are. */
  readonly apart?: readonly Apart[] | undefined;
  /** Proves an encryption key without revealing it; undefined when the cluster is not encrypted. */
  readonly keyCheck?: Uint8Array | undefined;
};

export type SnapshotName = {
  readonly shard: Shard;
  readonly generation: Generation;
  readonly epoch: Epoch;
  readonly seq: Seq;
  /** Hash of the record at `seq`, 64 hexadecimal digits. */
  readonly hash: string;
};

/** Blobs in chunks. A snapshot is listed only when it was put whole and is durable. */
export interface Snapshots {
  /** Replaces a snapshot of the same name. Rejects, listing nothing, when the source rejects or the engine fails. */
  put(name: SnapshotName, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void>;
  /** The chunks in the order they were put. Rejects NOT_FOUND when there is no such snapshot. */
  get(name: SnapshotName): AsyncIterable<Uint8Array>;
  /** Newest (highest generation, then sequence) first. */
  list(shard: Shard): Promise<readonly SnapshotName[]>;
  delete(name: SnapshotName): Promise<void>;
}

/** What members of a cluster say of themselves. Small, and neither durable nor linearizable: hints of who may be there.
 *  A key is 1 to 200 of the characters a-z, 0-9, `-`, `.` and `_`: anything else is refused with BAD_INPUT. */
export interface Registry {
  /** Replaces what stood under the key, and has looks tell it. Rejects TOO_LARGE for a value over 8 KiB. */
  put(key: string, value: Uint8Array): Promise<void>;
  /** Replaces what was put under the key, and tells it only those who ask for the key. Does nothing that a look would show where
   *  nothing was put, or the engine has forgotten it: whoever does not find the own key puts it again. Rejects as `put`. */
  renew(key: string, value: Uint8Array): Promise<void>;
  /** Removes it; nothing happens when it is not there. */
  delete(key: string): Promise<void>;
  /** All that is there; may be a little old. */
  list(): Promise<ReadonlyMap<string, Uint8Array>>;
  /** What was put since an earlier look, and what stands under those keys: its cost grows with these alone. Without the cursor
   *  of an earlier look, or with one that the engine no longer knows, it tells all. A deletion shows as a key that is not
   *  found. May be a little old, and tell twice what was told before. */
  look(since: string | undefined, keys: readonly string[]): Promise<RegistryLook>;
}

export type RegistryLook = {
  /** For the next look. */
  readonly cursor: string;
  /** What was put, as it was put or as it was renewed since. */
  readonly told: ReadonlyMap<string, Uint8Array>;
  /** Of the keys asked for, those under which something was put, as it is now. */
  readonly found: ReadonlyMap<string, Uint8Array>;
};

/** An engine that is being filled with a cluster that was kept elsewhere. Until `finish` has resolved nobody finds the cluster
 *  there, whatever dies: `identify` and `create` reject ENGINE_REFUSED. Nothing else is asked of that engine meanwhile. */
export interface Restoration {
  /** Adds entries of one shard behind those that it has; the first of all may have any sequence. `generation` is that of the
   *  last one. One call of a shard at a time; at most about 8 MiB. Rejects CORRUPT when they do not continue what is there. */
  load(shard: Shard, generation: Generation, entries: readonly Entry[]): Promise<void>;
  readonly put: Snapshots["put"];
  /** From now on the engine holds the cluster. Everything is durable when it resolves. */
  finish(): Promise<void>;
  /** Removes all that was filled in: the engine is empty again. */
  abandon(): Promise<void>;
}

export interface Engine {
  /** Short name for people: "memory", "embedded", "postgres", "nats". */
  readonly name: string;
  /** A record over this is `refused` with TOO_LARGE. */
  readonly maxRecordBytes: number;
  /** The cluster this engine holds, or undefined when it holds none. Rejects CORRUPT or ENGINE_REFUSED by name. */
  identify(): Promise<Cluster | undefined>;
  /** Creates the cluster on an empty engine. Rejects WRONG_CLUSTER when it holds one already. Durable when it resolves. */
  create(cluster: Cluster): Promise<void>;
  /** Begins to fill an empty engine. Rejects WRONG_CLUSTER when it holds a cluster, and ENGINE_REFUSED when it holds an
   *  unfinished restoration, unless `again` says to remove that first: whoever was at it then can neither go on nor finish. */
  restore(cluster: Cluster, again?: boolean): Promise<Restoration>;
  /** Appends many shards' batches in one round trip, at most one per shard, sorted by shard. Each is durable, fenced,
   *  refused or unknown; never half of one. Shards are independent: a fenced one fails alone, and nothing may rely on
   *  atomicity across shards. Results are in the order given. Never rejects. */
  append(batch: readonly Append[]): Promise<readonly AppendResult[]>;
  /** A linearizable look at heads, started after the call. In the order asked. Rejects when it cannot be had. */
  barrier(shards: readonly Shard[]): Promise<readonly Head[]>;
  /** Entries with sequence ≥ `from`, at most `limit` (and at most about 8 MiB). */
  read(shard: Shard, from: Seq, limit: number): Promise<Page>;
  /** `read` for many shards, each asked once, in one round trip. A page for each ask that has news (`hasNews`), in the order
   *  asked; shards without news are left out. At most `limit` entries per shard and about 8 MiB in all: a page may be cut
   *  short, and shards after it left out, but the first that has entries shows one at least. A page without entries whose
   *  head is not below `from` is of a shard that cannot be read: `read` says why. May be a little old, as a read may:
   *  before a head is believed to have fallen a `barrier` is asked. Rejects when it cannot be had. */
  tail(asks: readonly Ask[], limit: number): Promise<readonly Page[]>;
  /** Calls `onGrown` soon after journals have grown, whichever process appended: a hint that may be late, lost, repeated or
   *  false, so whoever follows polls as well. `undefined`: any shard. Returns how to end it; closing the engine ends it too. */
  watch(onGrown: (shards: readonly Shard[] | undefined) => void): () => void;
  /** Deletes entries with sequence ≤ `through`, never the last one. */
  trim(shard: Shard, through: Seq): Promise<void>;
  readonly snapshots: Snapshots;
  readonly registry: Registry;
  /** Facts for `doctor` and `status`: settings, sizes, measured sync latency. */
  describe(): Promise<Readonly<Record<string, string | number | boolean>>>;
  /** Waits for appends under way, then releases everything. */
  close(): Promise<void>;
}
