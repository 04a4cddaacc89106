// How far journals were seen: positions in several shards as one flat, sorted list. They are joined and compared for every
// command of a session, so there is no object per entry, and nothing is copied where nothing is new.

import type { Generation, Seq, Shard } from "./units.ts";

/** Shard, generation and sequence of each entry, one after another, by rising shard. Never changed once made. */
export type Seen = readonly number[];

export const nothingSeen: Seen = [];

/** Up to where a shard was seen; undefined when nothing of it was. */
export function positionIn(
  seen: Seen,
  shard: Shard,
): { readonly generation: Generation; readonly seq: Seq } | undefined {
  for (let i = 0; i < seen.length && seen[i]! <= shard; i += 3)
    if (seen[i] === shard) return { generation: seen[i + 1]!, seq: seen[i + 2]! };
  return undefined;
}

/** What somebody has seen who has seen both: `a` or `b` itself where it holds all of the other. */
export function joinSeen(a: Seen, b: Seen): Seen {
  if (holds(a, b)) return a;
  if (holds(b, a)) return b;
  const joined: number[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const first = a[i] ?? Infinity;
    const other = b[j] ?? Infinity;
    const fromA = first < other || (first === other && reaches(a, i, b, j));
    const [from, at] = fromA ? [a, i] : [b, j];
    joined.push(from[at]!, from[at + 1]!, from[at + 2]!);
    if (first <= other) i += 3;
    if (other <= first) j += 3;
  }
  return joined;
}

/** What of `seen` goes beyond `floor`, the entry of shard `own` left out. */
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
    while (i < a.length && a[i]! < b[j]!) i += 3;
    if (a[i] !== b[j] || !reaches(a, i, b, j)) return false;
  }
  return true;
}

/** Is the entry of `a` at `i` as far as that of `b` at `j`, of the same shard? */
const reaches = (a: Seen, i: number, b: Seen, j: number): boolean =>
  a[i + 1]! > b[j + 1]! || (a[i + 1] === b[j + 1] && a[i + 2]! >= b[j + 2]!);
