// Who may write one shard: the decisions of opening, claiming and doubting, without the doing. Pure.
//
// T1. Every claim raises the epoch by one over the highest ever read from the journal (F2).
// T2. A claim counts only when it has been read back (F2).
// T3. An append that was not plainly durable is decided by what stands at its place in the journal, and by nothing else (F5).
// T4. A fenced owner does not claim again by itself.
// T5. A journal that is behind what was seen of it, or misses what it held, is quarantined (F8).
// T6. A follower applies what owners appended, and appends nothing.

import { bytesEqual, type Epoch, type Generation, type Seq, type Shard, SheafError } from "../base/index.ts";
import type { Hash, Head } from "../journal/index.ts";

export type Tenure =
  | { readonly kind: "closed" }
  | { readonly kind: "opening" }
  | { readonly kind: "serving"; readonly epoch: Epoch }
  /** Owner still, but takes nothing new: what was accepted is made durable, then another may claim. */
  | { readonly kind: "releasing"; readonly epoch: Epoch }
  | { readonly kind: "following" }
  | { readonly kind: "fenced"; readonly by: Epoch }
  | { readonly kind: "quarantined"; readonly error: SheafError };

export type Place = { readonly generation: Generation; readonly epoch: Epoch; readonly seq: Seq };

export const claimEpoch = (highestRead: Epoch): Epoch => highestRead + 1;

/** What stands where an append of ours was meant to go. */
export type Found = { readonly epoch: Epoch; readonly hash: Hash } | undefined;
export type Verdict =
  /** Ours is there: it is durable. */
  | { readonly kind: "applied" }
  /** Another's is there: ours never will be. */
  | { readonly kind: "lost"; readonly to: Epoch }
  /** Nothing is there yet: fill the place with the identical record, and look again. */
  | { readonly kind: "open" };

export function judge(ours: Hash, found: Found): Verdict {
  if (!found) return { kind: "open" };
  return bytesEqual(found.hash, ours) ? { kind: "applied" } : { kind: "lost", to: found.epoch };
}

export type Sight =
  | { readonly kind: "own" }
  | { readonly kind: "foreign"; readonly epoch: Epoch }
  | { readonly kind: "behind" };

/** What a barrier shows an owner that has applied up to `place`. */
export function sight(place: Place, head: Head): Sight {
  if (head.generation !== place.generation || head.seq < place.seq) return { kind: "behind" };
  return head.epoch === place.epoch ? { kind: "own" } : { kind: "foreign", epoch: head.epoch };
}

export type Approach =
  | { readonly kind: "read" }
  /** The local state cannot be continued from the journal: load a snapshot. */
  | { readonly kind: "snapshot" }
  /** The local state is of a generation that an operator has left: it is forgotten, and the journal read anew. */
  | { readonly kind: "left" }
  | { readonly kind: "behind" };

/** How to catch up from a stored place: the journal keeps `first`..`head.seq`. */
export function approach(stored: Place | undefined, first: Seq, head: Head): Approach {
  const seq = stored?.seq ?? 0;
  if (stored && stored.generation < head.generation) return { kind: "left" };
  if (stored && (stored.generation > head.generation || seq > head.seq)) return { kind: "behind" };
  return first > seq + 1 ? { kind: "snapshot" } : { kind: "read" };
}

export const behind = (shard: Shard): SheafError =>
  new SheafError("DATA_ROLLED_BACK", `the journal of shard ${shard} is behind what was seen of it before`, {
    hint: "the engine was restored from an older copy or lost data; do not write to it before you know why",
  });
