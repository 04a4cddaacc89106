// Which consumers of a group live, as one node knows: the owner of the shard that the group's name is placed in. It keeps nothing: whoever
// owns that shard next hears of all of them within a few beats, and says until then that it does not know.

import { type Limits, SheafError, type Tick } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { Logs, Shards } from "../shards/index.ts";

export type ConsumersOptions = { readonly host: Host; readonly limits: Limits; readonly shards: Shards };

/** Those that live, sorted; `settled` when there are no others. */
export type JoinReply = { readonly living: readonly string[]; readonly settled: boolean };

/** Beats that may be missed. */
export const beatsPerLease = 5;

type Group = { readonly since: Tick; readonly heard: Map<string, Tick> };

export class Consumers {
  readonly #options: ConsumersOptions;
  /** By the fold of the tenure in which they were heard of. */
  readonly #groups = new WeakMap<Logs, Map<string, Group>>();

  constructor(options: ConsumersOptions) {
    this.#options = options;
  }

  /** A consumer is there, or leaves. */
  join({ target, input }: Call): Reply {
    if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
    const { topic, group, consumer, leaves } = input as {
      readonly topic: string;
      readonly group: string;
      readonly consumer: string;
      readonly leaves: boolean;
    };
    const { host, limits, shards } = this.#options;
    const shard = shards.of(target.entity, target.key);
    shard.serving();
    const now = host.clock.tick();
    const leaseMs = beatsPerLease * limits.consumerBeatMs;
    const { since, heard } = this.#group(shard.fold.logs, `${group}\n${topic}`, now);
    if (leaves) heard.delete(consumer);
    else heard.set(consumer, now);
    for (const [name, at] of heard) if (now - at > leaseMs) heard.delete(name);
    const output: JoinReply = { living: [...heard.keys()].toSorted(), settled: now - since > leaseMs };
    return { output };
  }

  #group(logs: Logs, id: string, now: Tick): Group {
    let groups = this.#groups.get(logs);
    if (!groups) this.#groups.set(logs, (groups = new Map<string, Group>()));
    let group = groups.get(id);
    // One that nobody was heard of in all that time is as one that is new.
    const last = group && Math.max(group.since, ...group.heard.values());
    const isOver = last !== undefined && now - last > beatsPerLease * this.#options.limits.consumerBeatMs;
    if (!group || isOver) groups.set(id, (group = { since: now, heard: new Map() }));
    return group;
  }
}
