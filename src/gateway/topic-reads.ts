// What a gateway asks the shards of a topic, as Sheaf itself: their events, and how far groups are.

import { asSheafError, keyIn, type Instant, type Millis, shardOf, SheafError } from "../base/index.ts";
import { topicType } from "../model/index.ts";
import type { Call, Cancellation } from "../rpc/index.ts";
import { system } from "../security/index.ts";
import type { JoinReply, PlaceReply, ReadReply } from "../topics/index.ts";
import type { Outlet } from "./exchange.ts";

/** An answer takes no longer than this besides what it waits for events. */
const patienceMs: Millis = 10_000;
const mostMoved = 10_000;
/** Behind every event. */
const end = Number.MAX_SAFE_INTEGER;

export type Asked = {
  readonly after: number;
  readonly limit: number;
  readonly waitMs?: Millis;
  readonly signal?: Cancellation | undefined;
};

export class TopicReads {
  readonly #outlet: Outlet;
  readonly shards: number;
  readonly #keys: string[];
  /** Up to where holds were moved lately: an acknowledgement names all shards, and few of them have changed. */
  readonly #moved = new Map<string, number>();

  constructor(outlet: Outlet, shards: number) {
    this.#outlet = outlet;
    this.shards = shards;
    this.#keys = Array.from({ length: shards }, (_, shard) => keyIn(topicType, shard, shards));
  }

  async #ask(
    shard: number,
    kind: "command" | "query",
    name: string,
    input: object,
    asked: Partial<Asked> = {},
  ): Promise<unknown> {
    const { calls, host } = this.#outlet;
    const call: Call = {
      target: { kind, entity: topicType, key: this.#keys[shard]!, name },
      input,
      principal: system,
      deadline: host.clock.tick() + patienceMs + (asked.waitMs ?? 0),
      signal: asked.signal,
    };
    return (await calls.call(call)).output;
  }

  async read(topic: string, shard: number, { after, limit, waitMs = 0, signal }: Asked): Promise<ReadReply> {
    return (await this.#ask(shard, "query", "read", { topic, after, limit, waitMs }, { waitMs, signal })) as ReadReply;
  }

  /** Moves the place of a group forwards, wherever it is behind; `holds`: for whom, where a consumer holds the shard. Rejects IN_USE for a
   *  subscription of the app, and PRECONDITION_FAILED, once the others are moved, for shards that others hold by now. */
  async move(topic: string, group: string, places: readonly number[], holds?: readonly number[]): Promise<void> {
    const said = await Promise.allSettled(
      places.map(async (through, shard) => {
        const since = holds?.[shard];
        if (through === 0 || since === 0) return;
        const id = `${topic}\n${group}\n${shard}\n${since ?? ""}`;
        if (since !== undefined && through <= (this.#moved.get(id) ?? 0)) return;
        await this.#ask(shard, "command", "move", { topic, group, through, since });
        if (this.#moved.size >= mostMoved) this.#moved.clear();
        if (since !== undefined) this.#moved.set(id, through);
      }),
    );
    const failed = said.filter((one) => one.status === "rejected").map(({ reason }) => asSheafError(reason));
    // What may pass comes first: whoever hears of it says all again.
    const first = failed.find(({ retry }) => retry !== "never") ?? failed[0];
    if (first) throw first;
  }

  place(topic: string, group: string, shard: number): Promise<PlaceReply> {
    return this.#ask(shard, "query", "place", { topic, group }) as Promise<PlaceReply>;
  }

  /** A consumer says that it is there, or that it leaves, and learns who else is. */
  join(topic: string, group: string, consumer: string, leaves = false): Promise<JoinReply> {
    const shard = shardOf(topicType, `${topic}\n${group}`, this.shards);
    return this.#ask(shard, "query", "join", { topic, group, consumer, leaves }) as Promise<JoinReply>;
  }

  /** Asks to hold a shard for a consumer; tells who does. `living`: who else does not give way, nobody where they are known. */
  hold(
    topic: string,
    group: string,
    shard: number,
    asked: { readonly consumer: string; readonly begin: number; readonly living?: readonly string[] | undefined },
  ): Promise<PlaceReply> {
    return this.#ask(shard, "command", "hold", { topic, group, ...asked }) as Promise<PlaceReply>;
  }

  async release(topic: string, group: string, shard: number, since: number): Promise<void> {
    await this.#ask(shard, "command", "release", { topic, group, since });
  }

  /** Where a reader begins at each shard. */
  places(topic: string, from: "beginning" | "now" | Instant): Promise<number[]> {
    if (from === "beginning") return Promise.resolve(Array.from({ length: this.shards }, () => 0));
    return this.#each(async (shard) => {
      const { last, floor } = await this.read(topic, shard, { after: end, limit: 1 });
      if (from === "now") return last;
      return this.#before(topic, shard, from, Math.max(0, floor - 1), last);
    });
  }

  /** The number of the last event that was logged before that time: times go up with numbers, which are not without gaps. */
  async #before(topic: string, shard: number, at: Instant, low: number, high: number): Promise<number> {
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [event] = (await this.read(topic, shard, { after: middle, limit: 1 })).events;
      if (event === undefined || event[2] >= at) high = middle;
      else low = event[0];
    }
    return low;
  }

  #each<T>(ask: (shard: number) => Promise<T>): Promise<T[]> {
    return Promise.all(Array.from({ length: this.shards }, (_, shard) => ask(shard)));
  }
}

/** `beginning`, `now` or a time by ISO 8601; the beginning when absent. Throws BAD_INPUT. */
export function fromOf(text: string | undefined): "beginning" | "now" | Instant {
  if (text === undefined || text === "beginning") return "beginning";
  if (text === "now") return "now";
  const at = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(at)) return at;
  throw new SheafError("BAD_INPUT", "from is no place in a topic", {
    issues: [{ path: ["from"], message: "beginning, now, or a time such as 2026-11-23T08:00:00Z" }],
  });
}
