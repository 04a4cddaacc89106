// How far journals were seen: positions in several shards as one flat, sorted list. They are joined and compared for every
// command of a session, so there is no object per entry, and nothing is copied where nothing is new.

import type { Generation, Seq, Shard } from "./units.ts";

/** Shard, generation and sequence of each entry, one after another, by rising shard and then generation. Never changed once
 *  made. Of one shard there may be an entry for each generation: whether a later one holds all of an earlier one, only
 *  somebody can tell who has the journal and knows where the earlier ended. */
export type Seen = readonly number[];

/** Whether all up to this place of a shard's generation is there. */
type IsThere = (generation: Generation, seq: Seq) => boolean;

export const nothingSeen: Seen = [];

/** Was nothing of this shard seen that is not there? */
export function isThereOf(seen: Seen, shard: Shard, isThere: IsThere): boolean {
  for (let i = 0; i < seen.length && seen[i]! <= shard; i += 3)
    if (seen[i] === shard && !isThere(seen[i + 1]!, seen[i + 2]!)) return false;
  return true;
}

/** What somebody has seen who has seen both: `a` or `b` itself where it holds all of the other. */
export function joinSeen(a: Seen, b: Seen): Seen {
  if (holds(a, b)) return a;
  if (holds(b, a)) return b;
  const joined: number[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const first = i < a.length ? order(a, i, b, j) : 1;
    const [from, at] = first < 0 || (first === 0 && a[i + 2]! >= b[j + 2]!) ? [a, i] : [b, j];
    joined.push(from[at]!, from[at + 1]!, from[at + 2]!);
    if (first <= 0) i += 3;
    if (first >= 0) j += 3;
  }
  return joined;
}

/** Without the entries of a shard's earlier generations that are there, so that its latest holds them. */
export function withoutHeld(seen: Seen, shard: Shard, isThere: IsThere): Seen {
  const isHeld = (i: number): boolean =>
    seen[i] === shard && seen[i + 3] === shard && isThere(seen[i + 1]!, seen[i + 2]!);
  return where(seen, (i) => !isHeld(i));
}

/** Of each shard only the latest generation, and none before `since`. */
export const latestSeen = (seen: Seen, since: Generation): Seen =>
  where(seen, (i) => seen[i] !== seen[i + 3] && seen[i + 1]! >= since);

/** `seen` itself where it keeps all. */
function where(seen: Seen, keeps: (i: number) => boolean): Seen {
  let kept: number[] | undefined;
  for (let i = 0; i < seen.length; i += 3) {
    if (!keeps(i)) kept ??= seen.slice(0, i);
    else kept?.push(seen[i]!, seen[i + 1]!, seen[i + 2]!);
  }
  return kept ?? seen;
}

/** What of `seen` goes beyond `floor`, the entry of shard `own` left out. Of each shard both have one entry at most. */
export function seenBeyond(seen: Seen, floor: Seen, own: Shard): Seen {
  const beyond: number[] = [];
  for (let i = 0, j = 0; i < seen.length; i += 3) {
    const shard = seen[i]!;
    while (j < floor.length && floor[j]! < shard) j += 3;
    if (shard === own || (floor[j] === shard && reaches(floor, j, seen, i))) continue;
    beyond.push(shard, seen[i + 1]!, seen[i + 2]!);
  }
  return beyond;
}

function holds(a: Seen, b: Seen): boolean {
  if (a === b) return true;
  if (b.length > a.length) return false;
  for (let i = 0, j = 0; j < b.length; i += 3, j += 3) {
    while (i < a.length && order(a, i, b, j) < 0) i += 3;
    if (i >= a.length || order(a, i, b, j) !== 0 || a[i + 2]! < b[j + 2]!) return false;
  }
  return true;
}

/** Below zero where the entry of `a` at `i` comes before that of `b` at `j`, zero where both are of one generation of a shard. */
const order = (a: Seen, i: number, b: Seen, j: number): number =>
  j >= b.length ? -1 : a[i]! - b[j]! || a[i + 1]! - b[j + 1]!;

/** Is the entry of `a` at `i` as far as that of `b` at `j`, of the same shard? */
const reaches = (a: Seen, i: number, b: Seen, j: number): boolean =>
  a[i + 1]! > b[j + 1]! || (a[i + 1] === b[j + 1] && a[i + 2]! >= b[j + 2]!);
