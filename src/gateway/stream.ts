// The events of a topic as one stream, merged of all its shards.
//
// S1. The id of each event is how far the stream is at every shard by then: one that goes on from it misses and repeats nothing. The
//     stream begins with the id of where it begins, so that this holds too for a reader that has met no event yet.
// S2. Events of one shard come in their order, and so those of one key.
// S3. A stream holds a few pages of events at most, whoever reads it or does not.
// S4. What a shard is asked holds up no other shard; those that have failed are asked again one at a time.
// S5. It gives a sign of life at least every so often, so that a reader that hears none may go elsewhere.

import { asSheafError, type Millis, type SheafError, type Tick } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import { jsonText } from "../http/index.ts";
import type { CompiledTopic } from "../model/index.ts";
import type { Cancellation } from "../rpc/index.ts";
import type { ReadReply } from "../topics/index.ts";
import { unpack } from "../wire/index.ts";
import { placeText } from "./place.ts";
import type { Share } from "./share.ts";
import { pageEvents, type Tail } from "./tails.ts";
import type { TopicReads } from "./topic-reads.ts";

/** Shards that are read at once. */
const pagesAtOnce = 4;
const heartbeatMs: Millis = 5_000;
/** Then its reader is asked to come again, with credentials that are still in force. */
const longestMs: Millis = 15 * 60_000;
const pauseMs: Millis = 500;
/** When a shard could not be asked for so long, its reader may do better at another node. */
const unreachableMs: Millis = 10_000;

export type StreamOptions = {
  readonly host: Host;
  readonly reads: TopicReads;
  readonly tail: Tail;
  readonly topic: CompiledTopic;
  /** Where it begins: changed as it goes. */
  readonly places: number[];
  /** What a consumer of a group has of the shards; all of them for whoever reads alone. */
  readonly share?: Share | undefined;
  /** Aborts when streams are to end. */
  readonly ending: Cancellation;
};

/** An event as its reader gets it: a CloudEvent, as JSON. */
export type Sent = { readonly id: string; readonly event: string };

type Ending = "stopping" | "time" | "unreachable" | "stalled";

/** What a stream gives, piece by piece. */
export type Piece =
  | { readonly kind: "place"; readonly id: string }
  | { readonly kind: "events"; readonly events: readonly Sent[] }
  | { readonly kind: "trimmed"; readonly shard: number; readonly after: number; readonly before: number }
  | { readonly kind: "beat" }
  | { readonly kind: "end"; readonly reason: Ending }
  | { readonly kind: "end"; readonly reason: "failed"; readonly code: string; readonly message: string };

export async function* stream(options: StreamOptions, gone: Cancellation): AsyncGenerator<Piece, void> {
  const { host, ending } = options;
  const { clock } = host;
  const until = clock.tick() + longestMs;
  const pages = new Pages(options);
  let beatAt = clock.tick() + heartbeatMs;
  yield { kind: "place", id: idOf(options) };
  while (!gone.aborted) {
    const now = clock.tick();
    const why = endOf(options, until, now);
    if (why) {
      yield { kind: "end", reason: why };
      return;
    }
    if (now >= beatAt) {
      beatAt = now + heartbeatMs;
      // It also finds out whether anybody is still there.
      yield { kind: "beat" };
      continue;
    }
    const page = pages.next();
    if (page === undefined) {
      await pages.more(Math.min(beatAt, until) - now, [gone, ending]);
      continue;
    }
    const pieces = piecesOf(options, page);
    for (const piece of pieces) yield piece;
    if (pieces.length > 0) beatAt = clock.tick() + heartbeatMs;
    if (pieces.at(-1)?.kind === "end") return;
  }
}

function endOf({ tail, ending, share }: StreamOptions, until: Tick, now: Tick): Ending | undefined {
  if (ending.aborted) return "stopping";
  if (now >= until) return "time";
  if (share?.isStalled) return "stalled";
  return now - (tail.failingSince ?? now) >= unreachableMs ? "unreachable" : undefined;
}

/** `since`: the hold that it was read for. */
type Page = { readonly shard: number; readonly since: number | undefined; readonly reply: ReadReply };

/** Asks the shards that have more, and keeps what they answered until it is sent. */
class Pages {
  readonly #options: StreamOptions;
  /** Shards that are asked, or whose page is not sent yet. */
  readonly #busy = new Set<number>();
  /** Shards whose last question failed, and until when they are left alone. */
  readonly #failed = new Map<number, Tick>();
  readonly #ready: Page[] = [];
  #wake: () => void = () => {};

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  /** The next page; undefined when there is none yet. */
  next(): Page | undefined {
    const { share } = this.#options;
    this.#ask();
    for (let page = this.#ready.shift(); page; page = this.#ready.shift()) {
      this.#busy.delete(page.shard);
      if (!share || (share.may(page.shard) && share.holds[page.shard] === page.since)) return page;
    }
    return undefined;
  }

