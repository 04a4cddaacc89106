// The places of groups that pull, kept in the shards as those of subscriptions are; and which of a group's consumers holds a shard.
//
// P1. At any time one consumer at most holds a shard for a group. Who does is journaled in the shard: each hold is called by the record
//     that it began with, so that no two are called the same.
// P2. A group whose shard is held moves only for its present holder.
// P3. A hold is taken away only from a consumer that is not among those that live; whoever wrongly takes one for dead costs repeats, never
//     an event.

import { SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Note } from "../journal/index.ts";
import type { CompiledApp } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { Logs, Shard, Shards } from "../shards/index.ts";

export type PlacesOptions = { readonly host: Host; readonly shards: Shards; readonly app: () => CompiledApp };

/** A group at a shard, as its readers are told: up to where it is (null where it has no place yet), and by whom and since when the shard
 *  is held. */
export type PlaceReply = {
  readonly place: number | null;
  readonly by: string | null;
  readonly since: number | null;
};

type Of = { readonly topic: string; readonly group: string };
type Move = Of & { readonly through: number; readonly since?: number };
type Hold = Of & { readonly consumer: string; readonly begin: number; readonly living?: readonly string[] };
type Release = Of & { readonly since: number };

export class Places {
  readonly #options: PlacesOptions;
  /** What is done with a group at a shard is done one after the other. */
  readonly #last = new WeakMap<Logs, Map<string, Promise<unknown>>>();

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  place(call: Call): Reply {
    const { topic, group } = call.input as Of;
    return { output: replyOf(this.#at(call), group, topic) };
  }

  /** Moves a group to behind an event, unless it is there or further. Rejects IN_USE for a subscription of the app,
   *  PRECONDITION_FAILED when another than who asks holds the shard, and BAD_INPUT for an event that has not come yet. */
  async move(call: Call): Promise<Reply> {
    const { topic, group, through, since } = call.input as Move;
    const shard = this.#at(call);
    this.#checkGroup(group);
    return this.#inTurn(shard, group, topic, async () => {
      const { logs } = shard.fold;
      const place = logs.place(group, topic);
      if (place?.held && place.held.since !== since)
        throw new SheafError("PRECONDITION_FAILED", `another consumer of ${group} has this part of ${topic} by now`);
      if (!(through <= logs.of(topic).last)) throw new SheafError("BAD_INPUT", `${topic} has no such event`);
      if (through > (place?.through ?? 0)) await noted(shard, { kind: "moved", group, topic, through, messages: [] });
      return { output: undefined };
    });
  }

  /** Gives the shard to a consumer of the group, unless another holds it: one of those that live, or any where these are not known.
   *  Where the group has no place yet it gets the one to begin at. Tells who holds it then. */
  async hold(call: Call): Promise<Reply> {
    const { topic, group, consumer, begin, living } = call.input as Hold;
    const shard = this.#at(call);
    this.#checkGroup(group);
    return this.#inTurn(shard, group, topic, async () => {
      const { logs } = shard.fold;
      const place = logs.place(group, topic);
      const { held } = place ?? {};
      if (held?.by === consumer) return { output: replyOf(shard, group, topic) };
      if (held && this.#options.host.faults.mutant("T14")) return { output: replyOf(shard, group, topic, consumer) };
      if (held && living?.includes(held.by) !== false) return { output: replyOf(shard, group, topic) };
      const first = Math.min(begin, logs.of(topic).last);
      const begins = place === undefined && first > 0;
      await Promise.all([
        begins && noted(shard, { kind: "moved", group, topic, through: first, messages: [] }),
        noted(shard, { kind: "held", group, topic, holder: consumer }),
      ]);
      return { output: replyOf(shard, group, topic) };
    });
  }

  /** Ends a hold, if it is the present one. */
  async release(call: Call): Promise<Reply> {
    const { topic, group, since } = call.input as Release;
    const shard = this.#at(call);
    return this.#inTurn(shard, group, topic, async () => {
      if (shard.fold.logs.place(group, topic)?.held?.since === since) await free(shard, group, topic);
      return { output: undefined };
    });
  }

  #at({ target }: Call): Shard {
    if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
    const shard = this.#options.shards.of(target.entity, target.key);
    shard.serving();
    return shard;
  }

  #checkGroup(group: string): void {
    if (this.#options.app().subscriptions.some(({ contract }) => contract.name === group))
      throw new SheafError("IN_USE", `${group} is a subscription of the app, which moves by itself`);
  }

  async #inTurn<T>(shard: Shard, group: string, topic: string, act: () => Promise<T>): Promise<T> {
    const { logs } = shard.fold;
    let all = this.#last.get(logs);
    if (!all) this.#last.set(logs, (all = new Map<string, Promise<unknown>>()));
    const id = `${group}\n${topic}`;
    const before = all.get(id);
    const mine = (before ?? Promise.resolve()).then(async () => {
      shard.serving();
      // What is asked of another tenure than this is asked anew.
      if (shard.fold.logs !== logs) throw new SheafError("NOT_OWNER");
      return act();
    });
    const over = mine.catch(() => undefined);
    all.set(id, over);
    try {
      return await mine;
    } finally {
      if (all.get(id) === over) all.delete(id);
    }
  }
}

/** Nobody holds the shard for the group any more: whoever did begins anew at the place that it has. */
export const free = (shard: Shard, group: string, topic: string): Promise<void> =>
  noted(shard, { kind: "held", group, topic, holder: "" });

function replyOf({ fold }: Shard, group: string, topic: string, by?: string): PlaceReply {
  const place = fold.logs.place(group, topic);
  return { place: place?.through ?? null, by: by ?? place?.held?.by ?? null, since: place?.held?.since ?? null };
}

const noted = (shard: Shard, note: Note): Promise<void> =>
  new Promise((resolve, reject) => shard.note(note, (error) => (error ? reject(error) : resolve())));
