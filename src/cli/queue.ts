// `sheaf queue ls|peek|add|show|pause|resume|purge`: jobs that wait in queues, and who does them.

import type { JobView, QueueChange, QueueView } from "../admin/index.ts";
import type { JobState } from "../model/index.ts";
import { readInput } from "./call.ts";
import { type Context, parseCount, parseSpan, type Run } from "./context.ts";
import type { Column } from "./output.ts";
import { adminOf, changed, gatewayOf, type RemoteOptions } from "./remote.ts";
import { mostListed, told } from "./task.ts";
import { printable } from "./terminal.ts";

type AddOptions = RemoteOptions & { readonly id?: string; readonly delay?: string; readonly priority?: string };

const mostPriority = 100;
const seconds = (ms: number): string => (ms / 1000).toFixed(1);
const workersOf = ({ workers }: QueueView): string =>
  workers.length === 0 ? "none" : workers.map(({ node, hands }) => `${node} (${hands})`).join(", ");

const queueColumns: readonly Column<QueueView>[] = [
  { title: "queue", value: ({ queue }) => queue },
  { title: "state", value: ({ state }) => state, style: ({ state }) => (state === "open" ? undefined : "yellow") },
  { title: "ready", value: ({ ready }) => ready, align: "right" },
  { title: "oldest s", value: ({ waitMs }) => seconds(waitMs), align: "right" },
  { title: "leased", value: ({ leased }) => leased, align: "right" },
  { title: "delayed", value: ({ delayed }) => delayed, align: "right" },
  { title: "dead", value: ({ dead }) => dead, align: "right" },
  { title: "workers", value: workersOf },
];

const jobColumns: readonly Column<JobView>[] = [
  { title: "id", value: ({ id }) => id },
  { title: "state", value: ({ state }) => state },
  { title: "due", value: ({ due }) => new Date(due).toISOString() },
  { title: "priority", value: ({ priority }) => priority, align: "right" },
  { title: "attempts", value: ({ attempts }) => attempts, align: "right" },
  { title: "input", value: ({ input }) => JSON.stringify(input) },
  { title: "cause", value: ({ cause }) => cause },
];

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const answer = await adminOf(context, options).ask("/admin/v1/queues");
  const queues = told<QueueView>(answer, context.output.warn);
  const empty = "the application has no queues";
  context.output.list("sheaf.queue.list/v1", queues, { columns: queueColumns, id: ({ queue }) => queue, empty });
  return 0;
};

export const peek: Run<RemoteOptions & { readonly limit: string }> = async (context, [queue = ""], options) => {
  const { output } = context;
  const limit = parseCount(options.limit, "--limit", 1, mostListed);
  const path = `/admin/v1/queues/${encodeURIComponent(queue)}/jobs?limit=${limit}`;
  const jobs = told<JobView>(await adminOf(context, options).ask(path), output.warn);
  const empty = `no job waits in ${printable(queue)}`;
  output.list("sheaf.queue.peek/v1", jobs, { columns: jobColumns, id: ({ id }) => id, empty });
  if (jobs.length === limit) output.note(`the first ${limit}; --limit shows more`);
  return 0;
};

export const add: Run<AddOptions> = async (context, [queue = "", input], options) => {
  const query = new URLSearchParams();
  if (options.delay !== undefined) query.set("delayMs", String(parseSpan(options.delay, "--delay")));
  if (options.priority !== undefined) query.set("priority", String(priorityOf(options.priority)));
  const headers = options.id === undefined ? {} : { "idempotency-key": options.id };
  const body = await readInput(input);
  const path = `/queues/${encodeURIComponent(queue)}${query.size > 0 ? `?${query}` : ""}`;
  const answer = await gatewayOf(context, options).ask(path, { method: "POST", headers, body });
  const { id } = answer.body as { readonly id: string };
  const replayed = answer.headers.get("idempotent-replayed") === "true";
  const said = replayed ? "was added before" : "is added";
  const line = `job ${printable(id)} ${said}`;
  context.output.one("sheaf.queue.add/v1", { id, replayed }, (paint) => `${paint("green", "✓")} ${line}`, id);
  return 0;
};

export const show: Run<RemoteOptions & { readonly wait?: string }> = async (
  context,
  [queue = "", id = ""],
  options,
) => {
  const waitMs = options.wait === undefined ? 0 : parseSpan(options.wait, "--wait");
  const path = `/queues/${encodeURIComponent(queue)}/jobs/${encodeURIComponent(id)}?waitMs=${waitMs}`;
  const headers = { "sheaf-deadline-ms": String(waitMs + marginMs) };
  const answer = await gatewayOf(context, options).ask(path, { headers, patienceMs: waitMs + 2 * marginMs });
  const job = { id, ...(answer.body as JobState) };
  const text = (dim: (text: string) => string): string =>
    Object.entries(job)
      .map(([name, value]) => `${dim(name.padEnd(8))}  ${printable(shown(name, value))}`)
      .join("\n");
  context.output.one("sheaf.queue.show/v1", job, (paint) => text((part) => paint("dim", part)), id);
  return 0;
};

const marginMs = 10_000;

function shown(name: string, value: unknown): string {
  if (name === "due") return new Date(value as number).toISOString();
  return typeof value === "string" ? value : JSON.stringify(value);
}

async function rest(
  context: Context,
  queue: string,
  options: RemoteOptions,
  act: "pause" | "resume",
  says: string,
): Promise<number> {
  const path = `/admin/v1/queues/${encodeURIComponent(queue)}/${act}`;
  await changed<QueueChange>(adminOf(context, options), path, { method: "POST" });
  const line = (mark: string): string => `${mark} ${printable(queue)} ${says}`;
  context.output.one(`sheaf.queue.${act}/v1`, { queue }, (paint) => line(paint("green", "✓")), queue);
  return 0;
}

export const pause: Run<RemoteOptions> = (context, [queue = ""], options) =>
  rest(context, queue, options, "pause", "is paused: what is leased goes on, and nothing more is begun");

export const resume: Run<RemoteOptions> = (context, [queue = ""], options) =>
  rest(context, queue, options, "resume", "goes on");

export const purge: Run<RemoteOptions & { readonly yes?: boolean }> = async (context, [queue = ""], options) => {
  const done = options.yes === true;
  const path = `/admin/v1/queues/${encodeURIComponent(queue)}/jobs${done ? "" : "?dryRun=true"}`;
  const { jobs } = await changed<QueueChange>(adminOf(context, options), path, { method: "DELETE" });
  const many = `${jobs} ${jobs === 1 ? "job" : "jobs"}`;
  const waits = jobs === 1 ? "waits" : "wait";
  context.output.one(
    "sheaf.queue.purge/v1",
    { queue, jobs, done },
    (paint) =>
      done
        ? `${paint("green", "✓")} ${many} of ${printable(queue)} dropped, and never begun`
        : `${many} ${waits} in ${printable(queue)}`,
    queue,
  );
  if (!done) context.output.note("nothing is changed yet: drop them with --yes");
  return 0;
};

const priorityOf = (text: string): number =>
  text.startsWith("-")
    ? -parseCount(text.slice(1), "--priority, without its sign,", 0, mostPriority)
    : parseCount(text, "--priority", 0, mostPriority);
