// A node's local materialised state: a cache of the journal's fold, so that state may exceed memory and a restart only
// replays what it missed. Never the truth: it may be thrown away at any time and is rebuilt from snapshot and journal.
//
// S1. `save` is atomic: cells, operations and position change together, or not at all.
// S2. A position is only ever that of an applied, durable record.

import type { Epoch, Generation, Instant, Seq, Shard, Version } from "../base/index.ts";

/** One entity's committed state. */
export type Cell = {
  readonly type: string;
  readonly key: string;
  readonly version: Version;
  /** Version of the state's schema. */
  readonly schema: number;
  /** msgpack. */
  readonly state: Uint8Array;
};

/** A remembered operation (F7). With an id that begins with "~": something still to be done (agenda.ts), in `reply`. */
export type SavedOp = {
  readonly id: string;
  readonly seq: Seq;
  readonly at: Instant;
  readonly issuedAt: Instant | undefined;
  readonly fingerprint: Uint8Array;
  readonly reply: Uint8Array;
  readonly version: Version;
};

/** Up to which record a shard's stored state is folded. `extra` is msgpack of small things the shard keeps besides. */
export type Position = {
  readonly generation: Generation;
  readonly epoch: Epoch;
  readonly seq: Seq;
  /** Hash of the record at `seq`. */
  readonly hash: Uint8Array;
  readonly at: Instant;
  readonly extra: Uint8Array;
};

/** Changes of one shard since the last save, folded: the last cell of a key only. */
export type Changes = {
  readonly shard: Shard;
  readonly position: Position;
  readonly cells: readonly Cell[];
  readonly ops: readonly SavedOp[];
  /** Ids of operations to forget: ones saved before, never also in `ops`. */
  readonly forgetOps: readonly string[];
  /** Cells to forget: those of the type whose keys come before `below`. Never also in `cells`. */
  readonly trims?: readonly { readonly type: string; readonly below: string }[] | undefined;
};

/** A consistent image of one shard at its stored position, streamed. */
export type Image = {
  readonly position: Position;
  readonly cells: AsyncIterable<readonly Cell[]>;
  readonly ops: AsyncIterable<readonly SavedOp[]>;
};

export interface Store {
  /** The stored position of a shard, or undefined when nothing of it is stored. */
  position(shard: Shard): Promise<Position | undefined>;
  cell(shard: Shard, type: string, key: string): Promise<Cell | undefined>;
  /** All remembered operations of a shard, oldest first. */
  ops(shard: Shard): Promise<readonly SavedOp[]>;
  /** Saves several shards' changes. */
  save(changes: readonly Changes[]): Promise<void>;
  /** Forgets everything of a shard. */
  clear(shard: Shard): Promise<void>;
  /** A consistent image at the stored position, unaffected by later saves; undefined when nothing is stored. */
  image(shard: Shard): Promise<Image | undefined>;
  /** Cells of one type whose key starts with `prefix`, in key order after `after`: of that shard, or of all of this node. */
  search(
    type: string,
    prefix: string,
    after: string | undefined,
    limit: number,
    shard?: Shard,
  ): Promise<readonly Cell[]>;
  close(): Promise<void>;
}
