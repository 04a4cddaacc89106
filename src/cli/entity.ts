// `sheaf entity ls|get|history`: state and its history, as the admin API tells them.

import type { EntityDetail, EntityView, HistoryItem } from "../admin/index.ts";
import { type Column } from "./output.ts";
import { parseCount, type Run } from "./context.ts";
import { adminOf, type RemoteOptions, warningsOf } from "./remote.ts";
import { printable } from "./terminal.ts";

type ListOptions = RemoteOptions & { readonly prefix?: string; readonly after?: string; readonly limit: string };
type HistoryOptions = RemoteOptions & { readonly limit: string };

const short = (value: unknown): string => {
  const text = value === undefined ? "" : JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
};

const viewColumns: readonly Column<EntityView>[] = [
  { title: "key", value: ({ key }) => key },
  { title: "version", value: ({ version }) => version, align: "right" },
  { title: "bytes", value: ({ bytes }) => bytes, align: "right" },
  { title: "state", value: ({ state }) => short(state) },
];

const historyColumns: readonly Column<HistoryItem>[] = [
  { title: "version", value: ({ version }) => version, align: "right" },
  { title: "at", value: ({ at }) => new Date(at).toISOString() },
  { title: "command", value: ({ command }) => command },
  { title: "by", value: ({ principal }) => principal },
  { title: "state", value: ({ state }) => (state === null ? "" : short(state)) },
  { title: "events", value: ({ events }) => events.map(({ name }) => name).join(", ") },
];

export const list: Run<ListOptions> = async (context, [type = ""], options) => {
  const limit = parseCount(options.limit, "--limit", 1, 1000);
  const query = new URLSearchParams({ limit: String(limit) });
  if (options.prefix !== undefined) query.set("prefix", options.prefix);
  if (options.after !== undefined) query.set("after", options.after);
  const answer = await adminOf(context, options).ask(`/admin/v1/entities/${encodeURIComponent(type)}?${query}`);
  for (const warning of warningsOf(answer)) context.output.warn(warning);
  const views = answer.body as readonly EntityView[];
  const next = views.length === limit ? (views.at(-1)?.key ?? null) : null;
  context.output.list("sheaf.entity.list/v1", views, {
    columns: viewColumns,
    id: ({ key }) => key,
    next,
    empty: `no ${printable(type)} has been changed yet`,
  });
  if (next !== null) context.output.note(`more: --after ${JSON.stringify(next)}`);
  return 0;
};

export const get: Run<RemoteOptions> = async (context, [type = "", key = ""], options) => {
  const path = `/admin/v1/entities/${encodeURIComponent(type)}/${encodeURIComponent(key)}`;
  const view = (await adminOf(context, options).ask(path)).body as EntityDetail;
  context.output.one(
    "sheaf.entity/v1",
    view,
    (paint) =>
      `${paint("dim", `${printable(`${view.type}/${view.key}`)}  version ${view.version}  shard ${view.shard}  ${view.bytes} bytes`)}\n${JSON.stringify(view.state, null, 2)}${timers(view, (text) => paint("dim", text))}`,
    view.key,
  );
  if (view.version === 0) context.output.note("it has no commit yet: this is its initial state");
  return 0;
};

/** The timers that it has set, a line each. */
const timers = (view: EntityDetail, dim: (text: string) => string): string =>
  view.timers
    .map(({ id, due, command }) => {
      const when = due === null ? "failed for good" : new Date(due).toISOString();
      return `\n${dim("timer")}  ${printable(`${id}  ${when}  ${command}`)}`;
    })
    .join("");

export const history: Run<HistoryOptions> = async (context, [type = "", key = ""], options) => {
  const limit = parseCount(options.limit, "--limit", 1, 1000);
  const path = `/admin/v1/entities/${encodeURIComponent(type)}/${encodeURIComponent(key)}/history?limit=${limit}`;
  const found = (await adminOf(context, options).ask(path)).body as {
    items: readonly HistoryItem[];
    complete: boolean;
  };
  if (!found.complete) context.output.warn("older commits are not in the journal any more");
  context.output.list("sheaf.entity.history/v1", found.items, {
    columns: historyColumns,
    id: ({ version }) => String(version),
    empty: "it has no commit yet",
  });
  return 0;
};
