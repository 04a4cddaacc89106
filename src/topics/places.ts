// The places of groups that pull: kept in the shards, as those of subscriptions are.

import { SheafError } from "../base/index.ts";
import type { CompiledApp } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { Shards } from "../shards/index.ts";

export type PlacesOptions = { readonly shards: Shards; readonly app: () => CompiledApp };

/** How far a group is at a shard; null where it has no place yet. */
export function placeOf({ shards }: PlacesOptions, { target, input }: Call): Reply {
  if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
  const { topic, group } = input as { readonly topic: string; readonly group: string };
  const shard = shards.of(target.entity, target.key);
  shard.serving();
  return { output: { place: shard.fold.logs.place(group, topic)?.through ?? null } };
}

/** Moves a group to behind an event, unless it is there or further. Rejects IN_USE for a subscription of the app, and BAD_INPUT for
 *  an event that has not come yet. */
export async function movePlace({ shards, app }: PlacesOptions, { target, input }: Call): Promise<Reply> {
  if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
  const { topic, group, through } = input as {
    readonly topic: string;
    readonly group: string;
    readonly through: number;
  };
  const shard = shards.of(target.entity, target.key);
  shard.serving();
  if (app().subscriptions.some(({ contract }) => contract.name === group))
    throw new SheafError("IN_USE", `${group} is a subscription of the app, which moves by itself`);
  const { logs } = shard.fold;
  if (!(through <= logs.of(topic).last)) throw new SheafError("BAD_INPUT", `${topic} has no such event`);
  if (through <= (logs.place(group, topic)?.through ?? 0)) return { output: undefined };
  await new Promise<void>((resolve, reject) =>
    shard.note({ kind: "moved", group, topic, through, messages: [] }, (error) => (error ? reject(error) : resolve())),
  );
  return { output: undefined };
}
