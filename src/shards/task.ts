// What a shard has to do, one by one: tasks, and messages on their way.

import type { Instant, Shard } from "../base/index.ts";
import type { Message, Note } from "../journal/index.ts";

/** A command to be carried out once, at `due` or later; a dead letter has none. Never changed: replaced. */
export type Task = Message & {
  readonly id: string;
  readonly kind: "message" | "timer" | "job";
  readonly due: Instant | undefined;
  /** When it came. */
  readonly at: Instant;
  /** Place among all tasks and messages that the shard ever had. */
  readonly order: number;
  readonly attempts: number;
  /** Why the last attempt failed; empty when there was none, and for a job while one may be under way (see `isLeased`). */
  readonly cause: string;
  /** Of a dead letter that is tried again by itself: when. */
  readonly again?: Instant | undefined;
  /** Of jobs only. */
  readonly job?: JobFields | undefined;
};

/** What a task has that is a job. */
export type JobFields = {
  /** What people call it. */
  readonly name: string;
  /** Its adder chose the name, and may add it again. */
  readonly chosen: boolean;
  readonly priority: number;
  /** Attempts of before it was a dead letter that was tried again: they count no more, and are not counted anew, since an attempt names a
   *  lease. */
  readonly forgiven?: number | undefined;
  /** The process that has it done, while it is leased; none where a consumer has it. */
  readonly holder?: string | undefined;
};

/** The task as a note leaves it that says so of an attempt. */
export function failedAs(task: Task, { due, attempts, cause, holder }: Extract<Note, { kind: "failed" }>): Task {
  const { again: _, ...rest } = task;
  const isRevived = task.due === undefined && due !== undefined;
  const job = task.job && { ...task.job, holder, ...(isRevived && { forgiven: attempts }) };
  return { ...rest, due, attempts, cause, ...(job && { job }) };
}

/** A message on its way. */
export type Outgoing = {
  readonly to: Shard;
  readonly n: number;
  readonly after: number;
  readonly order: number;
  /** When it was sent. */
  readonly at: Instant;
  readonly message: Message;
};

/** Tasks of one line are carried out one after the other. */
export const lineOf = ({ type, key }: Message): string => `${type}\n${key}`;
/** A key may hold anything, the mark at which the name begins, too. */
const timerPrefix = (type: string, key: string): string =>
  `t${type}/${key.replaceAll("%", "%25").replaceAll("#", "%23")}#`;
export const timerId = (type: string, key: string, name: string): string => timerPrefix(type, key) + name;
/** What a record calls a task by. A timer that was set again has the id of the one that it replaced: its place tells them apart. */
export const refOf = ({ kind, id, order }: Task): string => (kind === "timer" ? `${id}@${order}` : id);
/** The name that its entity gave a timer. */
export const timerName = ({ id, type, key }: Task): string => id.slice(timerPrefix(type, key).length);

/** What a message takes of a record or a frame, at most. */
export function messageBytes({ type, key, command, input, by }: Message): number {
  let bytes = 64 + input.length + 3 * (type.length + key.length + command.length);
  for (const text of by) bytes += 3 * text.length + 5;
  return bytes;
}
