// Which consumer of a group should have which shard: whoever knows the same consumers computes the same, as with placement. By rendezvous
// (Thaler & Ravishankar, 1998), and as even as it can be: no two differ by more than one.

import { hash32 } from "../base/index.ts";

/** The consumer of each shard; nobody where there is none. */
export function shareOut(consumers: readonly string[], shards: number): readonly (string | undefined)[] {
  const least = Math.floor(shards / consumers.length);
  let more = shards % consumers.length;
  const load = new Map(consumers.map((name) => [name, 0]));
  return Array.from({ length: shards }, (_, shard) => {
    const ranked = consumers.toSorted((a, b) => score(b, shard) - score(a, shard) || (a < b ? -1 : 1));
    const chosen = ranked.find((name) => load.get(name)! < least + (more > 0 ? 1 : 0));
    if (chosen === undefined) return undefined;
    const now = load.get(chosen)! + 1;
    load.set(chosen, now);
    if (now > least) more--;
    return chosen;
  });
}

const score = (consumer: string, shard: number): number => hash32(consumer, shard);
