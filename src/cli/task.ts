// `sheaf task ls|shards|cancel`: what commands have left to be done, messages and timers.

import type { Backlog, TaskDetail, TaskView } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { parseCount, type Run } from "./context.ts";
import { nearest } from "./nearest.ts";
import type { Column } from "./output.ts";
import { adminOf, type Answer, type Remote, type RemoteOptions, warningsOf } from "./remote.ts";
import { printable } from "./terminal.ts";

export type ListOptions = RemoteOptions & { readonly entity?: string; readonly limit: string };

export const mostListed = 1000;
const time = (at: number): string => new Date(at).toISOString();
const seconds = (ms: number): string => (ms / 1000).toFixed(1);

/** What lists of tasks and of dead letters both show. */
export const columnsOf = (when: Column<TaskView>): readonly Column<TaskView>[] => [
  { title: "id", value: ({ id }) => id },
  { title: "entity", value: ({ entity, key }) => `${entity}/${key}` },
  { title: "command", value: ({ command }) => command },
  { title: "kind", value: ({ kind }) => kind },
  when,
  { title: "attempts", value: ({ attempts }) => attempts, align: "right" },
  { title: "cause", value: ({ cause }) => cause },
];

const columns = columnsOf({ title: "due", value: ({ due }) => due && time(due) });

const backlogColumns: readonly Column<Backlog>[] = [
  { title: "shard", value: ({ shard }) => shard, align: "right" },
  { title: "tasks", value: ({ tasks }) => tasks, align: "right" },
  { title: "late s", value: ({ lateMs }) => seconds(lateMs), align: "right" },
  { title: "outgoing", value: ({ outgoing }) => outgoing, align: "right" },
  { title: "oldest s", value: ({ outgoingMs }) => seconds(outgoingMs), align: "right" },
  { title: "dead letters", value: ({ deadLetters }) => deadLetters, align: "right" },
];

/** What a list answers; what is missing of it goes to `warn`. */
export function told<T>(answer: Answer, warn: (text: string) => void): readonly T[] {
  for (const warning of warningsOf(answer)) warn(warning);
  return answer.body as readonly T[];
}

export function queryOf({ entity }: Pick<ListOptions, "entity">, limit: number): URLSearchParams {
  const query = new URLSearchParams({ limit: String(limit) });
  if (entity !== undefined) query.set("entity", entity);
  return query;
}

export const list: Run<ListOptions> = async (context, _args, options) => {
  const { output } = context;
  const limit = parseCount(options.limit, "--limit", 1, mostListed);
  const admin = adminOf(context, options);
  const tasks = told<TaskView>(await admin.ask(`/admin/v1/tasks?${queryOf(options, limit)}`), output.warn);
  // Whoever does not answer was named with the tasks.
  const backlog = told<Backlog>(await admin.ask("/admin/v1/backlog"), () => {});
  output.list("sheaf.task.list/v1", tasks, { columns, id: ({ id }) => id, empty: "no message or timer waits" });
  if (tasks.length === limit) output.note(`the first ${limit}; --limit shows more`);
  for (const { shard, outgoing } of backlog)
    if (outgoing > 0)
      output.note(`${outgoing} ${outgoing === 1 ? "message is" : "messages are"} on the way out of shard ${shard}`);
  return 0;
};

export const shards: Run<RemoteOptions> = async (context, _args, options) => {
  const answer = await adminOf(context, options).ask("/admin/v1/backlog");
  const backlog = told<Backlog>(answer, context.output.warn).toSorted((a, b) => a.shard - b.shard);
  const empty = "no shard has anything to do";
  context.output.list("sheaf.task.shards/v1", backlog, {
    columns: backlogColumns,
    id: ({ shard }) => String(shard),
    empty,
  });
  return 0;
};

export const cancel: Run<RemoteOptions> = async (context, [id = ""], options) => {
  const admin = adminOf(context, options);
  const path = `/admin/v1/tasks/${encodeURIComponent(id)}`;
  const cancelled = await admin
    .ask(path, { method: "DELETE" })
    .then(({ body }) => body as TaskDetail)
    .catch(async (error: unknown) => {
      const timers = async (): Promise<readonly TaskView[]> =>
        (await listed(admin, "tasks")).filter(({ kind }) => kind === "timer");
      throw await notFound(error, "timer", id, timers, "sheaf task ls");
    });
  context.output.one(
    "sheaf.task.cancel/v1",
    cancelled,
    (paint) => `${paint("green", "✓")} the timer is taken back: ${sentence(cancelled)}`,
    id,
  );
  return 0;
};

/** As many as there may be on one page. */
export const listed = async (admin: Remote, of: "tasks" | "dead-letters"): Promise<readonly TaskView[]> =>
  (await admin.ask(`/admin/v1/${of}?limit=${mostListed}`)).body as readonly TaskView[];

/** One that says which ids are nearest, for one that says only that there is none. */
export async function notFound(
  error: unknown,
  what: string,
  id: string,
  known: () => Promise<readonly TaskView[]>,
  see: string,
): Promise<unknown> {
  if (!(error instanceof SheafError) || error.code !== "NOT_FOUND") return error;
  const near = nearest(
    id,
    (await known()).map((each) => each.id),
  );
  return new SheafError("NOT_FOUND", `no ${what} is called "${printable(id)}"`, {
    hint: near.length > 0 ? `Nearest: ${near.join(", ")}` : `It may be over by now. See: ${see}`,
  });
}

/** Which command with which input, on one line. */
export const sentence = ({ entity, key, command, input }: TaskDetail): string =>
  printable(`${entity}/${key} ${command}${input === null ? "" : ` ${JSON.stringify(input)}`}`);

/** Everything there is to know of it, a line each. */
export function described(task: TaskDetail, dim: (text: string) => string): string {
  const by = task.roles.length === 0 ? task.principal : `${task.principal} (${task.roles.join(", ")})`;
  const rows: readonly (readonly [string, string])[] = [
    ["id", task.id],
    ["entity", `${task.entity}/${task.key}`],
    ["command", task.command],
    ["input", JSON.stringify(task.input)],
    ["kind", task.kind],
    ["from", `shard ${task.from}`],
    ["by", by],
    ["since", time(task.at)],
    ["attempts", String(task.attempts)],
    ["cause", task.cause],
  ];
  return rows.map(([title, text]) => `${dim(title.padEnd(8))}  ${printable(text)}`).join("\n");
}
