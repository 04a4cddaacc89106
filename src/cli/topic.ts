// `sheaf topic ls|publish|tail`: what is kept of topics, and their events through the gateway.

import process from "node:process";
import type { TopicView } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { connect } from "../client/index.ts";
import { readInput } from "./call.ts";
import { parseCount, type Run } from "./context.ts";
import type { Column } from "./output.ts";
import { adminOf, gatewayOf, type RemoteOptions, tokenOf } from "./remote.ts";
import { told } from "./task.ts";
import { printable } from "./terminal.ts";

type PublishOptions = RemoteOptions & { readonly idempotencyKey?: string };
type TailOptions = RemoteOptions & { readonly from: string; readonly limit?: string };

/** As people read it. `atLeast`: there may be more. */
export const countOf = (events: number, atLeast: boolean): string => (atLeast ? `at least ${events}` : String(events));
const age = (at: number | null): string | null =>
  at === null ? null : (Math.max(0, Date.now() - at) / 1000).toFixed(0);

const columns: readonly Column<TopicView>[] = [
  { title: "topic", value: ({ topic }) => topic },
  { title: "events", value: ({ events, atLeast }) => countOf(events, atLeast), align: "right" },
  { title: "bytes", value: ({ bytes }) => bytes, align: "right" },
  { title: "oldest s", value: ({ oldest }) => age(oldest), align: "right" },
  { title: "newest s", value: ({ newest }) => age(newest), align: "right" },
];

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const topics = told<TopicView>(await adminOf(context, options).ask("/admin/v1/topics"), context.output.warn);
  const empty = "the application has no topics";
  context.output.list("sheaf.topic.list/v1", topics, { columns, id: ({ topic }) => topic, empty });
  return 0;
};

export const publish: Run<PublishOptions> = async (context, [topic = "", input], options) => {
  const body = await readInput(input);
  const headers = options.idempotencyKey === undefined ? {} : { "idempotency-key": options.idempotencyKey };
  const path = `/topics/${encodeURIComponent(topic)}`;
  await gatewayOf(context, options).ask(path, { method: "POST", headers, body });
  const events = Array.isArray(body) ? body.length : 1;
  context.output.one(
    "sheaf.topic.publish/v1",
    { topic, events },
    (paint) => `${paint("green", "✓")} ${events} ${events === 1 ? "event is" : "events are"} published`,
    topic,
  );
  return 0;
};

/** "beginning", "now" or a time. */
export function whereOf(text: string, option: string): "beginning" | "now" | Date {
  if (text === "beginning" || text === "now") return text;
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (at >= 0) return new Date(at);
  throw new SheafError("USAGE", `${option} is beginning, now, or a time such as 2026-11-23T12:00:00Z, not "${text}"`);
}

export const tail: Run<TailOptions> = async (context, [topic = ""], options) => {
  const { output } = context;
  const from = whereOf(options.from, "--from");
  const most = options.limit === undefined ? Infinity : parseCount(options.limit, "--limit", 1, 1_000_000_000);
  const gateway = gatewayOf(context, options);
  // Later on a gateway that is away is waited for.
  await gateway.ask("/livez");
  const over = new AbortController();
  const stop = (): void => over.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  const client = connect(
    { kind: "contract", name: "cli", entities: [], services: [] },
    { url: gateway.url, token: tokenOf(context, options) },
  );
  try {
    let count = 0;
    for await (const event of client.topic({ name: topic } as never).events({ from, signal: over.signal })) {
      const { key, at, value } = event as { readonly key: string; readonly at: number; readonly value: unknown };
      const line = printable(`${key}  ${JSON.stringify(value)}`);
      output.item("sheaf.topic.tail/v1", event, (paint) => `${paint("dim", new Date(at).toISOString())}  ${line}`);
      if (++count === most) break;
    }
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, stop);
    client.close();
  }
  return 0;
};