  #ask(): void {
    const { tail, places, host, share } = this.#options;
    const now = host.clock.tick();
    // What other streams do not hold up is what fails here alone: one of those at a time.
    let failing = Array.from(this.#busy).filter((shard) => this.#failed.has(shard)).length;
    let sound = this.#busy.size - failing;
    tail.last.forEach((last, shard) => {
      if (last <= places[shard]! || this.#busy.has(shard) || share?.may(shard) === false) return;
      const until = this.#failed.get(shard);
      if (until === undefined ? sound >= pagesAtOnce : failing > 0 || until > now) return;
      if (until === undefined) sound++;
      else failing++;
      this.#busy.add(shard);
      const known = tail.newest(shard, places[shard]!);
      if (known) this.#ready.push({ shard, since: share?.holds[shard], reply: known });
      else void this.#read(shard);
    });
  }

  async #read(shard: number): Promise<void> {
    const { reads, places, host, share } = this.#options;
    const since = share?.holds[shard];
    try {
      const reply = await reads.read(name(this.#options), shard, { after: places[shard]!, limit: pageEvents });
      this.#failed.delete(shard);
      this.#ready.push({ shard, since, reply });
    } catch {
      this.#failed.set(shard, host.clock.tick() + pauseMs);
      this.#busy.delete(shard);
    }
    this.#wake();
  }

  /** Resolves when there may be a page, when so much time is over, or when a signal aborts. */
  more(ms: Millis, signals: readonly Cancellation[]): Promise<void> {
    if (signals.some(({ aborted }) => aborted)) return Promise.resolve();
    const { tail, host, share } = this.#options;
    const wait = Math.min(ms, this.#failed.size > 0 ? pauseMs : Infinity);
    return new Promise((resolve) => {
      const done = (): void => {
        stop();
        timer.cancel();
        this.#wake = () => {};
        if (share) share.changed = () => {};
        for (const signal of signals) signal.removeEventListener("abort", done);
        resolve();
      };
      this.#wake = done;
      if (share) share.changed = done;
      const stop = tail.listen(done);
      const timer: Timer = host.clock.after(wait, done);
      for (const signal of signals) signal.addEventListener("abort", done, { once: true });
    });
  }
}

const name = ({ topic }: StreamOptions): string => topic.contract.name;
/** In a group it says besides for whom each shard is held. */
const idOf = ({ host, topic, places, share }: StreamOptions): string =>
  share
    ? placeText(host.crypto, groupMark(topic.contract.name, share.group), [...places, ...share.holds])
    : placeText(host.crypto, topic.contract.name, places);

/** What the ids of a group's events are marked by. */
export const groupMark = (topic: string, group: string): string => `${topic}\n${group}`;

const saidOf = ({ code, message }: SheafError): { code: string; message: string } => ({ code, message });

/** What is to be sent of a page; the stream's place is behind it then. */
function piecesOf(options: StreamOptions, { shard, reply: { events, last, floor } }: Page): Piece[] {
  const { host, topic, places } = options;
  const pieces: Piece[] = [];
  const before = places[shard]!;
  if (before > 0 && floor > before + 1) pieces.push({ kind: "trimmed", shard, after: before, before: floor });
  const sent: Sent[] = [];
  options.share?.sending(shard);
  try {
    for (const [n, key, at, schema, value] of events) {
      const data = topic.restore(schema, unpack(value));
      places[shard] = host.faults.mutant("T8") ? events.at(-1)![0] : n;
      const event = {
        specversion: "1.0",
        id: `${name(options)}/${shard}/${n}`,
        source: `/topics/${name(options)}`,
        type: name(options),
        ...(key !== "" && { subject: key }),
        time: new Date(at).toISOString(),
        data,
      };
      sent.push({ id: idOf(options), event: jsonText(event) });
    }
  } catch (error) {
    const says = "a stream of events ended: one of them cannot be read";
    host.log.error(says, { topic: name(options), shard, cause: error });
    if (sent.length > 0) pieces.push({ kind: "events", events: sent });
    return [...pieces, { kind: "end", reason: "failed", ...saidOf(asSheafError(error)) }];
  }
  if (sent.length > 0) pieces.push({ kind: "events", events: sent });
  // All that was behind its place is trimmed.
  if (events.length === 0) places[shard] = Math.max(before, Math.min(last, floor - 1));
  return pieces;
}

const retryMs: Millis = 1_000;
const told = (event: string, data: object): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

/** A piece as Server-Sent Events have it. */
export function sseText(piece: Piece): string {
  switch (piece.kind) {
    case "place":
      // Without data it is no event, and the reader keeps the id all the same.
      return `retry: ${retryMs}\nid: ${piece.id}\n\n`;
    case "events":
      return piece.events.map(({ id, event }) => `id: ${id}\ndata: ${event}\n\n`).join("");
    case "beat":
      return ":\n\n";
    default: {
      const { kind, ...data } = piece;
      return told(kind, data);
    }
  }
}
