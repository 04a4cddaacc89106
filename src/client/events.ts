// The events of a topic over Server-Sent Events, in browsers and Node alike: an endless list that goes on where it was whenever the
// connection is lost.

import { asSheafError, catalogue, type ErrorCode, SheafError } from "../base/index.ts";
import type { Clock } from "../host/index.ts";
import type { ReceivedValue, TopicEvent, TopicShape } from "../model/index.ts";
import type { ClientHost } from "./host.ts";

export type EventsOptions = {
  /** Where to begin: with all that is kept (the default), with what comes from now on, or with what was published at that time or later. */
  readonly from?: "beginning" | "now" | Date | undefined;
  /** Behind this event: the `place` of one that was read earlier. Not with a group. */
  readonly after?: string | undefined;
  /** As one consumer of this group: all that there are share the topic, and begin where the group is. It moves when `done` is called;
   *  what was not done comes again, perhaps to another. */
  readonly group?: string | undefined;
  /** Ends the list. */
  readonly signal?: AbortSignal | undefined;
  /** Told when events behind the place of a shard may be no longer kept: the list goes on with what is. */
  readonly onTrimmed?: ((trimmed: Trimmed) => void) | undefined;
};

/** Events of a shard behind the one numbered `after` that are numbered below `before` may be missing. */
export type Trimmed = { readonly shard: number; readonly after: number; readonly before: number };

/** An event as it is read. `place`: where to go on behind it. */
export type ReadEvent<V> = TopicEvent<V> & { readonly place: string };

export interface TopicEvents<C extends TopicShape> {
  /** What the topic has, and then what comes, until the signal aborts or the loop is left. Rejects with SheafError for what no new
   *  connection would mend. Each event comes at least once, those of one key in their order. */
  events(options?: EventsOptions): AsyncGenerator<ReadEvent<ReceivedValue<C>>, void>;
  /** All events up to this place that came with it are done by the group. Rejects PRECONDITION_FAILED where another consumer has some of
   *  them by now: they come to that one. */
  done(group: string, place: string): Promise<void>;
}

export type EventsPort = {
  readonly host: ClientHost;
  readonly urls: readonly string[];
  token(): Promise<string | undefined>;
};

const firstPauseMs = 100;
const longestPauseMs = 5_000;
const mostChars = 64 * 1024 * 1024;
/** A gateway gives three signs of life in this time; one that gives none is left. */
const silenceMs = 15_000;
/** What is done is said for so long, each time for as long as one gateway may take to answer. */
const sayMs = 10_000;
const answerMs = 3_000;

type Message = { readonly event: string; readonly data: string; readonly id: string | undefined };

export async function* eventsOf<V>(
  port: EventsPort,
  topic: string,
  options: EventsOptions,
): AsyncGenerator<ReadEvent<V>, void> {
  const { signal, group, from } = options;
  if (group !== undefined && options.after !== undefined)
    throw new SheafError("USAGE", "a group goes on where it is, and not behind another event", {
      hint: "Leave out `after`, or `group`.",
    });
  const { clock, dice } = port.host;
  let place = options.after;
  let at = Math.floor(dice.random() * port.urls.length);
  const isOver = (): boolean => signal?.aborted === true;
  for (let tries = 0; !isOver(); at++) {
    const query = new URLSearchParams();
    if (group !== undefined) query.set("group", group);
    if (from !== undefined) query.set("from", from instanceof Date ? from.toISOString() : from);
    const path = `/topics/${encodeURIComponent(topic)}/events?${query}`;
    const given = new AbortController();
    const stop = (): void => given.abort();
    const inTime = <T>(waited: Promise<T>): Promise<T> => within(clock, silenceMs, waited, stop);
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const headers: Record<string, string> = place === undefined ? {} : { "last-event-id": place };
      const response = await inTime(ask(port, at, path, { headers, signal: given.signal }));
      for await (const { event, data, id } of messages(response, inTime)) {
        if (event === "end") {
          const { code, message } = JSON.parse(data) as { readonly code?: string; readonly message?: string };
          if (code !== undefined) throw new SheafError(code as ErrorCode, message, { retry: "never" });
          break;
        }
        if (event === "trimmed") options.onTrimmed?.(JSON.parse(data) as Trimmed);
        if (id === undefined) continue;
        tries = 0;
        place = id;
        if (event !== "message") continue;
        const { id: name, subject = "", time, data: value } = JSON.parse(data) as Sent<V>;
        yield { id: name, topic, key: subject, at: Date.parse(time), value, place };
      }
    } catch (error) {
      if (isOver()) return;
      if (error instanceof SheafError && error.retry === "never") throw error;
      if (!(error instanceof Error)) throw asSheafError(error);
    } finally {
      signal?.removeEventListener("abort", stop);
      given.abort();
    }
    await pause(port, tries++, signal);
  }
}

