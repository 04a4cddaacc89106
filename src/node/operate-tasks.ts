// The operator's side of what the shards of one node have still to do: tasks, dead letters, messages on their way.

import type { Backlog, EntityDetail, TaskDetail, TaskView } from "../admin/index.ts";
import { type Instant, type Millis, type Shard as ShardNumber, SheafError } from "../base/index.ts";
import { refOf, revival, type Shard, type Task, timerId, timerName } from "../shards/index.ts";
import { unpack } from "../wire/index.ts";
import { type Part, servedHere } from "./operate-parts.ts";
import type { Parts } from "./parts.ts";

/** Safe in a shell and in an address. */
const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);

/** What people call a task by. */
const idOf = ({ number }: Shard, task: Task): string =>
  task.kind !== "timer"
    ? `${number}/${encoded(task.id)}`
    : [number, task.type, encoded(task.key), encoded(timerName(task))].join("/");

type Asked = { readonly shard: ShardNumber; readonly task: string };

/** Undefined for what is no id of a task. */
function asked(id: string): Asked | undefined {
  const [shard = "", ...parts] = id.split("/");
  if (!/^\d{1,5}$/.test(shard)) return undefined;
  try {
    const [first = "", key = "", name = "", ...more] = parts.map(decodeURIComponent);
    if (parts.length === 1) return { shard: Number(shard), task: first };
    return more.length > 0 ? undefined : { shard: Number(shard), task: timerId(first, key, name) };
  } catch {
    return undefined;
  }
}

const missing = (what: string, id: string): SheafError =>
  new SheafError("NOT_FOUND", `no ${what} is called "${id}"`, { hint: "It may be over by now." });

/** The shard that has the task, if there is such a task at all. Throws NOT_FOUND for what is no id. */
export function shardOfTask({ shards }: Pick<Parts, "shards">, id: string): Shard {
  const shard = shards.all[asked(id)?.shard ?? shards.all.length];
  if (!shard) throw missing("message or timer", id);
  return shard;
}

const view = (shard: Shard, task: Task): TaskView => ({
  id: idOf(shard, task),
  shard: shard.number,
  kind: task.kind,
  entity: task.type,
  key: task.key,
  command: task.command,
  due: task.due ?? null,
  at: task.at,
  attempts: task.attempts,
  cause: task.cause,
});

function detail(shard: Shard, task: Task): TaskDetail {
  const [principal = "", ...roles] = task.by;
  return {
    ...view(shard, task),
    input: task.input.length === 0 ? null : unpack(task.input),
    principal,
    roles,
    // The id of a message is `m`, the shard that sent it, a dot, and its number.
    from: task.kind === "message" ? Number.parseInt(task.id.slice(1), 10) : shard.number,
  };
}

type Found = { readonly shard: Shard; readonly task: Task };

/** The tasks of the shards that are served here. */
function* all({ shards }: Pick<Parts, "shards">, type: string | undefined): Iterable<Found> {
  for (const shard of shards.all) {
    if (shard.held === undefined) continue;
    for (const task of shard.fold.agenda.tasks.values())
      if (type === undefined || task.type === type) yield { shard, task };
  }
}

const byDue = (a: TaskView, b: TaskView): number => (a.due ?? 0) - (b.due ?? 0) || byAge(a, b);
const byAge = (a: TaskView, b: TaskView): number => a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

/** In the order in which lists of tasks are told, as many as are wanted. */
export const nextTasks = (tasks: readonly TaskView[], limit: number): readonly TaskView[] =>
  tasks.toSorted(byDue).slice(0, limit);
export const oldest = (tasks: readonly TaskView[], limit: number): readonly TaskView[] =>
  tasks.toSorted(byAge).slice(0, limit);

export function tasksHere(parts: Parts, type: string | undefined, limit: number): Part<TaskView> {
  const live = [...all(parts, type)].filter(({ task }) => task.due !== undefined);
  // Cut before ids are made, which takes longest.
  const first = live.toSorted((a, b) => a.task.due! - b.task.due!);
  const last = first[limit - 1]?.task.due ?? Infinity;
  const views = first.filter(({ task }) => task.due! <= last).map(({ shard, task }) => view(shard, task));
  return { items: nextTasks(views, limit), shards: servedHere(parts) };
}

