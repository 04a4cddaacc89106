// Reading topics over HTTP: streams of their events, and the places of groups.

import { SheafError, toHex } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";
import { type Answer, type Ask, queryParameter, readJson } from "../http/index.ts";
import { topicOnce, type TopicShape } from "../model/index.ts";
import { Cancel, type Cancellation } from "../rpc/index.ts";
import type { Principal } from "../security/index.ts";
import type { Outlet } from "./exchange.ts";
import { placesOf } from "./place.ts";
import { Share } from "./share.ts";
import { groupMark, sseText, stream, type StreamOptions } from "./stream.ts";
import { Tails } from "./tails.ts";
import { fromOf, TopicReads } from "./topic-reads.ts";

const eventStream = {
  "content-type": "text/event-stream; charset=utf-8",
  // Proxies that gather an answer before they pass it on would never pass this one on.
  "x-accel-buffering": "no",
};

export class Subscribers {
  readonly #outlet: Outlet;
  readonly #reads: TopicReads;
  readonly #tails: Tails;
  readonly #ending = new CancelMany();
  #open = 0;

  constructor(outlet: Outlet, shards: number) {
    this.#outlet = outlet;
    this.#reads = new TopicReads(outlet, shards);
    this.#tails = new Tails(this.#reads, outlet.host.clock);
  }

  /** Streams open now. */
  get size(): number {
    return this.#open;
  }

  /** Asks all readers to go on elsewhere, and takes no new ones. */
  drain(): void {
    this.#ending.abort();
  }

  /** `GET /topics/{topic}/events`: begins behind `Last-Event-ID`, or at `from`; a consumer of a group where the group is. */
  async events({ request }: Ask, topic: TopicShape, principal: Principal): Promise<Answer> {
    const { limits } = this.#outlet;
    const from = fromOf(queryParameter(request.url, "from"));
    const group = groupOf(queryParameter(request.url, "group"));
    const since = request.header("last-event-id");
    if (this.#ending.aborted) throw new SheafError("STOPPING", undefined, { retryAfterMs: 1000 });
    if (request.method === "HEAD") return { status: 200, headers: eventStream };
    if (this.#open >= limits.maxEventStreams)
      throw new SheafError("OVERLOADED", "too many streams of events are open", { retryAfterMs: 5000 });
    this.#open++;
    let options: Omit<StreamOptions, "tail" | "ending">;
    try {
      options = await this.#begin(topic, from, group, since, principal);
    } catch (error) {
      this.#open--;
      throw error;
    }
    const tails = this.#tails;
    const ending = this.#ending.one();
    const over = (): void => {
      this.#open--;
      this.#ending.drop(ending);
    };
    async function* all(gone: Cancellation): AsyncGenerator<string, void> {
      const tail = tails.take(topic.name);
      // One that takes nothing any more is not waited for to give its shards up.
      const left = (): void => void options.share?.end();
      gone.addEventListener("abort", left);
      try {
        for await (const piece of stream({ ...options, tail, ending }, gone)) yield sseText(piece);
      } finally {
        gone.removeEventListener("abort", left);
        left();
        tails.give(topic.name, tail);
        over();
      }
    }
    return { status: 200, headers: eventStream, stream: all };
  }

  /** Where a stream begins: in a group, at what its consumer gets to hold. */
  async #begin(
    shape: TopicShape,
    from: ReturnType<typeof fromOf>,
    group: string | undefined,
    since: string | undefined,
    principal: Principal,
  ): Promise<Omit<StreamOptions, "tail" | "ending">> {
    const { host, limits } = this.#outlet;
    const reads = this.#reads;
    const topic = shape.name;
    const common = { host, reads, topic: topicOnce(shape) };
    if (group === undefined && since !== undefined && since !== "")
      return { ...common, places: placesOf(host.crypto, topic, reads.shards, since) };
    const places = await reads.places(topic, from);
    if (group === undefined) return { ...common, places };
    const consumer = `${principal.id}/${toHex(host.dice.bytes(4))}`;
    const share = new Share({ clock: host.clock, limits, reads, topic, group, consumer, places });
    await share.begin();
    return { ...common, places, share };
  }

  /** `POST /topics/{topic}/groups/{group}`: all up to an event, which `id` names, is done. */
  async done({ request }: Ask, topic: TopicShape, name: string): Promise<Answer> {
    const { limits, host } = this.#outlet;
    const group = groupOf(name)!;
    const body = (await readJson(request, limits)) as { readonly id?: unknown } | null | undefined;
    if (typeof body?.id !== "string")
      throw new SheafError("BAD_INPUT", "the body does not say up to where", {
        issues: [{ path: ["id"], message: "the id of an event of the stream" }],
      });
    const { places, holds } = doneOf(host.crypto, topic.name, group, this.#reads.shards, body.id);
    await this.#reads.move(topic.name, group, places, holds);
    return { status: 204 };
  }
}

/** The id of an event that a consumer of the group was sent, or of one of a stream without a group. Throws BAD_INPUT. */
function doneOf(
  crypto: Crypto,
  topic: string,
  group: string,
  shards: number,
  id: string,
): { readonly places: number[]; readonly holds?: number[] } {
  try {
    const both = placesOf(crypto, groupMark(topic, group), 2 * shards, id);
    return { places: both.slice(0, shards), holds: both.slice(shards) };
  } catch {
    return { places: placesOf(crypto, topic, shards, id) };
  }
}

/** As the names of subscriptions. Throws BAD_INPUT. */
function groupOf(name: string | undefined): string | undefined {
  if (name === undefined || /^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name)) return name;
  throw new SheafError("BAD_INPUT", "this is no name of a group", {
    issues: [{ path: ["group"], message: '1 to 64 letters, digits, "_" and "-", beginning with a letter' }],
  });
}

/** One end for many: each has a signal of its own, as one that is listened to by thousands would be slow to leave. */
class CancelMany {
  readonly #signals = new Set<Cancel>();
  aborted = false;

  one(): Cancel {
    const signal = new Cancel();
    if (this.aborted) signal.abort(undefined);
    else this.#signals.add(signal);
    return signal;
  }

  drop(signal: Cancel): void {
    this.#signals.delete(signal);
  }

  abort(): void {
    this.aborted = true;
    for (const signal of this.#signals) signal.abort(undefined);
    this.#signals.clear();
  }
}