/** Longer each time, unless the signal aborts. */
function pause({ host: { clock, dice } }: EventsPort, tries: number, signal: AbortSignal | undefined): Promise<void> {
  const ms = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(tries, 10)) * (0.5 + dice.random() / 2);
  return new Promise((resolve) => {
    const over = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", over);
      resolve();
    };
    const timer = clock.after(ms, over);
    if (signal?.aborted) over();
    else signal?.addEventListener("abort", over, { once: true });
  });
}

/** What is waited for, unless that takes too long: then it is given up by `stop`, and whoever waits is told. */
function within<T>(clock: Clock, ms: number, waited: Promise<T>, stop: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => {
      reject(new SheafError("UNREACHABLE", `a gateway gave no sign of life for ${ms} ms`));
      stop();
    });
    waited.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** Says to any gateway that a group has done all up to a place, again until one has heard it: to say it twice is to say it once. */
export async function sayDone(port: EventsPort, topic: string, group: string, place: string): Promise<void> {
  const { clock, dice } = port.host;
  const path = `/topics/${encodeURIComponent(topic)}/groups/${encodeURIComponent(group)}`;
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ id: place });
  const until = clock.tick() + sayMs;
  const first = Math.floor(dice.random() * port.urls.length);
  for (let tries = 0; ; tries++) {
    const given = new AbortController();
    const init = { method: "POST", headers, body, signal: given.signal };
    try {
      return void (await within(clock, answerMs, ask(port, first + tries, path, init), () => given.abort()));
    } catch (error) {
      const { retry } = asSheafError(error);
      if (retry === "never" || clock.tick() >= until) throw asSheafError(error);
    }
    await pause(port, tries, undefined);
  }
}

type Sent<V> = { readonly id: string; readonly subject?: string; readonly time: string; readonly data: V };

/** The answer, if it is good. */
async function ask(port: EventsPort, at: number, path: string, init: RequestInit): Promise<Response> {
  const { host, urls } = port;
  const token = await port.token();
  const headers = {
    ...(init.headers as Record<string, string>),
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const response = await host
    .fetch(`${urls[at % urls.length]}${path}`, { ...init, headers })
    .catch((cause: unknown) => {
      throw new SheafError("UNREACHABLE", undefined, { cause });
    });
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { readonly code?: string; readonly detail?: string };
  const { code, detail } = problem;
  if (code === undefined || !Object.hasOwn(catalogue, code))
    throw new SheafError("UNREACHABLE", `something before the gateway answered ${response.status}`);
  throw new SheafError(code as ErrorCode, detail);
}

/** Reads an answer as the standard of Server-Sent Events has it. */
async function* messages(response: Response, inTime: <T>(waited: Promise<T>) => Promise<T>): AsyncGenerator<Message> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read());
      if (done) return;
      text += value;
      if (text.length > mostChars)
        throw new SheafError("TOO_LARGE", "an event of the stream is too long", { retry: "never" });
      const parts = text.split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) yield messageOf(part);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function messageOf(part: string): Message {
  const fields = new Map(
    part.split("\n").map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")] as const;
    }),
  );
  return {
    event: fields.get("event") ?? (fields.has("data") ? "message" : ""),
    data: fields.get("data") ?? "",
    id: fields.get("id"),
  };
}
