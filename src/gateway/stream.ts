// The events of a topic as one stream of Server-Sent Events, merged of all its shards.
//
// S1. The id of each event is how far the stream is at every shard by then: one that goes on from it misses and repeats nothing.
// S2. Events of one shard come in their order, and so those of one key.
// S3. A stream holds a few pages of events at most, whoever reads it or does not.

import { asSheafError, type Millis, type SheafError, type Tick } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import { jsonText } from "../http/index.ts";
import type { CompiledTopic } from "../model/index.ts";
import type { Cancellation } from "../rpc/index.ts";
import type { ReadReply } from "../topics/index.ts";
import { unpack } from "../wire/index.ts";
import { placeText } from "./place.ts";
import type { Tail } from "./tails.ts";
import type { TopicReads } from "./topic-reads.ts";

/** Events and shards that are read at once. */
const pageEvents = 64;
const pagesAtOnce = 4;
const heartbeatMs: Millis = 15_000;
/** Then its reader is asked to come again, with credentials that are still in force. */
const longestMs: Millis = 15 * 60_000;
const retryMs: Millis = 1_000;
const pauseMs: Millis = 500;

export type StreamOptions = {
  readonly host: Host;
  readonly reads: TopicReads;
  readonly tail: Tail;
  readonly topic: CompiledTopic;
  /** Where it begins: changed as it goes. */
  readonly places: number[];
  /** Aborts when streams are to end. */
  readonly ending: Cancellation;
};

type Page = { readonly shard: number; readonly reply?: ReadReply };

const told = (event: string, data: object): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

export async function* stream(options: StreamOptions, gone: Cancellation): AsyncGenerator<string, void> {
  const { host, tail, places, ending } = options;
  const until = host.clock.tick() + longestMs;
  const paused = new Map<number, Tick>();
  yield `retry: ${retryMs}\n\n`;
  while (!gone.aborted) {
    const now = host.clock.tick();
    if (ending.aborted || now >= until) {
      yield told("end", { reason: ending.aborted ? "stopping" : "time" });
      return;
    }
    const ready = tail.last.flatMap((last, shard) =>
      last > places[shard]! && (paused.get(shard) ?? 0) <= now ? [shard] : [],
    );
    if (ready.length === 0) {
      const wait = Math.min(heartbeatMs, paused.size > 0 ? pauseMs : Infinity, until - now);
      // A comment also finds out whether anybody is still there.
      if (!(await news(tail, host, wait, [gone, ending])) && wait === heartbeatMs) yield ":\n\n";
      continue;
    }
    for (let from = 0; from < ready.length && !gone.aborted; from += pagesAtOnce) {
      const pages = await Promise.all(
        ready.slice(from, from + pagesAtOnce).map(async (shard): Promise<Page> => {
          try {
            return {
              shard,
              reply: await options.reads.read(name(options), shard, { after: places[shard]!, limit: pageEvents }),
            };
          } catch {
            return { shard };
          }
        }),
      );
      for (const { shard, reply } of pages) {
        if (reply === undefined) paused.set(shard, host.clock.tick() + pauseMs);
        else paused.delete(shard);
        let text: string;
        try {
          text = reply === undefined ? "" : pageText(options, shard, reply);
        } catch (error) {
          host.log.error("a stream of events ended: one of them cannot be read", {
            topic: name(options),
            shard,
            cause: error,
          });
          yield told("end", { reason: "failed", ...saidOf(asSheafError(error)) });
          return;
        }
        if (text !== "") yield text;
      }
    }
  }
}

const name = ({ topic }: StreamOptions): string => topic.contract.name;
const saidOf = ({ code, message }: SheafError): object => ({ code, message });

/** What is to be sent of a page; the stream's place is behind it then. */
function pageText(options: StreamOptions, shard: number, { events, last, floor }: ReadReply): string {
  const { host, topic, places } = options;
  let text = "";
  const before = places[shard]!;
  if (before > 0 && floor > before + 1) text += told("trimmed", { shard, after: before, before: floor });
  for (const [n, key, at, schema, value] of events) {
    places[shard] = n;
    const data = topic.restore(schema, unpack(value));
    const event = {
      specversion: "1.0",
      id: `${name(options)}/${shard}/${n}`,
      source: `/topics/${name(options)}`,
      type: name(options),
      ...(key !== "" && { subject: key }),
      time: new Date(at).toISOString(),
      data,
    };
    text += `id: ${placeText(host.crypto, name(options), places)}\ndata: ${jsonText(event)}\n\n`;
  }
  // All that was behind its place is trimmed.
  if (events.length === 0) places[shard] = Math.max(before, Math.min(last, floor - 1));
  return text;
}

/** Whether the topic has more, before so much time is over or a signal aborts. */
function news(tail: Tail, { clock }: Host, ms: Millis, signals: readonly Cancellation[]): Promise<boolean> {
  if (signals.some(({ aborted }) => aborted)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const done = (more: boolean): void => {
      stop();
      timer.cancel();
      for (const signal of signals) signal.removeEventListener("abort", over);
      resolve(more);
    };
    const over = (): void => done(true);
    const stop = tail.listen(() => done(true));
    const timer: Timer = clock.after(ms, () => done(false));
    for (const signal of signals) signal.addEventListener("abort", over, { once: true });
  });
}
