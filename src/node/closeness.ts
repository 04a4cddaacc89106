// How closely a node follows a shard, as the shard's owner asks before it hands the shard over: whoever is far behind would
// keep everybody waiting while it catches up.

import { asSheafError, type Millis, SheafError, type Tick } from "../base/index.ts";
import type { Shard } from "../shards/index.ts";

/** What a follower answers. */
type Distance = { readonly generation: number; readonly seq: number; readonly staleMs: Millis };

export const distanceOf = (shard: Shard, now: Tick): Distance => ({
  generation: shard.fold.generation,
  seq: shard.fold.seq,
  staleMs: shard.staleMs(now),
});

export type Behind = { readonly records: number; readonly staleMs: Millis } | { readonly error: SheafError };

/** Records that are caught up with at once: what one look at the journal reads. */
const mostBehind = 512;

/** How far the follower that answered is behind its owner here. One of a release that does not tell is taken as close. */
export function behindBy({ fold }: Shard, answer: unknown): Behind {
  if (typeof answer !== "object" || answer === null) return { records: 0, staleMs: 0 };
  const { generation, seq, staleMs } = answer as Partial<Distance>;
  if (generation !== fold.generation || typeof seq !== "number" || typeof staleMs !== "number")
    return { records: Infinity, staleMs: Infinity };
  return { records: Math.max(0, fold.seq - seq), staleMs };
}

/** Where the closest one stands in the list, of equals the first; undefined when none is close: one that has not reached the
 *  journal's end for `freshMs` may be cut off from it, however little is missing. */
export function closest(found: readonly Behind[], freshMs: Millis): number | undefined {
  let least: number | undefined;
  let records = mostBehind;
  for (const [at, one] of found.entries()) {
    if ("error" in one || one.staleMs > freshMs) continue;
    if (least === undefined ? one.records > records : one.records >= records) continue;
    least = at;
    records = one.records;
  }
  return least;
}

/** Asks these nodes, the one wanted first, and resolves with the closest. Rejects NOT_READY, or why the first could not be
 *  asked, while none follows closely. */
export async function closestOf(
  shard: Shard,
  nodes: readonly string[],
  ask: (node: string) => Promise<unknown>,
  freshMs: Millis,
): Promise<string> {
  const answers = await Promise.allSettled(nodes.map(ask));
  const found = answers.map((answer) =>
    answer.status === "fulfilled" ? behindBy(shard, answer.value) : { error: asSheafError(answer.reason) },
  );
  const least = closest(found, freshMs);
  if (least !== undefined) return nodes[least] as string;
  const [first] = found;
  if (first && "error" in first) throw first.error;
  throw new SheafError("NOT_READY", `shard ${shard.number} is not followed closely by any node that could take it`);
}
