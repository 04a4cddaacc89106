// Whether a record continues a shard's chain. Pure. Everyone who applies records asks here: owner, follower,
// snapshotter, exporter.
//
// C1. Sequences are contiguous, and each record names the hash of the one before it.
// C2. A record whose epoch is below the highest before it is void (F3): part of the chain, counted, never shown.
// C3. A chain stays within its generation until a generation record, which names the one it leaves, goes on in a higher one.

import { bytesEqual, type Epoch, type Generation, type Seq } from "../base/index.ts";
import type { Faults } from "../host/index.ts";
import type { Decoded, Hash, Payload } from "./record.ts";

/** Up to where a chain was followed. */
export type Tip = {
  readonly generation: Generation;
  /** The highest epoch so far: not the last record's when that one was void. */
  readonly epoch: Epoch;
  readonly seq: Seq;
  readonly hash: Hash;
};

export type Verdict =
  /** `tip` is the chain with this record in it. */
  | { readonly kind: "apply"; readonly tip: Tip }
  | { readonly kind: "void"; readonly tip: Tip }
  /** The shard is to be quarantined; `why` is for a person. */
  | { readonly kind: "corrupt"; readonly why: string };

/** The chain before its first record. */
export const noTip: Tip = { generation: 1, epoch: 0, seq: 0, hash: new Uint8Array(32) };

/** What of a record decides whether it continues a chain. */
export type Link = Pick<Decoded, "header" | "hash"> & { readonly payload?: Pick<Payload, "kind"> | undefined };

/** Judges the record that was read next after `tip`. */
export function follow(tip: Tip, record: Link, faults?: Faults): Verdict {
  const { generation, epoch, seq, prev } = record.header;
  const goesOn = record.payload?.kind === "generation" ? generation > tip.generation : generation === tip.generation;
  if (!goesOn)
    return {
      kind: "corrupt",
      why: `record ${seq} is of generation ${generation}, its journal of generation ${tip.generation}`,
    };
  if (seq !== tip.seq + 1) return { kind: "corrupt", why: `record ${seq} follows record ${tip.seq}` };
  if (!bytesEqual(prev, tip.hash))
    return { kind: "corrupt", why: `record ${seq} does not name the hash of record ${tip.seq}` };
  const next = { generation, epoch: Math.max(epoch, tip.epoch), seq, hash: record.hash };
  const stale = epoch < tip.epoch && faults?.mutant("M1") !== true;
  return { kind: stale ? "void" : "apply", tip: next };
}
