// What all nodes of a cluster tell together, each of the shards that it serves.

import type { Found } from "../admin/index.ts";
import { asSheafError, type Shard as ShardNumber } from "../base/index.ts";
import type { Shard } from "../shards/index.ts";
import type { Parts } from "./parts.ts";

/** What one node knows of the shards that it serves. */
export type Part<T> = { readonly items: readonly T[]; readonly shards: readonly ShardNumber[] };

/** All parts together. `silent`: why nodes that were asked, too, gave none. What nobody spoke for is named. */
export function foundIn<T>({ shards }: Parts, parts: readonly Part<T>[], silent: readonly string[]): Found<T> {
  const spokenFor = new Set(parts.flatMap((part) => part.shards));
  const missing = shards.all.map(({ number }) => number).filter((number) => !spokenFor.has(number));
  const items = parts.flatMap((part) => part.items);
  if (missing.length === 0) return { items, warnings: [] };
  const why = silent.length > 0 ? silent.join("; ") : "nobody serves that at the moment";
  const first = missing.slice(0, 8).join(", ");
  const named =
    missing.length > 8 ? `${missing.length} shards (${first}, …)` : `shard${missing.length > 1 ? "s" : ""} ${first}`;
  return { items, warnings: [`what is in ${named} is missing: ${why}`] };
}

/** The same, with something made of the items. */
export const mapped = <T, R>({ items, warnings }: Found<T>, make: (items: readonly T[]) => readonly R[]): Found<R> => ({
  items: make(items),
  warnings,
});

export const servedHere = ({ shards }: Parts): ShardNumber[] =>
  shards.all.filter(({ held }) => held !== undefined).map(({ number }) => number);

/** What `ask` says of each shard that is served here; one that goes elsewhere meanwhile is not spoken for. */
export async function each<T>(parts: Parts, ask: (shard: Shard) => Promise<readonly T[]>): Promise<Part<T>> {
  const served = new Set(servedHere(parts));
  const lost = new Set<ShardNumber>();
  const said = await Promise.all(
    parts.shards.all
      .filter(({ number }) => served.has(number))
      .map(async (shard) => {
        try {
          return await ask(shard);
        } catch (error) {
          if (asSheafError(error).code !== "NOT_OWNER") throw error;
          lost.add(shard.number);
          return [];
        }
      }),
  );
  return { items: said.flat(), shards: [...served].filter((number) => !lost.has(number)) };
}