export function deadLettersHere(
  parts: Parts,
  type: string | undefined,
  after: string | undefined,
  limit: number,
): Part<TaskView> {
  const { at, id } = cursor(after);
  const dead = [...all(parts, type)]
    .filter(({ task }) => task.due === undefined && task.at >= at)
    .map(({ shard, task }) => view(shard, task))
    .filter((one) => one.at > at || one.id > id);
  return { items: oldest(dead, limit), shards: servedHere(parts) };
}

function cursor(after: string | undefined): { readonly at: Instant; readonly id: string } {
  if (after === undefined) return { at: 0, id: "" };
  const [, at = "", id = ""] = /^(\d{1,16})\/(.+)$/.exec(after) ?? [];
  if (id !== "") return { at: Number(at), id };
  throw new SheafError("BAD_INPUT", "after is no place in the list", {
    issues: [{ path: ["after"], message: "at and id of a dead letter, with a slash between" }],
  });
}

export const backlogHere = (parts: Parts): Part<Backlog> => ({
  items: parts.shards.all
    .filter(({ held }) => held !== undefined)
    .map(backlogOf)
    .filter(({ tasks, deadLetters, outgoing }) => tasks + deadLetters + outgoing > 0),
  shards: servedHere(parts),
});

export function backlogOf(shard: Shard): Backlog {
  const { agenda } = shard.fold;
  const now = shard.now();
  let deadLetters = 0;
  let lateMs: Millis = 0;
  for (const { due } of agenda.tasks.values()) {
    if (due === undefined) deadLetters++;
    else if (now - due > lateMs) lateMs = now - due;
  }
  let outgoingMs: Millis = 0;
  for (const to of agenda.destinations()) outgoingMs = Math.max(outgoingMs, now - agenda.waiting(to, 0, 1)[0]!.at);
  const tasks = agenda.tasks.size - deadLetters;
  return { shard: shard.number, tasks, deadLetters, outgoing: agenda.outgoing, outgoingMs, lateMs };
}

export function timersOf(shard: Shard, type: string, key: string): EntityDetail["timers"] {
  return [...shard.fold.agenda.tasks.values()]
    .filter((task) => task.kind === "timer" && task.type === type && task.key === key)
    .map((task) => ({
      id: timerName(task),
      due: task.due ?? null,
      command: task.command,
      task: idOf(shard, task),
    }))
    .toSorted((a, b) => (a.due ?? 0) - (b.due ?? 0) || (a.id < b.id ? -1 : 1));
}

function deadLetterHere(parts: Parts, id: string): Found {
  const shard = shardOfTask(parts, id);
  shard.serving();
  const task = shard.fold.agenda.tasks.get(asked(id)?.task ?? "");
  if (task === undefined || task.due !== undefined) throw missing("dead letter", id);
  return { shard, task };
}

export async function deadLetter(parts: Parts, id: string): Promise<TaskDetail> {
  const { shard, task } = deadLetterHere(parts, id);
  return detail(shard, task);
}

export function redrive(parts: Parts, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const { shard, task } = deadLetterHere(parts, id);
    if (shard.settles(refOf(task)))
      throw new SheafError("IN_USE", "somebody else decides on it at this moment", { hint: "Ask again in a moment." });
    const told = (error: SheafError | undefined): void => (error ? reject(error) : resolve());
    shard.note(revival(task, shard.now()), told);
  });
}

export async function drop(parts: Parts, id: string): Promise<TaskDetail> {
  const { shard, task } = deadLetterHere(parts, id);
  await parts.work.withdraw(shard, task);
  return detail(shard, task);
}

export async function cancelTimer(parts: Parts, id: string): Promise<TaskDetail> {
  const shard = shardOfTask(parts, id);
  shard.serving();
  const task = shard.fold.agenda.tasks.get(asked(id)?.task ?? "");
  if (task?.kind !== "timer") throw missing("timer", id);
  if (task.due === undefined)
    throw new SheafError("NOT_FOUND", `"${id}" is a dead letter`, { hint: "See: sheaf dlq drop" });
  await parts.work.withdraw(shard, task);
  return detail(shard, task);
}
