// The events of a topic over Server-Sent Events, in browsers and Node alike: an endless list that goes on where it was whenever the
// connection is lost.

import { asSheafError, catalogue, type ErrorCode, SheafError } from "../base/index.ts";
import type { ReceivedValue, TopicEvent, TopicShape } from "../model/index.ts";
import type { ClientHost } from "./host.ts";

export type EventsOptions = {
  /** Where to begin: with all that is kept (the default), with what comes from now on, or with what was published at that time or later. */
  readonly from?: "beginning" | "now" | Date | undefined;
  /** Behind this event: the `place` of one that was read earlier. */
  readonly after?: string | undefined;
  /** Begins where the group is, if it has been anywhere. It moves when `done` is called, and when a connection that was lost is made anew. */
  readonly group?: string | undefined;
  /** Ends the list. */
  readonly signal?: AbortSignal | undefined;
};

/** An event as it is read. `place`: where to go on behind it. */
export type ReadEvent<V> = TopicEvent<V> & { readonly place: string };

export interface TopicEvents<C extends TopicShape> {
  /** What the topic has, and then what comes, until the signal aborts or the loop is left. Rejects with SheafError for what no new
   *  connection would mend. Each event comes at least once, those of one key in their order. */
  events(options?: EventsOptions): AsyncGenerator<ReadEvent<ReceivedValue<C>>, void>;
  /** All events of the group up to this place are done. */
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

type Message = { readonly event: string; readonly data: string; readonly id: string | undefined };

export async function* eventsOf<V>(
  port: EventsPort,
  topic: string,
  options: EventsOptions,
): AsyncGenerator<ReadEvent<V>, void> {
  const { signal, group, from } = options;
  let place = options.after;
  const isOver = (): boolean => signal?.aborted === true;
  for (let tries = 0; !isOver();) {
    const query = new URLSearchParams();
    if (group !== undefined) query.set("group", group);
    if (from !== undefined) query.set("from", from instanceof Date ? from.toISOString() : from);
    const path = `/topics/${encodeURIComponent(topic)}/events?${query}`;
    const given = new AbortController();
    const stop = (): void => given.abort();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const headers: Record<string, string> = place === undefined ? {} : { "last-event-id": place };
      const response = await ask(port, tries, path, { headers, signal: given.signal });
      for await (const { event, data, id } of messages(response)) {
        if (event === "end") {
          const { code, message } = JSON.parse(data) as { readonly code?: string; readonly message?: string };
          if (code !== undefined) throw new SheafError(code as ErrorCode, message, { retry: "never" });
          break;
        }
        if (event !== "message" || id === undefined) continue;
        tries = 0;
        place = id;
        const { id: name, subject = "", time, data: value } = JSON.parse(data) as Sent<V>;
        yield { id: name, topic, key: subject, at: Date.parse(time), value, place };
      }
    } catch (error) {
      if (isOver()) return;
      if (error instanceof SheafError && error.retry === "never") throw error;
      if (!(error instanceof SheafError) && !(error instanceof Error)) throw asSheafError(error);
    } finally {
      signal?.removeEventListener("abort", stop);
      given.abort();
    }
    const pause =
      Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(tries++, 10)) * (0.5 + port.host.dice.random() / 2);
    await new Promise<void>((resolve) => {
      const timer = port.host.clock.after(pause, () => over());
      const over = (): void => {
        timer.cancel();
        signal?.removeEventListener("abort", over);
        resolve();
      };
      signal?.addEventListener("abort", over, { once: true });
    });
  }
}

type Sent<V> = { readonly id: string; readonly subject?: string; readonly time: string; readonly data: V };

/** The answer, if it is good. */
export async function ask(port: EventsPort, at: number, path: string, init: RequestInit): Promise<Response> {
  const { host, urls } = port;
  const token = await port.token();
  const headers = {
    ...(init.headers as Record<string, string>),
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const response = await host.fetch(`${urls[at % urls.length]}${path}`, { ...init, headers });
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { readonly code?: string; readonly detail?: string };
  const { code, detail } = problem;
  if (code === undefined || !Object.hasOwn(catalogue, code))
    throw new SheafError("UNREACHABLE", `something before the gateway answered ${response.status}`);
  throw new SheafError(code as ErrorCode, detail);
}

/** Reads an answer as the standard of Server-Sent Events has it. */
async function* messages(response: Response): AsyncGenerator<Message> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
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
